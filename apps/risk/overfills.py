"""Stop an account after an overfill: a venue traded more than was ordered. An operator arms the account again."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import structlog

from adapters.codec import Commit
from apps.risk.control_log import ControlLog
from domain.alarms import ACCOUNT_STOPPED, KEPT_MAX, Alarm, alarm_views
from domain.order.events import OrderEvent, OrderFilled
from domain.ports import Clock, Unavailable
from domain.risk.controls import ControlEvent, Controls, KillThrown

log = structlog.get_logger()

WHO: Final = "risk"
_ACCOUNT: Final = "account:"
_OF_ORDER: Final = " for order "
WAITING_MAX: Final = 1000
"""Overfills that wait to be handled. Further ones are dropped: their accounts are stopped by an earlier overfill or manually."""
AGAIN_S: Final = 1.0


class Overfills:
    """Reads the journal with the fold and sets the kill switch of the account, once per trade, also across restarts."""

    def __init__(self, controls: Controls, clock: Clock) -> None:
        self._controls = controls
        self._clock = clock
        self._waiting: asyncio.Queue[OrderFilled] = asyncio.Queue(WAITING_MAX)

    def look(self, commits: Sequence[tuple[int, Commit[OrderEvent]]]) -> None:
        for _, commit in commits:
            for event in commit.events:
                if type(event) is OrderFilled and event.overfill and not self._waiting.full():
                    self._waiting.put_nowait(event)

    async def run(self, control_log: ControlLog[ControlEvent]) -> None:
        while True:
            event = await self._waiting.get()
            while not self._known(event):
                try:
                    await self._stop(event, control_log)
                except Unavailable as trouble:
                    log.warning("an overfill could not stop its account yet", account=event.account, reason=str(trouble))
                    await asyncio.sleep(AGAIN_S)

    async def _stop(self, event: OrderFilled, control_log: ControlLog[ControlEvent]) -> None:
        at = self._clock.now_ns()
        scope, reason = f"{_ACCOUNT}{event.account}", _reason(event)
        await control_log.record(lambda version: KillThrown(version=version, at=at, who=WHO, reason=reason, scope=scope))
        log.error("overfill: the account is stopped", account=event.account, order_id=event.order_id, exec_id=event.exec_id)

    def _known(self, event: OrderFilled) -> bool:
        """Return whether this trade was handled before, by this process or an earlier one; the account may be armed again since."""
        return any(isinstance(thrown, KillThrown) and thrown.reason == _reason(event) for thrown in self._controls.history)

    def alarms(self) -> list[dict[str, Any]]:
        """Return the accounts that were stopped, newest first, by the journal of controls; `seq` is its version."""
        stops = (each for each in reversed(self._controls.history) if isinstance(each, KillThrown) and each.who == WHO)
        return alarm_views(_alarm(each) for each in islice(stops, KEPT_MAX))


def _alarm(stop: KillThrown) -> Alarm:
    account, order_id = stop.scope.removeprefix(_ACCOUNT), stop.reason.partition(_OF_ORDER)[2]
    return Alarm(stop.at, ACCOUNT_STOPPED, f"Account {account} was stopped: {stop.reason}.", order_id, account, stop.version)


def _reason(event: OrderFilled) -> str:
    return f"overfill: trade {event.exec_id} of {event.venue}{_OF_ORDER}{event.order_id}"
