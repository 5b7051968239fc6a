"""Algos in desk's stream: a client has the words of `GET /algos`, also of algos whose orders have left memory."""

from typing import Any

import msgspec
import pytest

from apps.desk.client import StreamMessage
from apps.desk.fold import DeskFold, DeskState
from apps.desk.rows import NUMBERS
from tests.apps.desk_scene import Commits, desk, life
from tests.apps.test_desk_lists import applied
from tests.domain.groups.parents import ALGO_ID
from tests.domain.order.test_parents import Told

KINDS = {"kinds": "orders,algos"}


def story(*lines: str) -> Commits:
    """The commits of an algo of alice: a twap of 10 that has a minute."""
    told = Told()
    for line in lines:
        told.said(line)
        assert not told.refused, line
    return [commit.events for commit in told.scene.commits]


WORKING = ("slice 4 @60", "rest 1", "fill 1 4", "slice 2 @60")
ENDED = (*WORKING, "cancel", "closed 2")


def algos(found: list[StreamMessage]) -> list[dict[str, Any]]:
    return [row for message in found if message.event in ("snapshot_end", "frame") for row in message.data["algos"]]


async def test_a_stream_of_algos_tells_each_algo_and_what_becomes_of_it() -> None:
    async with desk() as scene:
        head = await scene.commits(story(*WORKING))
        await scene.applied()
        (first,) = algos(await scene.read("snapshot_end", KINDS))
        assert (first["algo_id"], first["client_algo_id"], first["account"], first["strategy"]) == (ALGO_ID, "t-1", "alice", "twap")
        assert (first["status"], first["quantity"], first["cum_quantity"], first["working_quantity"]) == ("working", 10, 4, 2)
        assert (first["slices_done"], first["alert"], first["reason"], first["seq"]) == (2, False, None, head.seq)
        for events in story(*WORKING, "pause lunch")[head.seq :]:
            await scene.commit(*events)
        await scene.applied()
        (last,) = algos(await scene.read("frame", KINDS | {"from_seq": str(head.seq)}))
        assert (last["status"], last["reason"], last["seq"]) == ("paused", "lunch", head.seq + 1)
        assert algos(await scene.read("snapshot_end", KINDS)) == [last]


async def test_numbers_are_text_for_a_client_that_asks_for_text() -> None:
    async with desk() as scene:
        await scene.commits(story(*WORKING))
        await scene.applied()
        (row,) = algos(await scene.read("snapshot_end", KINDS | {"numbers": "string"}))
        assert (row["quantity"], row["limit_price"], row["average_price"]) == ("10", "60", "100")


async def test_a_stream_that_asks_for_no_algos_and_one_of_another_account_get_none() -> None:
    async with desk() as scene:
        await scene.commits(story(*WORKING))
        await scene.applied()
        assert "algos" not in (await scene.read("snapshot_end"))[-1].data
        assert algos(await scene.read("snapshot_end", KINDS | {"account": "bob"})) == []


async def test_an_algo_works_on_after_orders_have_left_memory() -> None:
    async with desk(closed_max=1) as scene:
        begun = story(*WORKING)
        head = await scene.commits([*life("O1", "bob", 1), *life("O2", "bob", 1), *begun])
        await scene.applied()
        assert scene.fold.forgotten_seq
        for events in story(*ENDED)[len(begun) :]:
            await scene.commit(*events)
        await scene.applied()
        (row,) = algos(await scene.read("snapshot_end", KINDS))
        assert (row["status"], row["cum_quantity"], row["working_quantity"]) == ("cancelled", 4, 0)
        assert row["seq"] > head.seq


async def test_algos_that_ended_long_ago_leave_memory_and_a_client_of_before_is_sent_the_whole_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.desk.algos.ENDED_MAX", 0)
    async with desk() as scene:
        await scene.commits(story(*ENDED))
        await scene.applied()
        assert algos(await scene.read("snapshot_end", KINDS)) == []
        found = await scene.read("snapshot_end", KINDS | {"from_seq": "2"})
        assert [message.data["reason"] for message in found if message.event == "reset"] == ["too_old"]


@pytest.mark.parametrize("events_max", [1000, 1])
async def test_a_stream_of_an_account_has_the_events_of_its_algos(events_max: int) -> None:
    async with desk(events_max=events_max) as scene:
        commits = story(*ENDED)
        await scene.commits(commits)
        await scene.applied()
        for account, expected in (("alice", [type(event).__name__ for events in commits for event in events]), ("bob", [])):
            found = await scene.read("heartbeat", {"kinds": "events", "account": account, "from_seq": "0"})
            assert [event["type"] for message in found for event in message.data.get("events", ())] == expected


def test_a_fold_that_was_restored_has_the_same_algos_and_follows_their_orders() -> None:
    fold, other = DeskFold(10, 10), DeskFold(10, 10)
    begun = story(*WORKING)
    applied(fold, begun)
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(fold.state()), type=DeskState))
    for each in (fold, other):
        applied(each, story(*ENDED)[len(begun) :], since=len(begun))
    rows = [[row.encoded(NUMBERS) for row in each.algos.newest("alice")] for each in (fold, other)]
    assert rows[0] == rows[1]
    assert b'"status":"cancelled"' in rows[0][0]
