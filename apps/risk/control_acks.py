"""Who obeys a control by now: risk asks those who let orders pass and send them. And what was thrown at exeq itself is recorded here."""

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.connections.controls import obeyed
from apps.risk.control_log import ControlLog
from domain.ports import Unavailable
from domain.risk.controls import KillThrown, words_of_kill

log = structlog.get_logger()

SERVICES: Final = ("exeq", "oms")
REPORTS_PENDING_MAX: Final = 64


class ControlAcks:
    """Asks all at once."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def of(self, seq: int) -> Mapping[str, str]:
        answers = await asyncio.gather(*(obeyed(self._client, service, seq) for service in SERVICES))
        return dict(zip(SERVICES, answers, strict=True))


class LocalKillReport(msgspec.Struct, forbid_unknown_fields=True):
    """A switch thrown at exeq itself, when and by whom."""

    scope: str
    who: str
    reason: str
    at: int


class StoredReport(msgspec.Struct):
    """The version under which risk has it."""

    version: int


_REPORT: Final = decoder(LocalKillReport)


class LocalKillReports:
    """`risk.kill`: exeq asks again until it is answered, and it is answered once the journal has it."""

    def __init__(self, client: Client, control_log: ControlLog) -> None:
        self._client = client
        self._log = control_log

    async def start(self) -> None:
        await self._client.subscribe(subjects.KILL_REPORT, cb=self._on_report, pending_msgs_limit=REPORTS_PENDING_MAX)

    async def _on_report(self, message: Msg) -> None:
        try:
            told = _REPORT.decode(message.data)
            reason, who = words_of_kill(told.reason, told.who)  # the words of a switch thrown by file are unchecked
            versions: list[int] = []

            def event(version: int) -> KillThrown:
                versions.append(version)
                return KillThrown(version=version, at=told.at, who=who, reason=reason, scope=told.scope, local=True)

            await self._log.record(event)
            await bus.publish(self._client, message.reply, encode(StoredReport(versions[-1])))
        except (ValueError, Unavailable) as trouble:
            log.warning("a kill switch thrown at exeq was not recorded yet", reason=str(trouble)[:200])
