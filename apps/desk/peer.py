"""One service as the gateway reaches it: a pool of connections, bounds on requests in flight, and what each failure means."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Final

import httpx

from apps.http.problem import Refusal
from apps.http.tls import needed_for
from config.sections import PeersSection

IN_FLIGHT_MAX: Final = 128
"""Requests to one service at once. Further ones are refused, not queued."""
URGENT_IN_FLIGHT_MAX: Final = 32
"""Requests beyond that which stop trading: cancels and kills."""
IN_FLIGHT_OF_A_CALLER_MAX: Final = 64
"""Of the first, those of one key, so that a client that reads slowly does not keep out the others."""
CONNECT_S: Final = 1.0
ANSWER_S: Final = 8.0
"""Longest wait for the head of an answer, and between two parts of its body. With CONNECT_S it is below the 10 s that the page waits."""
EXCHANGE_S: Final = 60.0
"""Longest time from the request to the last byte of its answer, also for a client that reads slowly."""
KEPT_OPEN_S: Final = 15.0
"""How long an idle connection is kept: half of what the services allow, so that none is used while the service closes it."""
RETRY_AFTER: Final = {"Retry-After": "1"}

_READS: Final = ("GET", "HEAD")
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

Headers = Sequence[tuple[bytes, bytes]]


def peers_at(addresses: PeersSection, verify: ssl.SSLContext | bool) -> dict[str, "Peer"]:
    """Return the services that the gateway reaches, by name. `verify`: what `tls.context_to_peers` returns."""
    urls = {"oms": addresses.oms_url, "risk": addresses.risk_url, "exeq": addresses.exeq_url, "live-gateway": addresses.gateway_url}
    return {name: Peer(name, str(url), verify) for name, url in urls.items()}


class Peer:
    """Asks one service. No request is sent twice."""

    def __init__(self, name: str, url: str, verify: ssl.SSLContext | bool) -> None:
        self.name = name
        self._url = httpx.URL(url)
        self._prefix = self._url.raw_path.partition(b"?")[0].rstrip(b"/")
        bound = IN_FLIGHT_MAX + URGENT_IN_FLIGHT_MAX
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=bound, max_keepalive_connections=bound, keepalive_expiry=KEPT_OPEN_S),
            follow_redirects=False,
            trust_env=False,
            verify=needed_for(url, verify),
        )
        self.in_flight = 0
        self._of_caller: Counter[str] = Counter()

    async def close(self) -> None:
        await self._http.aclose()

    @contextlib.asynccontextmanager
    async def asked(
        self, method: str, target: bytes, headers: Headers, body: bytes, *, caller: str, urgent: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """Send a request and give its answer, whose body is read in the block. Refusal 503, 504.

        `target`: path and query as they are sent, below the service's own URL; it cannot name another host. `caller`: whose request it is.
        """
        self._take(caller, urgent=urgent)
        try:
            async with asyncio.timeout(EXCHANGE_S):
                answer = await self._sent(method, target, headers, body)
                try:
                    yield answer
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise self.failed(method, TimeoutError("took too long")) from None
        finally:
            self._give_back(caller)

    async def _sent(self, method: str, target: bytes, headers: Headers, body: bytes) -> httpx.Response:
        # `target` replaces what httpx makes of an address, so that the service reads the very bytes that were checked; and a request that
        # is not built by the client has no headers but these, Host and Content-Length
        request = httpx.Request(method, self._url, headers=[*headers], content=body or None, extensions={"target": self._prefix + target})
        try:
            return await self._http.send(request, stream=True)
        except (httpx.HTTPError, OSError) as error:
            raise self.failed(method, error) from error

    def _take(self, caller: str, *, urgent: bool) -> None:
        """Count a request. Refusal 503 if too many are in flight."""
        most = IN_FLIGHT_MAX + URGENT_IN_FLIGHT_MAX if urgent else IN_FLIGHT_MAX
        if self.in_flight >= most or (not urgent and self._of_caller[caller] >= IN_FLIGHT_OF_A_CALLER_MAX):
            detail = f"too many requests to {self.name} are in flight"
            raise Refusal(503, "gateway_busy", detail, headers=RETRY_AFTER, outcome="not_accepted", service=self.name)
        self.in_flight += 1
        self._of_caller[caller] += 1

    def _give_back(self, caller: str) -> None:
        self.in_flight -= 1
        self._of_caller[caller] -= 1
        if not self._of_caller[caller]:
            del self._of_caller[caller]

    def failed(self, method: str, error: Exception) -> Refusal:
        """Return what a failure means: the request was not sent, or it may have taken effect."""
        why = f"{self.name} is not reachable: {str(error) or type(error).__name__}"
        if isinstance(error, _NEVER_SENT) or method in _READS:
            return Refusal(503, "service_unavailable", why, headers=RETRY_AFTER, outcome="not_accepted", service=self.name)
        detail = f"{self.name} did not answer, and may have acted: ask for the result before sending anything again"
        return Refusal(504, "outcome_unknown", detail, outcome="unknown", service=self.name)
