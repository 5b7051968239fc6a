"""Lists in desk's stream: a client has the status and the flags of `GET /order-lists`, and open lists never leave memory."""

from decimal import Decimal
from typing import Any

import msgspec

from apps.desk.client import StreamMessage
from apps.desk.fold import DeskFold, DeskState
from domain.order import events as e
from domain.order.group import ListEnded, ListFlagged, ListSubmitted, ListType, Role
from domain.order.lifecycle import State
from tests.apps.desk_scene import Commits, desk, life
from tests.contracts.facts import AT, filled, queued, submitted
from tests.domain.groups.scene import bracket, check

BRACKET = "a-list"
LEGS = {"E": Role.ENTRY, "T": Role.TAKE_PROFIT, "S": Role.STOP_LOSS}


def leg(order_id: str, account: str = "alice") -> e.OrderSubmitted:
    return msgspec.structs.replace(submitted(order_id, account), group_id=BRACKET, role=str(LEGS[order_id]))


def accepted(account: str = "alice") -> tuple[e.OrderEvent, ...]:
    """A bracket whose entry is queued and whose exits are held."""
    held = (e.OrderRiskChecked(order_id=one, at=AT, status=State.RISK_CHECKED, limits_version=1) for one in ("T", "S"))
    named = ListSubmitted(
        order_id="E", at=AT, status=State.QUEUED, client_list_id="b-1", kind=ListType.BRACKET, strict=True, members=tuple(LEGS)
    )
    return (*(leg(one, account) for one in LEGS), queued("E"), *held, named)


def cancelled(order_id: str) -> e.OrderCancelled:
    return e.OrderCancelled(order_id=order_id, at=AT, status=State.CANCELLED, source="list", reason="entry_ended")


ENDED: tuple[e.OrderEvent, ...] = (
    *map(cancelled, LEGS),
    ListEnded(order_id="E", at=AT, status=State.CANCELLED, reason="cancelled"),
)


def lists(found: list[StreamMessage]) -> list[dict[str, Any]]:
    return [row for message in found if message.event in ("snapshot_end", "frame") for row in message.data["lists"]]


def applied(fold: DeskFold, commits: Commits, since: int = 0) -> None:
    fold.apply([(since + n, _Commit(events)) for n, events in enumerate(commits, 1)])  # type: ignore[misc]


class _Commit(msgspec.Struct):
    events: tuple[e.OrderEvent, ...]


async def test_a_stream_of_lists_tells_each_list_and_what_becomes_of_it() -> None:
    async with desk() as scene:
        await scene.commits([accepted()])
        await scene.applied()
        params = {"kinds": "orders,lists"}
        first = lists(await scene.read("snapshot_end", params))
        assert first == [
            {
                "list_id": BRACKET,
                "client_list_id": "b-1",
                "account": "alice",
                "type": "bracket",
                "status": "executing",
                "reason": None,
                "flags": [],
                "seq": 1,
            }
        ]
        flagged = ListFlagged(order_id="E", at=AT, status=State.QUEUED, flag="double_exit", leg="S")
        await scene.commit(flagged)
        await scene.commit(*ENDED)
        await scene.applied()
        last = lists(await scene.read("snapshot_end", params))[-1]
        assert (last["status"], last["reason"], last["flags"], last["seq"]) == ("alert", "cancelled", ["double_exit"], 3)
        resumed = lists(await scene.read("frame", params | {"from_seq": "1"}))
        assert resumed == [last]


async def test_rows_name_the_list_and_the_role_of_its_orders_and_no_other_row_has_these_fields() -> None:
    async with desk() as scene:
        await scene.commits([accepted(), *life("O1", "alice", 1)])
        await scene.applied()
        rows = {row["order_id"]: row for row in (await scene.read("snapshot_end"))[2].data["orders"]}
        assert [(rows[one]["group_id"], rows[one]["role"]) for one in LEGS] == [(BRACKET, str(role)) for role in LEGS.values()]
        assert not {"group_id", "role"} & set(rows["O1"])


async def test_a_stream_that_asks_for_no_lists_and_one_of_another_account_get_none() -> None:
    async with desk() as scene:
        await scene.commits([accepted()])
        await scene.applied()
        assert "lists" not in (await scene.read("snapshot_end"))[-1].data
        assert lists(await scene.read("snapshot_end", {"kinds": "orders,lists", "account": "bob"})) == []


def test_orders_of_an_open_list_stay_in_memory_and_leave_it_once_the_list_has_ended() -> None:
    fold = DeskFold(closed_max=1, events_max=10)
    applied(fold, [accepted(), (cancelled("T"),), *life("O1", "bob", 1), *life("O2", "bob", 1)])
    assert {*LEGS} < {*fold.everything.rows}
    assert [row.flags for row in fold.lists.newest("alice")] == [()]
    applied(fold, [ENDED], since=10)
    applied(fold, life("O3", "bob", 1), since=20)
    assert not {*LEGS} & {*fold.everything.rows}
    assert fold.lists.newest("*") == []


def test_an_order_of_an_ended_list_that_a_bust_opens_again_stays_in_memory() -> None:
    scene = check(bracket(), "rest entry\nfill entry 10\nrest take_profit\nfill take_profit 10\nlist done filled\nbust take_profit 1")
    opened = scene.last("take_profit")
    assert not opened.closed
    fold = DeskFold(closed_max=1, events_max=10)
    applied(fold, scene.commits)
    applied(fold, [*life("O1", "bob", 1), *life("O2", "bob", 1)], since=20)
    restored = DeskFold(closed_max=1, events_max=10)
    restored.restore(fold.state())
    applied(restored, life("O3", "bob", 1), since=50)
    for each in (fold, restored):
        assert set(each.everything.rows) & set(scene.orders) == {opened.order_id}


def test_a_fold_that_was_restored_has_the_same_lists() -> None:
    fold, other = DeskFold(10, 10), DeskFold(10, 10)
    entry = (filled("x1", "4", order_id="E"),)
    applied(fold, [accepted(), entry])
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(fold.state()), type=DeskState))
    assert other.lists.newest("alice") == fold.lists.newest("alice")
    assert fold.lists.newest("alice")[0].seq == 2
    assert fold.find("E").order.cum_quantity == Decimal(4)  # type: ignore[union-attr]
