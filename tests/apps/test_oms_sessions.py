"""A venue's session at oms: what cannot be taken now is not counted as taken, and comes again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from adapters.codec import encode
from apps.oms import report_sessions
from apps.oms.report_sessions import VenueSessions
from domain.order.commands import VenueReport
from tests import given
from tests.apps.held_journal import until
from tests.apps.test_host import Desk, desk

VENUE = "PAPER_A"


class Told(msgspec.Struct):
    data: bytes
    subject: str = f"venue.{VENUE}.reports.0"


class VenueOnTheWire:
    """A client of NATS with a venue at its other end: who asks for a resend gets every report from there on, again."""

    def __init__(self, *reports: VenueReport) -> None:
        self.reports = reports
        self.asked: list[int] = []
        self._hear: Callable[[Any], Awaitable[None]] | None = None

    async def subscribe(self, subject: str, *, cb: Callable[[Any], Awaitable[None]], pending_msgs_limit: int = 0) -> None:
        self._hear = cb

    async def tell(self, *reports: VenueReport) -> None:
        assert self._hear is not None
        await self._hear(Told(encode(reports)))

    async def request(self, subject: str, payload: bytes, timeout: float) -> Told:
        first = msgspec.json.decode(payload)["from"]
        self.asked.append(first)
        await self.tell(*(report for report in self.reports if report.report_seq >= first))
        return Told(encode({"last": len(self.reports)}))


async def session(d: Desk, wire: VenueOnTheWire) -> VenueSessions:
    made = VenueSessions(wire, d.host, [VENUE], 0, failed=pytest.fail)  # type: ignore[arg-type]
    await made.start()
    made.restart()
    return made


def stranger(seq: int) -> VenueReport:
    return given.report("fill", exec_id=f"X{seq}", quantity="1", price="50", fee="0", report_seq=seq)


async def test_a_report_whose_order_cannot_be_looked_up_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_sessions, "ASK_EVERY_S", 0.01)
    reports = [stranger(seq) for seq in (1, 2, 3)]
    wire = VenueOnTheWire(*reports)
    async with desk() as d:
        await d.ready()
        taken = await session(d, wire)
        d.store.down = True
        await wire.tell(*reports)
        assert taken.stats()["applied"] == 0
        assert wire.asked == [], "a store that is down is no reason to ask at every report that follows"
        d.store.down = False
        running = asyncio.create_task(taken.run())
        await until(lambda: d.host.orders.report_seqs.get(VENUE) == 3)
        running.cancel()
        assert taken.stats()["applied"] == 3
        assert wire.asked[0] == 1
