"""What exeq may not route or send: the global controls, and kill switches set at exeq itself, which need no other service."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import decoder, encode
from adapters.local_kills import LocalKill, LocalKills
from domain.ports import Unavailable
from domain.risk.controls import KILLED, Armed, ControlEvent, Controls, scopes_of

log = structlog.get_logger()

LOOK_EVERY_S: Final = 0.5
REPORT_EVERY_S: Final = 0.5
REPORT_TIMEOUT_S: Final = 2.0


class StoredKill(msgspec.Struct):
    """risk's reply: the version under which it recorded the switch."""

    version: int


_RECORDED: Final = decoder(StoredKill)


class ExeqKillSwitch:
    """Combines controls and local switches; `forbids` costs two dictionary lookups.

    Without a data directory a local switch does not outlive the process, and `throw` reports that. `trouble` is why the local switches
    cannot be read, or None. While it is set nothing is sent, because a switch may be set.
    """

    def __init__(self, controls: Controls, store: LocalKills | None) -> None:
        self._controls = controls
        self._store = store
        self.local: dict[str, LocalKill] = {}
        self.trouble: str | None = None
        self.controls_known: Callable[[], bool] = lambda: False
        if store is not None:
            self._begin(store)

    def _begin(self, store: LocalKills) -> None:
        try:
            store.prepare()
        except Unavailable as trouble:
            log.error("the directory of the local kill switches cannot be prepared", reason=str(trouble))
        self._look()

    def known(self) -> bool:
        """Return whether all controls and local switches are known. Nothing is routed or sent while they are not."""
        return self.trouble is None and self.controls_known()

    def stats(self) -> dict[str, Any]:
        return {"killed": sorted({*self._controls.kills, *self.local}), "kill_switches_unreadable": self.trouble}

    async def unreadable(self) -> str | None:
        """Return why local switches cannot be read, for the readiness; None while they can."""
        return self.trouble

    def forbids(self, account: str, symbol: str, venue: str | None = None) -> str | None:
        """Return the reason why no such order may be routed or sent; None when it may."""
        if self.local and any(scope in self.local for scope in scopes_of(account, symbol, venue)):
            return KILLED
        return self._controls.forbids(account, symbol, venue)

    def venue_killed(self, venue: str) -> bool:
        scope = f"venue:{venue}"
        return scope in self._controls.kills or scope in self.local

    def throw(self, kill: LocalKill) -> None:
        """Set the switch: in force at once, durable on return. Raises Unavailable when it is in force only while this process runs."""
        self.local[kill.scope] = kill
        log.warning("kill switch set at this exeq", scope=kill.scope, who=kill.who, reason=kill.reason)
        if self._store is None:
            raise Unavailable("exeq has no data directory: the switch is set, and lost when exeq ends")
        self._store.keep(kill)

    def heard(self, event: ControlEvent) -> None:
        """Remove the local switch of a scope that was armed again, if risk had recorded the switch before."""
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
            log.error("a switch that was armed again cannot be removed and will be set after a restart", scope=scope, reason=str(trouble))

    async def run(self, client: Client) -> None:
        """Load switches set by file, and report unrecorded ones to risk. Neither loop waits for the other."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._look_on())
            loops.create_task(self._report_on(client))

    async def _look_on(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _report_on(self, client: Client) -> None:
        while True:
            for kill in [kill for kill in self.local.values() if kill.reported is None]:
                await self._report(client, kill)
            await asyncio.sleep(REPORT_EVERY_S)

    def _look(self) -> None:
        """Load switches set by file. While they cannot be read nothing is sent; those read before stay in force."""
        if self._store is None:
            return
        try:
            found = self._store.load()
        except Unavailable as trouble:
            if self.trouble is None:
                log.error("nothing is sent: the local kill switches cannot be read", reason=str(trouble))
            self.trouble = str(trouble)
            return
        if self.trouble is not None:
            log.warning("the local kill switches can be read again")
        self.trouble = None
        for scope, kill in found.items():
            if scope not in self.local:
                self.local[scope] = kill
                log.warning("kill switch set by file", scope=scope, who=kill.who, reason=kill.reason)

    async def _report(self, client: Client, kill: LocalKill) -> None:
        report = {"scope": kill.scope, "who": kill.who, "reason": kill.reason, "at": kill.at}
        try:
            answer: StoredKill = _RECORDED.decode(await bus.request(client, subjects.KILL_REPORT, encode(report), REPORT_TIMEOUT_S))
            reported = self.local[kill.scope] = msgspec.structs.replace(kill, reported=answer.version)
            if self._store:
                self._store.keep(reported)
        except (Unavailable, ValueError):
            return  # repeated after REPORT_EVERY_S
        log.info("kill switch reported to risk", scope=kill.scope, version=answer.version)
