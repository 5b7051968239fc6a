"""A small system to be verified: a journal, and all that show it, each of which a test can damage."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryJournal, MemoryLog, MemoryPositions
from adapters.orderstore import SqliteOrderStore
from adapters.sqlite import SqliteFills
from apps.http.app import application
from apps.journal import order_repository
from apps.oms.accounts import Accounts
from apps.oms.reads import OrderReads
from apps.oms.replace import ReplaceHandler
from apps.oms.routes import router
from apps.tools.verify import fills as fills_check
from apps.tools.verify import orders as orders_check
from apps.tools.verify.controls import ACCESS_KIND, ControlsSide
from apps.tools.verify.live import OmsReads, View
from apps.tools.verify.report import CheckLine, VerificationReport
from apps.tools.verify.run import Sides, verify
from domain.access.keys import KeyRing
from domain.market.quotes import Market
from domain.order.commands import CancelOrder, OrderCommand, ReportKind, VenueReport
from domain.ports import Head, Journal
from domain.position.position import PositionBook
from domain.position.rows import EventRow
from tests.apps.callers import as_caller
from tests.apps.submits import CURRENCY
from tests.apps.test_bookkeeper import Desk, fill, route, submit, terms

ORDERS_FILE: Final = "orders.db"
FILLS_FILE: Final = "fills.db"
NAMES: Final = ("journal", "orders", "order store", "positions", "fills", "oms", "controls", "access")


def bust(name: str, number: int, trade: int) -> VenueReport:
    return msgspec.structs.replace(fill(name, number, "1"), report=ReportKind.BUST, exec_id=f"x{trade}")


class World:
    """A journal of four orders (`a` filled and busted in part, `b` cancelled, `c` half filled, `d` new), and all that show it."""

    def __init__(self, directory: Path, desk: Desk, log: MemoryLog, store: SqliteOrderStore) -> None:
        self.directory, self.desk, self.log, self.store = directory, desk, log, store
        self.journal = MemoryJournal(log)
        self.positions = MemoryPositions()
        self.fills = SqliteFills(directory / FILLS_FILE)
        self.mark: Head | None = None
        self.controls, self.access = MemoryLog(), MemoryLog()
        self.control_marks: dict[str, Head] = {}

    @property
    def events(self) -> list[EventRow]:
        commits = [(head.seq, ORDER_COMMITS.decode(payload).events) for head, payload in self.log.commits]
        return [EventRow(event=event, seq=seq, index=index) for seq, events in commits for index, event in enumerate(events)]

    async def lived(self) -> None:
        cancel = CancelOrder(order_id=terms("b").order_id)
        life: tuple[OrderCommand, ...] = (submit("a"), route("a"), fill("a", 1, "1"), fill("a", 2, "1"), bust("a", 3, 1))
        for command in (*life, submit("b"), cancel, submit("c"), route("c"), fill("c", 4, "0.5"), submit("d")):
            await self.desk.host.perform(command)
        await self.desk.saved()
        await self.projected()

    async def projected(self, until: int | None = None) -> None:
        """What a projector makes of the journal."""
        last = until or len(self.log.commits)
        book = PositionBook()
        for row in self.events:
            if row.seq <= last:
                book.apply(row.event, row.seq)
        await self.positions.clear()
        assert await self.positions.store(book.positions.values(), after=0, seq=last)
        await self.fills.prepare()
        await self.fills.write([row for row in self.events if row.seq <= last])

    def sql(self, file: str, *statement: Any) -> None:
        with contextlib.closing(sqlite3.connect(self.directory / file)) as connection, connection:
            assert connection.execute(*statement).rowcount, "something must have been planted"

    def served(self) -> FastAPI:
        reads = OrderReads(self.desk.host)
        return application("oms", router(self.desk.host, reads, self.accounts(), self.replaces(), (), KeyRing().may_trade))

    async def verified(self, live: Any = None, told: list[CheckLine] | None = None) -> VerificationReport:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(self.served())), base_url="http://oms") as http:
            sides = Sides(
                mark=lambda: self.mark,
                orders=self.store.picture,
                positions=self.positions,
                fills=self.fills,
                live=live or OmsReads(http),
                controls=ControlsSide(
                    self._controls, {service: partial(self.control_marks.__getitem__, service) for service in self.control_marks}
                ),
                access=ControlsSide(self._access, {}, ACCESS_KIND),
            )
            return await verify(self.journal, sides, tell=(told if told is not None else []).append)

    async def _controls(self) -> Journal:
        return MemoryJournal(self.controls)

    async def _access(self) -> Journal:
        return MemoryJournal(self.access)

    def accounts(self) -> Accounts:
        return Accounts(self.positions, self.fills, Market(), SystemClock(), 10.0, CURRENCY)

    def replaces(self) -> ReplaceHandler:
        """No order is replaced here."""
        return ReplaceHandler(self.desk.host, None, {}, lambda terms: None)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def begun(directory: Path) -> AsyncIterator[World]:
    log, store = MemoryLog(), SqliteOrderStore(directory / ORDERS_FILE)
    desk = await Desk(log, store).ready()  # type: ignore[arg-type]
    world = World(directory, desk, log, store)
    try:
        yield world
    finally:
        await world.desk.kill()
        store.close()
        await world.fills.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with begun(tmp_path) as made:
        await made.lived()
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are missing here will not come, and nothing else needs the disk."""
    monkeypatch.setattr(fills_check, "LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(orders_check, "LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(order_repository, "SAVE_EVERY_S", 0.005)


def outcomes(report: VerificationReport) -> dict[str, str]:
    return {check.name: check.outcome for check in report.checks}


def found_in(report: VerificationReport, name: str) -> str:
    """What the one check found that is not fine."""
    assert not report.ok
    assert [check.name for check in report.checks if check.outcome == "different"] == [name], report
    assert report.first_difference == f"{name}: {report.checks[NAMES.index(name)].found}"
    return report.checks[NAMES.index(name)].found


class Silent:
    """An oms without open orders, which knows no account."""

    async def open(self) -> AsyncIterator[list[View]]:
        nothing: tuple[list[View], ...] = ()
        for page in nothing:
            yield page

    async def one(self, order_id: str) -> View | None:
        return None


@contextlib.asynccontextmanager
async def door_of(world: World) -> AsyncIterator[OmsReads]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(world.served())), base_url="http://oms") as http:
        yield OmsReads(http)
