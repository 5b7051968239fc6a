"""What stands in front of the Alpaca facade: the usual checks, answered in Alpaca's words, with rate headers on every answer."""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.types import Message, Receive, Scope, Send

from apps.http.access import Access, watched
from apps.http.alpaca_words import AlpacaRefusal, in_alpaca_words, not_served
from apps.http.authority import ADDRESSES_MAX, FAILURES_BURST, Authority
from apps.http.caller import Caller, Rate, unauthorized
from apps.http.credentials import Signed
from apps.http.messages import Disconnected, Handler, raw_headers, read_body, send_json
from apps.http.problem import CONTENT_TYPE as PROBLEM
from apps.http.problem import Refusal
from apps.http.replay import replayed, target_of
from apps.http.route_scopes import ALPACA, PUBLIC, Found, RouteScopes
from domain.access.scopes import EVERY_ACCOUNT
from domain.execution.token_bucket import TokenBucket
from domain.ports import Clock

PUBLIC_A_SECOND: Final = 100
PUBLIC_BURST: Final = 200
"""Requests for market data without a key, of one address."""
SECOND_NS: Final = 1_000_000_000
NO_ONE: Final = Caller("", "", "", 0)
"""Who asks for public data without a key."""
LIMIT, REMAINING, RESET = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"


class AlpacaGuard:
    """Judges the requests below `base`. The application finds who calls in `scope["caller"]`."""

    def __init__(self, base: str, clock: Clock) -> None:
        self.base: Final = base
        self.websocket_paths: Final = (f"{base}/stream", f"{base}/stream/")
        """Where the stream is. Its handler judges the key, which comes in a message."""
        self._below = f"{base}/"
        self._clock = clock
        self._routes = RouteScopes(ALPACA)
        self._public: OrderedDict[str, TokenBucket] = OrderedDict()

    def judges(self, scope: Scope) -> bool:
        """Return whether a request is one for the facade."""
        path: str = scope["path"]
        return path.startswith(self._below) and scope["type"] == "http"

    async def admit(self, app: Handler, access: Access, authority: Authority, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for a caller that may use the route, or answer why it may not."""
        found, below = watched(scope), scope["path"][len(self.base) :]
        route = self._routes.find(scope["method"], below)
        try:
            try:
                if (refused := access.refusal(scope, found)) is not None:
                    raise refused
                caller, rate, receive = await self._admitted(authority, route, found, scope, receive)
            except Refusal as refusal:
                raise in_alpaca_words(refusal) from None
        except AlpacaRefusal as words:
            await self._send_refusal(send, words)
            return
        except Disconnected:
            return
        scope["caller"], answer = caller, self._with_headers(send, rate)
        if route[0]:
            await app(scope, receive, answer)
        else:
            await send_json(answer, 404, not_served(scope["method"], below).body())

    async def _admitted(
        self, authority: Authority, route: Found, found: Mapping[bytes, bytes], scope: Scope, receive: Receive
    ) -> tuple[Caller, Rate, Receive]:
        method, path, address = scope["method"], scope["path"], authority.address(scope)
        sent = authority.read(method, path, address, found)
        if sent is None:
            if _is_public(route):
                return NO_ONE, self._public_rate(address), receive
            raise unauthorized()
        if isinstance(sent, Signed):
            body = await read_body(receive)
            authority.verify(sent, method, path, target_of(scope), address, body, route)
            receive = replayed(body, receive)
        caller, rate = authority.admit(method, path, address, sent, route)
        if caller.account == EVERY_ACCOUNT and not _is_public(route):
            raise Refusal(403, "account_not_yours", "this key is for no single account")
        assert rate is not None, "only a caller without a key has no rate"
        return caller, rate, receive

    def _public_rate(self, address: str) -> Rate:
        """Take a token of an address without a key. Refusal 429."""
        bucket = self._public.get(address)
        if bucket is None:
            bucket = self._public[address] = TokenBucket(PUBLIC_A_SECOND, PUBLIC_BURST)
            if len(self._public) > ADDRESSES_MAX:
                self._public.popitem(last=False)
        now = self._clock.monotonic_ns()
        ready = bucket.ready(now)
        if ready:
            bucket.take(now)
        rate = Rate(PUBLIC_BURST, max(bucket.tokens(now), 0), -(-bucket.full_in_ns(now) // SECOND_NS))
        if not ready:
            raise Refusal(429, "rate_limited", "too many requests from this address", headers=rate.texts())
        return rate

    async def _send_refusal(self, send: Send, refusal: AlpacaRefusal) -> None:
        """Send a refusal that comes before any handler. Without a known key, the rate is that of failed credentials."""
        headers = {name.lower(): value for name, value in refusal.headers.items()}
        limit, remaining = headers.pop(LIMIT, str(FAILURES_BURST)), headers.pop(REMAINING, "0")
        rate = Rate(int(limit), int(remaining), int(headers.pop(RESET, "1")))
        await send_json(send, refusal.status, refusal.body(), [*raw_headers(headers), *self._headers(rate)])

    def _headers(self, rate: Rate) -> list[tuple[bytes, bytes]]:
        """Return the headers of every answer. Alpaca's reset is a moment, in seconds since the epoch."""
        until = Rate(rate.limit, rate.remaining, self._clock.now_ns() // SECOND_NS + rate.reset_s)
        return [*until.headers(), (b"x-request-id", secrets.token_hex(16).encode())]

    def _with_headers(self, send: Send, rate: Rate) -> Send:
        """Return a `send` that adds the headers of every answer, and puts problem details, which a stopping service sends, into words."""
        problem = False

        async def with_headers(message: Message) -> None:
            nonlocal problem
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                problem = (b"content-type", PROBLEM) in headers
                if problem:
                    return
                message["headers"] = [*headers, *self._headers(rate)]
            elif problem:
                words = in_alpaca_words(_refusal(message["body"]))
                await send_json(send, words.status, words.body(), [*raw_headers(words.headers), *self._headers(rate)])
                return
            await send(message)

        return with_headers


def _refusal(body: bytes) -> Refusal:
    """Return the refusal that problem details describe."""
    found = msgspec.json.decode(body, type=dict[str, Any])
    return Refusal(found.pop("status"), found.pop("code"), found.pop("detail"), **{k: v for k, v in found.items() if k == "outcome"})


def _is_public(route: Found) -> bool:
    return route[1] is not None and bool(route[1] & PUBLIC)
