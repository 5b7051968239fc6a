"""GET /reconciliation: when the venues were last compared with the journal, what differed and what became of it."""

from typing import Any

import httpx
import msgspec
import pytest

from apps.exeq import reconciliation_endpoint
from apps.exeq.reconciliation import VenuePass, VenueReconciliation
from apps.http.app import application
from apps.runtime.helper_process import Ended, TookTooLong
from domain.execution.reconciliation import OrderDifference
from domain.order.commands import ReportKind, VenueReport
from domain.values import Side, rfc3339
from tests.apps.callers import as_caller
from tests.apps.test_exeq_routing import Hands, S
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

    async def told(self) -> Any:
        app = as_caller(application("exeq", reconciliation_endpoint.router(self.upkeep)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://exeq") as client:
            answer = await client.get("/reconciliation")
        assert answer.status_code == 200
        return answer.json()


async def test_before_the_first_pass_there_is_none() -> None:
    told = await House(TookTooLong()).told()
    assert told == {"last_pass": None, "last_failure": None, "passes": 0, "failed": 0}


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
