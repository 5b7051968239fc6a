"""A verification sees what is wrong in the journal and in oms, and tells who is behind, away or not asked."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from nats.aio.client import Client

from adapters.codec import ORDER_COMMITS, encode
from adapters.controls import CONTROL_COMMITS
from adapters.memory import MemoryJournal
from adapters.scratch import ScratchLines
from adapters.sqlite import SqliteFills
from apps.stack.ports import ALL_PORTS
from apps.tools.verify.live import OmsReads, View
from apps.tools.verify.places import Places, opened
from apps.tools.verify.report import CheckLine
from apps.tools.verify.run import Sides, verify
from domain.audit.journal_audit import Audit, ObservedCommit
from domain.audit.state_hash import orders_state, state_hash
from domain.order import events as e
from domain.order.events import JournalAccepted
from domain.ports import Corrupt, Head, Missing
from domain.risk.controls import KillThrown
from domain.values import use_exact_arithmetic
from tests.apps.test_bookkeeper import Desk, fill, replayed, route, submit, terms
from tests.apps.verified import FILLS_FILE, NAMES, Silent, World, _impatient, begun, door_of, found_in, outcomes, world
from tests.domain.order.histories import Commits, histories

__all__ = ["_impatient", "world"]


async def test_a_clean_system_verifies(world: World) -> None:
    world.mark = world.log.commits[-2][0]
    told: list[CheckLine] = []
    report = await world.verified(told=told)
    assert (report.ok, report.complete, report.first_difference) == (True, True, None), report
    assert tuple(outcomes(report)) == NAMES
    assert told == list(report.checks)
    journal, orders, store, positions, fills, oms, _, _ = (check.counts for check in report.checks)
    end = len(world.log.commits)
    assert (journal["commits"], journal["sequence"], journal["high_water_mark"]) == (end, end, end - 1)
    assert (orders["orders"], orders["trades"]) == (4, 3)
    assert store == {"orders": 4, "as_of": end, "state": state_hash(orders_state((await replayed(world.log)).values()))}
    assert positions == {"positions": 1, "as_of": end, "behind": 0}
    assert fills == {"rows": 4, "as_of": end, "behind": 0, "notional": "148.5"}
    assert oms["open_orders"] == 3


async def test_a_journal_with_nothing_in_it_verifies(tmp_path: Path) -> None:
    async with begun(tmp_path) as world:
        await world.fills.prepare()
        assert outcomes(await world.verified()) == dict.fromkeys(NAMES, "ok")


async def test_a_report_says_its_figures_in_a_line(world: World) -> None:
    world.sql(FILLS_FILE, "UPDATE fills SET price = '98' WHERE exec_id = 'x4'")
    lines = [check.line() for check in (await world.verified()).checks]
    assert lines[3] == f"positions    OK: positions 1, as of {len(world.log.commits)}, behind 0"
    assert lines[4].startswith("fills        DIFFERENT: rows ")


# The journal


async def test_a_flipped_byte_is_found_with_its_sequence(world: World) -> None:  # FAILURES 12
    head, payload = world.log.commits[4]
    world.log.commits[4] = (head, payload.replace(b"PAPER_A", b"PAPER_B"))
    report = await world.verified()
    assert "sequence 5: the chain value of commit 5 does not verify" in found_in(report, "journal")
    assert outcomes(report) == {"journal": "different"} | dict.fromkeys(NAMES[1:-2], "not_looked_at") | {"controls": "ok", "access": "ok"}


async def test_a_missing_commit_is_found_with_its_sequence(world: World) -> None:
    del world.log.commits[4]
    assert "sequence 6: commit 6 follows commit 4" in found_in(await world.verified(), "journal")


async def test_an_unreadable_commit_is_found(world: World) -> None:
    await world.journal.append(b'{"v":99,"shard":0,"n":%d,"events":[]}' % (len(world.log.commits) + 1), world.log.commits[-1][0])
    assert "has version 99" in found_in(await world.verified(), "journal")


async def test_a_journal_that_ends_before_its_mark_is_found(world: World) -> None:  # FAILURES 12, 13
    last = world.log.commits[-1][0]
    world.mark = Head(last.seq + 5, last.n + 5, "beyond")
    assert f"ends before its mark at sequence {last.seq + 5}" in found_in(await world.verified(), "journal")
    world.mark = Head(3, 3, "another")
    assert "high_water_mark at 3" in found_in(await world.verified(), "journal")


class Removed(MemoryJournal):
    """Its stream is not there any more."""

    async def head(self) -> Head:
        raise Missing("stream OMS_JOURNAL: stream not found")


async def test_a_journal_that_is_gone_is_found_by_its_mark(world: World) -> None:  # FAILURES 12
    world.mark, world.journal = world.log.commits[-1][0], Removed()
    found = found_in(await world.verified(), "journal")
    assert found == f"stream OMS_JOURNAL: stream not found, but sequence {world.mark.seq} had been acknowledged"
    world.mark = None
    with pytest.raises(Missing):
        await world.verified()


async def test_a_mark_that_does_not_verify_is_reported_and_the_rest_is_compared(world: World) -> None:
    def damaged() -> Head | None:
        raise Corrupt("the mark does not verify")

    report = await verify(world.journal, Sides(mark=damaged, positions=world.positions))
    assert report.first_difference == "journal: the mark does not verify"
    assert outcomes(report)["positions"] == "ok"


async def journaled(world: World, *events: e.OrderEvent) -> None:
    """Append events that no decision produced. Every view shows them as they are."""
    head = world.log.commits[-1][0]
    await world.desk.kill()
    await world.journal.append(ORDER_COMMITS.encode(0, head.n + 1, events), head)
    world.desk = await Desk(world.log, world.store).ready()  # type: ignore[arg-type]
    await world.desk.saved()
    await world.projected()


async def test_a_trade_that_was_booked_twice_is_found(world: World) -> None:
    (first,) = [row.event for row in world.events if isinstance(row.event, e.OrderFilled) and row.event.exec_id == "x4"]
    await journaled(world, msgspec.structs.replace(first, report_seq=5, at=first.at + 1_000_000))
    report = await world.verified()
    assert outcomes(report)["orders"] == "different"
    assert (report.first_difference or "").startswith(f"orders: trade_once at {len(world.log.commits)}: trade x4 of PAPER_A")


async def test_a_step_that_the_table_lacks_is_found(world: World) -> None:
    end = e.OrderExpired(order_id=terms("d").order_id, at=1, status="filled", source="exeq", reason="none")  # type: ignore[arg-type]
    await journaled(world, end)
    found = found_in(await world.verified(), "orders")
    assert found.startswith(
        f"lawful_step at {len(world.log.commits)}: OrderExpired leads order {terms('d').order_id} from queued to filled"
    )


# oms itself


class Wrong:
    """An oms that is wrong about one field."""

    def __init__(self, door: OmsReads, **changes: object) -> None:
        self._door, self._changes = door, changes

    async def open(self) -> AsyncIterator[list[View]]:
        async for page in self._door.open():
            yield [view | self._changes for view in page]

    async def one(self, order_id: str) -> View | None:
        view = await self._door.one(order_id)
        return view and view | self._changes


async def test_an_oms_that_forgot_an_order_is_found(world: World) -> None:
    assert "is open by the journal, and oms does not know it" in found_in(await world.verified(live=Silent()), "oms")


@pytest.mark.parametrize(("field", "value"), [("leaves_quantity", 7), ("version", 99), ("version", 1), ("seq", 1), ("account", "bob")])
async def test_an_oms_that_is_wrong_about_an_order_is_found_with_its_field(world: World, field: str, value: object) -> None:
    async with door_of(world) as door:
        found = found_in(await world.verified(live=Wrong(door, **{field: value})), "oms")
    assert f" {field}: " in found
    assert found.endswith(f" by the journal, {encode(value).decode()} in oms")


class Busy(OmsReads):
    """Orders move between the reading of a page and its comparison."""

    def __init__(self, door: OmsReads, world: World) -> None:
        self._door, self._world = door, world

    async def open(self) -> AsyncIterator[list[View]]:
        async for page in self._door.open():
            if page and page[0]["client_order_id"] == "c":
                await self._world.desk.host.perform(fill("c", 5, "0.5"))
                await self._world.desk.host.perform(fill("c", 6, "1"))
                await self._world.desk.host.perform(submit("e"))
            yield page

    async def one(self, order_id: str) -> View | None:
        return await self._door.one(order_id)


async def test_orders_that_move_meanwhile_are_no_difference(world: World) -> None:
    async with door_of(world) as door:
        report = await world.verified(live=Busy(door, world))
    assert report.complete, report
    assert report.as_of_seq == len(world.log.commits)


# Who is behind, away, or not asked


@pytest.mark.parametrize("stands", [1, 3, 4, 10])
async def test_a_projector_that_is_behind_is_compared_where_it_stands(tmp_path: Path, stands: int) -> None:
    async with begun(tmp_path) as world:
        await world.lived()
        for file in tmp_path.glob("fills.db*"):
            file.unlink()
        world.fills = SqliteFills(tmp_path / FILLS_FILE)
        await world.projected(stands)
        report = await world.verified()
    assert report.complete, report
    assert [(check.counts["as_of"], check.counts["behind"]) for check in report.checks[3:5]] == [(stands, 11 - stands)] * 2


async def test_a_service_that_does_not_answer_is_named_and_the_others_are_compared(world: World) -> None:
    world.positions.down = True
    report = await world.verified()
    assert (report.ok, report.complete) == (True, False)
    assert outcomes(report) == dict.fromkeys(NAMES, "ok") | {"positions": "unreachable"}
    world.positions.positions["alice", "BTCUSDT"].quantity += 1
    world.positions.down = False
    (world.directory / FILLS_FILE).unlink()
    report = await world.verified()
    assert outcomes(report) == dict.fromkeys(NAMES, "ok") | {"positions": "different", "fills": "unreachable"}


async def test_a_view_without_an_address_is_not_looked_at(world: World) -> None:
    report = await verify(world.journal, Sides())
    assert (report.ok, report.complete) == (True, False)
    assert outcomes(report) == {"journal": "ok", "orders": "ok"} | dict.fromkeys(NAMES[2:], "not_looked_at")


async def test_a_system_that_trades_verifies_again_and_again(tmp_path: Path) -> None:
    async with begun(tmp_path) as world:
        await world.lived()

        async def trade() -> None:
            for number in range(10, 60):
                name = f"t{number}"
                for command in (submit(name), route(name), fill(name, number, "2")):
                    await world.desk.host.perform(command)
                    await asyncio.sleep(0.002)

        trading = asyncio.create_task(trade())
        reports = []
        while not trading.done():
            reports.append(await world.verified())
            await asyncio.sleep(0.01)
        await trading
    assert len(reports) > 1
    for report in reports:
        assert report.ok, report
        assert outcomes(report) == dict.fromkeys(NAMES, "ok")


# What the pass remembers


@given(histories())
@settings(max_examples=30, deadline=None)
def test_lines_that_were_put_away_are_the_same_lines(commits: Commits) -> None:
    use_exact_arithmetic()
    far, near = Audit(lines=(scratch := ScratchLines(closed_max=0))), Audit()
    for seq, events in enumerate(commits, 1):
        for audit in (far, near):
            audit.take(ObservedCommit(seq, seq, "", b"", events))
        scratch.settle()
    assert [(v.name, v.where, v.what) for v in far.violations] == [(v.name, v.where, v.what) for v in near.violations]
    assert dict(scratch.items_in_order()) == near.lines
    assert [order_id for order_id, _ in scratch.items_in_order()] == sorted(near.lines)
    assert (len(scratch), set(scratch), "absent" in scratch) == (len(near.lines), set(near.lines), False)
    scratch.close()


# The controls


async def kills(world: World, count: int) -> None:
    journal, head = MemoryJournal(world.controls), Head()
    for n in range(1, count + 1):
        event = KillThrown(version=n + 1, at=1, who="ann", reason="why", scope=f"account:a{n}")
        head = await journal.append(CONTROL_COMMITS.encode(0, n, (event,)), head)
    world.control_marks = {"risk": head, "oms": head}


async def test_controls_that_are_whole_verify_with_their_counts(world: World) -> None:
    await kills(world, 3)
    (check,) = (check for check in (await world.verified()).checks if check.name == "controls")
    assert check.counts == {"commits": 3, "sequence": 3, "killed": 3, "high_water_mark": 3}


async def test_controls_that_are_not_what_was_read_are_found(world: World) -> None:
    await kills(world, 3)
    head, payload = world.controls.commits[1]
    world.controls.commits[1] = (head, payload.replace(b"a2", b"a9"))
    assert "sequence 2: the chain value of commit 2 does not verify" in found_in(await world.verified(), "controls")
    world.controls.commits[1] = (head, payload)
    world.controls.put_foreign(b"an answer")
    assert found_in(await world.verified(), "controls") == "sequence 4 is no commit, and no operator skipped it"
    del world.controls.commits[2:]
    assert found_in(await world.verified(), "controls") == "oms had sequence 3, and the journal ends before it"
    del world.control_marks["oms"]
    assert found_in(await world.verified(), "controls") == "risk had sequence 3, and the journal ends before it"


async def test_a_foreign_message_in_the_journal_is_a_difference_until_it_is_skipped(world: World) -> None:
    head = await world.journal.head()
    world.log.put_foreign(b"an answer")
    where = head.seq + 1
    assert f"foreign at {where}: it is no commit" in found_in(await world.verified(), "journal")
    skipped = tuple(await world.journal.foreign(head))
    event = JournalAccepted(at=1, who="ann", reason="a guest", goes_on_from=head.seq, acknowledged_to=head.seq, skipped=skipped)
    await world.journal.append(ORDER_COMMITS.encode(0, head.n + 1, (event,)), Head(where, head.n, head.chain))
    report = await world.verified()
    assert report.checks[0].outcome == "ok", report
    assert report.checks[0].counts["skipped"] == f"1 (sequence {where})"


async def test_the_journal_of_access_is_compared_with_the_mark_of_every_service(tmp_path: Path) -> None:
    """Each of them keeps one, and refuses to start if the journal ends before it."""
    async with opened(Places(data_dir=tmp_path), Client()) as sides:
        assert sides.access is not None
        assert set(sides.access.marks) == set(ALL_PORTS)
