"""GET /reconciliation: when the venues were last compared with the journal, what differed and what became of it."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from apps.exeq import reconciliation_endpoint
from apps.exeq.reconciliation import VenuePass, VenueReconciliation
from apps.http.app import application
from apps.runtime.chassis import cancelled
from apps.runtime.helper_process import Ended, TookTooLong
from domain.execution.reconciliation import OrderDifference
from domain.order.commands import ReportKind, VenueReport
from domain.values import Side, rfc3339
from tests.apps.callers import as_caller
from tests.apps.test_exeq_routing import Hands, S
from tests.apps.test_snapshots import until
from tests.apps.test_venues_upkeep import STRANGER, Program, said
from tests.contracts.facts import AT

FILL = VenueReport(
    report=ReportKind.FILL,
    order_id="o1",
    route_id="R1",
    venue="A",
    report_seq=0,
    at=AT,
    account="alice",
    symbol="BTCUSDT",
    side=Side.BUY,
    exec_id="T1",
)
MISSING = OrderDifference("trade not here", "alice", "BTCUSDT", "o1", "T1", "-", "4 @ 50", repair=FILL)
DOUBTFUL = OrderDifference("order not there", "alice", "BTCUSDT", "o2", "R2", "routed", "-", doubt="unknown_at_venue")
POSITION = OrderDifference("position", "alice", "BTCUSDT", "", "", "0", "4")


class House:
    """A reconciliation of two venues whose program gives the answers that a test chose, and its route."""

    def __init__(self, *answers: Ended | Exception) -> None:
        self.clock = Hands()
        self.upkeep = VenueReconciliation(["A", "B"], 60.0, Program(*answers), self.clock)  # type: ignore[arg-type]

    async def look(self) -> None:
        self.clock.now += S
        await self.upkeep.look()

    async def asked(self, method: str) -> httpx.Response:
        app = as_caller(application("exeq", reconciliation_endpoint.router(self.upkeep)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://exeq") as client:
            return await client.request(method, "/reconciliation")

    async def told(self) -> Any:
        answer = await self.asked("GET")
        assert answer.status_code == 200
        return answer.json()


async def test_before_the_first_pass_there_is_none() -> None:
    told = await House(TookTooLong()).told()
    assert told == {"last_pass": None, "last_failure": None, "passes": 0, "failed": 0, "running": False, "began_at": None}


async def test_a_pass_without_a_difference_says_how_far_it_looked() -> None:
    house = House(said(VenuePass("A", 7, 3, 2, read_from=5), VenuePass("B", 7, 0, 0)))
    await house.look()
    told = await house.told()
    nothing = {"repaired": 0, "left": 0, "differences": [], "truncated": False}
    assert told["last_pass"] == {
        "began_at": rfc3339(AT + S),
        "at": rfc3339(AT + S),
        "venues": [
            {"venue": "A", "as_of_seq": 7, "read_from_seq": 5, "orders": 3, "trades": 2, **nothing},
            {"venue": "B", "as_of_seq": 7, "read_from_seq": 0, "orders": 0, "trades": 0, **nothing},
        ],
        "not_compared": [],
    }


async def test_each_difference_says_what_became_of_it_and_what_was_sent_for_it() -> None:
    found = (MISSING, DOUBTFUL, POSITION, STRANGER)
    house = House(said(VenuePass("A", 9, 3, 2, found, 2, (STRANGER,)), VenuePass("B", 9, 0, 0)))
    await house.look()
    venue = (await house.told())["last_pass"]["venues"][0]
    assert (venue["repaired"], venue["left"]) == (3, 1)
    assert [(each["outcome"], each["what"], each["repair"]) for each in venue["differences"]] == [
        ("left", "order not here", None),
        ("repaired", "trade not here", "fill"),
        ("repaired", "order not there", "in_doubt"),
        ("repaired", "position", None),
    ]
    assert venue["differences"][1] == {
        "outcome": "repaired",
        "what": "trade not here",
        "account": "alice",
        "symbol": "BTCUSDT",
        "order_id": "o1",
        "about": "T1",
        "ours": "-",
        "theirs": "4 @ 50",
        "repair": "fill",
    }


async def test_the_last_pass_is_kept_while_later_ones_fail_and_the_failure_says_when_and_why() -> None:
    fine = said(VenuePass("A", 7, 3, 2), VenuePass("B", 7, 0, 0))
    house = House(fine, Ended(3, b"", "NATS is away"), said(VenuePass("A", 8, 3, 2), words="venue B is away"))
    await house.look()
    await house.look()
    told = await house.told()
    assert (told["last_pass"]["at"], told["passes"], told["failed"]) == (rfc3339(AT + S), 1, 1)
    assert told["last_failure"] == {"at": rfc3339(AT + 2 * S), "reason": "NATS is away"}
    await house.look()
    told = await house.told()
    assert ([each["venue"] for each in told["last_pass"]["venues"]], told["last_pass"]["not_compared"]) == (["A"], ["B"])
    assert told["last_failure"] == {"at": rfc3339(AT + 3 * S), "reason": "venue B is away"}


async def test_the_list_has_a_bound_over_all_venues_and_the_numbers_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation_endpoint, "DIFFERENCES_SHOWN_MAX", 3)
    many = tuple(msgspec.structs.replace(STRANGER, order_id=f"o{n}") for n in range(2))
    more = tuple(msgspec.structs.replace(MISSING, order_id=f"p{n}") for n in range(4))
    house = House(said(VenuePass("A", 9, 3, 2, many, 0, many), VenuePass("B", 9, 3, 2, more, 4)))
    await house.look()
    a, b = (await house.told())["last_pass"]["venues"]
    assert (len(a["differences"]), a["left"], a["truncated"]) == (2, 2, False)
    assert (len(b["differences"]), b["repaired"], b["truncated"]) == (1, 4, True)


class Held(Program):
    """A program that ends when the test lets it."""

    def __init__(self, *answers: Ended | Exception) -> None:
        super().__init__(*answers)
        self.may_end = asyncio.Event()

    async def ask(self, *venues: str) -> Ended:
        await self.may_end.wait()
        return await super().ask(*venues)


async def test_a_pass_is_started_by_hand_one_at_a_time_and_its_result_is_read_afterwards() -> None:
    house, program = House(), Held(said(VenuePass("A", 7, 3, 2), VenuePass("B", 7, 0, 0)))
    house.upkeep = VenueReconciliation(["A", "B"], 60.0, program, house.clock)  # type: ignore[arg-type]
    running = asyncio.create_task(house.upkeep.run())
    started = await house.asked("POST")
    assert (started.status_code, started.json()["running"], started.json()["passes"]) == (202, True, 0)
    await until(lambda: house.upkeep.began is not None)
    again = await house.asked("POST")
    assert (again.status_code, again.json()["code"]) == (409, "reconciliation_running")
    assert (await house.told())["began_at"] == rfc3339(house.clock.now)
    program.may_end.set()
    await until(lambda: not house.upkeep.running)
    told = await house.told()
    assert (told["running"], told["passes"], [each["venue"] for each in told["last_pass"]["venues"]]) == (False, 1, ["A", "B"])
    assert len(program.asked) == 1
    await cancelled(running)


async def test_without_a_venue_that_reports_its_orders_nothing_is_started() -> None:
    house = House(TookTooLong())
    house.upkeep = VenueReconciliation([], 60.0, Program(TookTooLong()), house.clock)  # type: ignore[arg-type]
    answer = await house.asked("POST")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_venue_to_compare")


async def test_a_venue_that_gave_a_result_for_one_shard_of_two_is_not_compared() -> None:
    passes = VenuePass("A", 7, 3, 2, shard=0), VenuePass("B", 7, 0, 0, shard=0), VenuePass("A", 4, 1, 0, shard=1)
    house = House()
    house.upkeep = VenueReconciliation(["A", "B"], 60.0, Program(said(*passes, words="venue B is away")), house.clock, 2)  # type: ignore[arg-type]
    await house.look()
    told = await house.told()
    assert [(each["venue"], each["shard"], each["as_of_seq"]) for each in told["last_pass"]["venues"]] == [
        ("A", 0, 7),
        ("B", 0, 7),
        ("A", 1, 4),
    ]
    assert told["last_pass"]["not_compared"] == ["B"]
    assert (told["failed"], told["last_failure"]["reason"]) == (1, "venue B is away")


async def test_what_a_pass_leaves_is_one_alarm_until_a_pass_does_not_find_it() -> None:
    strange = VenuePass("A", 9, 3, 2, (STRANGER,), 0, (STRANGER,))
    later, gone = msgspec.structs.replace(strange, as_of_seq=12), VenuePass("A", 15, 3, 2)
    house = House(said(strange, VenuePass("B", 9, 0, 0)), said(later, VenuePass("B", 12, 0, 0)), said(gone, VenuePass("B", 15, 0, 0)))
    assert house.upkeep.alarms() == []
    for _ in range(2):
        await house.look()
        assert house.upkeep.alarms() == [
            {
                "at": rfc3339(AT + S),
                "kind": "difference",
                "order_id": "o9",
                "account": "alice",
                "sentence": "A differs from the journal: order not here of BTCUSDT, ours -, theirs working, traded 0.",
                "seq": 9,
            }
        ]
    await house.look()
    assert house.upkeep.alarms() == []
