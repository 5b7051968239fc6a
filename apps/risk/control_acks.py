"""Acknowledgement of controls by oms and exeq, and recording of kill switches that were set at exeq itself."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.connections.controls import obeyed, of_unit
from apps.connections.unit_leases import UnitLeases
from apps.risk.control_log import ControlLog
from domain.ports import Unavailable
from domain.risk.controls import ControlEvent, KillThrown, words_of_kill

log = structlog.get_logger()

SERVICES: Final = ("exeq", "oms")
REPORTS_PENDING_MAX: Final = 64


class ControlAcks:
    """Asks all services at once whether a control is in force; those of all units where several share the shards."""

    def __init__(self, client: Client, leases: UnitLeases | None = None) -> None:
        self._client = client
        self._leases = leases

    async def of(self, seq: int) -> Mapping[str, str]:
        names = SERVICES if self._leases is None else self._of_units(self._leases)
        if names is None:
            return dict.fromkeys(SERVICES, "unknown")  # the lease store does not say which units there are
        answers = await asyncio.gather(*(obeyed(self._client, name, seq) for name in names))
        return dict(zip(names, answers, strict=True))

    @staticmethod
    def _of_units(leases: UnitLeases) -> Sequence[str] | None:
        """Return the services of all units alive. One that is not alive trusts no lease, sends nothing, and reads the controls first."""
        others = leases.others()
        return None if others is None else [of_unit(service, unit) for unit in (leases.unit, *others) for service in SERVICES]


class LocalKillReport(msgspec.Struct, forbid_unknown_fields=True):
    """A kill switch set at exeq itself, when and by whom."""

    scope: str
    who: str
    reason: str
    at: int


class StoredReport(msgspec.Struct):
    """The reply: the version under which risk recorded the switch."""

    version: int


_REPORT: Final = decoder(LocalKillReport)


class LocalKillReports:
    """Records reports on `risk.kill`. exeq repeats a report until it is answered; the answer follows the journal's acknowledgement."""

    def __init__(self, client: Client, control_log: ControlLog[ControlEvent]) -> None:
        self._client = client
        self._log = control_log

    async def start(self) -> None:
        await self._client.subscribe(subjects.KILL_REPORT, cb=self._on_report, pending_msgs_limit=REPORTS_PENDING_MAX)

    async def _on_report(self, message: Msg) -> None:
        try:
            report = _REPORT.decode(message.data)
            reason, who = words_of_kill(report.reason, report.who)  # the texts of a switch set by file are unchecked
            versions: list[int] = []

            def event(version: int) -> KillThrown:
                versions.append(version)
                return KillThrown(version=version, at=report.at, who=who, reason=reason, scope=report.scope, local=True)

            await self._log.record(event)
            await bus.publish(self._client, message.reply, encode(StoredReport(versions[-1])))
        except (ValueError, Unavailable) as trouble:
            log.warning("a kill switch set at exeq is not recorded yet", reason=str(trouble)[:200])
