"""`/alpaca/stream`: who may open a connection, and how many there are."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

from prometheus_client.core import Metric
from starlette.types import Receive, Scope, Send

from apps.http.authority import Authority
from apps.http.caller import Caller
from apps.http.credentials import Secret
from apps.http.problem import Refusal
from apps.http.route_scopes import ALPACA_STREAM
from apps.oms.alpaca.stream_client import POLICY, TRY_LATER, StreamClient, StreamEnd
from apps.oms.alpaca.update_source import UpdateSource
from apps.runtime import metrics
from domain.access.scopes import EVERY_ACCOUNT

STREAMS_MAX: Final = 64
STREAMS_OF_A_KEY_MAX: Final = 4


class AlpacaStream:
    """All connections of this process."""

    def __init__(self, source: UpdateSource, authority: Authority) -> None:
        self._source = source
        self._authority = authority
        self._open: dict[StreamClient, None] = {}
        self._of_key: Counter[str] = Counter()
        self.opened = 0
        self.ends: Counter[int] = Counter()
        """Connections that ended, by code; 0 if the client closed it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. Refusal 429 if there are too many."""
        self._make_room()
        client = StreamClient(self._source, self._authority, partial(self._admitted, scope), receive, send)
        self._open[client] = None
        self.opened += 1
        try:
            end = await client.run()
            self.ends[0 if end is None else end.code] += 1
        finally:
            del self._open[client]
            if client.caller is not None:
                self._of_key[client.caller.key_id] -= 1
                self._of_key += Counter()  # forgets keys without a connection

    def _make_room(self) -> None:
        """End the oldest connection that has not shown a key, if there are too many. Refusal 429 if all have."""
        if len(self._open) < STREAMS_MAX:
            return
        nameless = next((client for client in self._open if client.caller is None and not client.ending), None)
        if nameless is None:
            detail = f"{STREAMS_MAX} streams are open already"
            raise Refusal(429, "too_many_streams", detail, headers={"Retry-After": "5"})
        nameless.end(StreamEnd(TRY_LATER, "too many connections"))

    def _admitted(self, scope: Scope, sent: Secret) -> Caller:
        """Return who the key belongs to, and count the connection. StreamEnd if it may not listen."""
        address = self._authority.address(scope)
        try:
            caller, _ = self._authority.admit("GET", scope["path"], address, sent, (True, ALPACA_STREAM))
        except Refusal as refusal:
            if refusal.status in (401, 403):
                raise StreamEnd(POLICY, "unauthorized", refused=True) from None
            raise StreamEnd(TRY_LATER, refusal.detail) from None
        if caller.account == EVERY_ACCOUNT:
            raise StreamEnd(POLICY, "this key is for no single account", refused=True)
        if self._of_key[caller.key_id] >= STREAMS_OF_A_KEY_MAX:
            raise StreamEnd(TRY_LATER, f"{STREAMS_OF_A_KEY_MAX} connections with this key are open already")
        self._of_key[caller.key_id] += 1
        return caller

    @property
    def open(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def series(self) -> Iterator[Metric]:
        yield metrics.gauge("oms_alpaca_streams_open", "Open connections of the Alpaca stream", self.open)
        yield metrics.counter("oms_alpaca_streams_opened", "Connections of the Alpaca stream opened", self.opened)
        ended = {str(code): count for code, count in self.ends.items()}
        yield metrics.counter("oms_alpaca_streams_ended", "Connections ended, by close code; 0: the client closed it", ended, "code")
        yield metrics.counter("oms_alpaca_updates", "Updates made for accounts with listeners", self._source.made)
