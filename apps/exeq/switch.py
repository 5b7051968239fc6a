"""What exeq may not route or send: the controls of all, and the switches thrown at exeq itself, which need nobody else."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client

from adapters import bus
from adapters.codec import decoder, encode
from adapters.local_kills import LocalKill, LocalKills
from apps.controls import REPORT_SUBJECT
from domain.controls import KILLED, Armed, ControlEvent, Controls, scopes_of
from domain.ports import Unavailable

log = structlog.get_logger()

REPORT_EVERY_S: Final = 0.5
REPORT_TIMEOUT_S: Final = 2.0


class Recorded(msgspec.Struct):
    """risk's word that it has it, and under which version."""

    version: int


_RECORDED: Final = decoder(Recorded)


class Switch:
    """`forbids` costs a look into two dictionaries. Without a data directory nothing local outlives the process, and that is said."""

    def __init__(self, controls: Controls, store: LocalKills | None) -> None:
        self._controls = controls
        self._store = store
        self._stamp = store.stamp() if store else 0
        self.local: dict[str, LocalKill] = store.load() if store else {}
        self.known: Callable[[], bool] = lambda: False
        self.thrown: Callable[[], None] = lambda: None

    def forbids(self, account: str, symbol: str, venue: str | None = None) -> str | None:
        """The reason why no such order may be routed or sent; None when it may."""
        if self.local and any(scope in self.local for scope in scopes_of(account, symbol, venue)):
            return KILLED
        return self._controls.forbids(account, symbol, venue)

    def venue_killed(self, venue: str) -> bool:
        scope = f"venue:{venue}"
        return scope in self._controls.kills or scope in self.local

    def throw(self, kill: LocalKill) -> None:
        """In force at once, and on the disk when it returns. Unavailable: in force, but only as long as this process lives."""
        self.local[kill.scope] = kill
        log.warning("kill switch thrown here", scope=kill.scope, who=kill.who, reason=kill.reason)
        if self._store is None:
            raise Unavailable("exeq has no data directory: the switch is thrown, and forgotten when exeq ends")
        self._store.keep(kill)

    def heard(self, event: ControlEvent) -> None:
        """Armed again for all: the local one of that scope goes too, once it had been told of."""
        found = self.local.get(event.scope) if isinstance(event, Armed) else None
        if found is None or found.reported is None or event.version < found.reported:
            return
        del self.local[found.scope]
        log.warning("kill switch armed again", scope=found.scope)
        if self._store:
            self._drop(self._store, found.scope)

    def _drop(self, store: LocalKills, scope: str) -> None:
        try:
            store.drop(scope)
        except Unavailable as trouble:
            log.error("a switch that was armed again will be thrown after a restart", scope=scope, reason=str(trouble))

    async def run(self, client: Client) -> None:
        """For ever: find what was thrown by file, and tell risk what it does not know."""
        while True:
            self._look()
            for kill in [kill for kill in self.local.values() if kill.reported is None]:
                await self._report(client, kill)
            await asyncio.sleep(REPORT_EVERY_S)

    def _look(self) -> None:
        if self._store is None or (stamp := self._store.stamp()) == self._stamp:
            return
        self._stamp = stamp
        for scope, kill in self._store.load().items():
            if scope not in self.local:
                self.local[scope] = kill
                log.warning("kill switch thrown by file", scope=scope, who=kill.who, reason=kill.reason)

    async def _report(self, client: Client, kill: LocalKill) -> None:
        told = {"scope": kill.scope, "who": kill.who, "reason": kill.reason, "at": kill.at}
        try:
            answer: Recorded = _RECORDED.decode(await bus.request(client, REPORT_SUBJECT, encode(told), REPORT_TIMEOUT_S))
            reported = self.local[kill.scope] = msgspec.structs.replace(kill, reported=answer.version)
            if self._store:
                self._store.keep(reported)
        except (Unavailable, ValueError):
            return  # asked again soon
        log.info("kill switch reported to risk", scope=kill.scope, version=answer.version)
