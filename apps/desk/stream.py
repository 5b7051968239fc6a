"""`GET /stream`: who may open one, how many there are, and which end before their clients do."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Final

from fastapi import APIRouter
from prometheus_client.core import Metric
from starlette.types import Receive, Scope, Send

from apps.desk.client_stream import ClientStream, Sources
from apps.desk.query import AccountsQuery, FromQuery, FromSeqQuery, KindsQuery, LimitQuery, NumbersQuery, stream_query
from apps.http.app import BODILESS
from apps.http.authority import Authority
from apps.http.caller import LOCAL_CALLER, Caller, caller_of
from apps.http.problem import Refusal
from apps.runtime import metrics
from config.sections import StreamSection
from domain.access.scopes import EVERY_ACCOUNT

LOOK_EVERY_S: Final = 1.0
"""How often each stream's key and progress are looked at."""
STOPPING: Final = "stopping"
KEY_ENDED: Final = "key_ended"
TOO_SLOW: Final = "too_slow"


class StreamEndpoint:
    """All open streams of this process."""

    def __init__(self, sources: Sources, authority: Authority, bounds: StreamSection) -> None:
        self._sources = sources
        self._authority = authority
        self._bounds = bounds
        self._open: dict[ClientStream, Caller] = {}
        self._by_account: dict[str, set[ClientStream]] = {}
        self._of_owner: dict[str, int] = {}
        self._stopping = False
        self._waited_for: list[Callable[[], bool]] = []
        self.opened = 0
        self.refused = 0
        self.too_slow = 0

    def wait_for(self, known: Callable[[], bool]) -> None:
        """Refuse streams while this is not so: they would show less than there is."""
        self._waited_for.append(known)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["stream"])

        async def documented(
            account: AccountsQuery = None,
            kinds: KindsQuery = None,
            numbers: NumbersQuery = None,
            limit: LimitQuery = None,
            from_: FromQuery = None,
            from_seq: FromSeqQuery = None,
        ) -> None:
            """Server-sent events: hello, reset, snapshot, snapshot_end, frame, heartbeat, marks, services, bye. See docs/stream.md."""
            raise AssertionError("the raw handler answers")

        router.add_api_route("/stream", documented, methods=["GET"], summary="Orders, positions and controls as they change; resumable")
        return router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for as long as its client stays. Refusal 400, 403, 429, 503."""
        caller = caller_of(scope)
        query = stream_query(scope, caller)
        if not self._sources.end.complete or self._stopping or not all(known() for known in self._waited_for):
            raise Refusal(503, "catching_up", "the journal is being read; retry", headers={"Retry-After": "1"})
        self._room_for(caller)
        stream = ClientStream(self._sources, query, caller, scope, send)
        self._enter(stream, caller)
        try:
            await stream.run(receive, headers_only=BODILESS in scope)
        finally:
            self._leave(stream, caller)

    def changed(self, accounts: Collection[str]) -> None:
        """Wake the streams that show one of these accounts."""
        for account in (*accounts, EVERY_ACCOUNT):
            for stream in self._by_account.get(account, ()):
                stream.wake()

    def wake_all(self) -> None:
        for stream in self._open:
            stream.wake()

    async def stop(self) -> None:
        """End every stream with a word, so that its client comes back later."""
        self._stopping = True
        for stream in self._open:
            stream.end(STOPPING)

    async def look_after(self) -> None:
        """End streams whose key was withdrawn, and those whose client takes nothing."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = asyncio.get_running_loop().time()
            for stream, caller in list(self._open.items()):
                if not self._authority.still_admits(caller):
                    stream.end(KEY_ENDED)
                elif stream.takes_nothing_since(now - self._bounds.slow_client_sec):
                    self.too_slow += 1
                    stream.end(TOO_SLOW)
                    stream.abort()

    def _room_for(self, caller: Caller) -> None:
        bounds = self._bounds
        own = self._of_owner.get(caller.owner, 0)
        if len(self._open) >= bounds.streams_max or (caller is not LOCAL_CALLER and own >= bounds.streams_of_an_owner_max):
            self.refused += 1
            detail = "too many streams are open; close one, or name several accounts in one"
            raise Refusal(429, "too_many_streams", detail, headers={"Retry-After": "5"})

    def _enter(self, stream: ClientStream, caller: Caller) -> None:
        self.opened += 1
        self._open[stream] = caller
        self._of_owner[caller.owner] = self._of_owner.get(caller.owner, 0) + 1
        for account in stream.query.accounts:
            self._by_account.setdefault(account, set()).add(stream)

    def _leave(self, stream: ClientStream, caller: Caller) -> None:
        del self._open[stream]
        self._of_owner[caller.owner] -= 1
        if not self._of_owner[caller.owner]:
            del self._of_owner[caller.owner]
        for account in stream.query.accounts:
            streams = self._by_account[account]
            streams.discard(stream)
            if not streams:
                del self._by_account[account]

    def stats(self) -> dict[str, object]:
        return {"open": len(self._open), "opened": self.opened, "refused": self.refused, "too_slow": self.too_slow}

    def series(self) -> Iterator[Metric]:
        yield metrics.gauge("desk_streams_open", "Open streams", len(self._open))
        yield metrics.counter("desk_streams_opened", "Streams opened", self.opened)
        yield metrics.counter("desk_streams_refused", "Streams refused because too many were open", self.refused)
        yield metrics.counter("desk_streams_too_slow", "Streams ended because their client took nothing", self.too_slow)
