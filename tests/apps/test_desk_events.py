"""The events of a stream, each once and in order, and the orders that desk has in memory."""

import pytest

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryJournal
from apps.desk.client import ClientState, StreamMessage
from apps.desk.fold import DeskFold
from tests.apps.desk_scene import assert_is_of_the_journal, desk, late_fill, life, lives, quarantined


def told(found: list[StreamMessage]) -> list[tuple[int, int, str]]:
    return [(each["seq"], each["index"], each["type"]) for message in found for each in message.data.get("events", ())]


async def written(journal: MemoryJournal) -> list[tuple[int, int, str]]:
    found = []
    for seq in range(1, (await journal.head()).seq + 1):
        entry = await journal.read(seq)
        assert entry is not None
        found += [(seq, index, type(event).__name__) for index, event in enumerate(ORDER_COMMITS.read(entry).events)]
    return found


@pytest.mark.parametrize(("events_max", "bytes_max"), [(1000, 512 * 1024), (1000, 600), (7, 600), (1, 512 * 1024)])
async def test_every_event_comes_once_and_in_order_from_memory_and_from_the_journal(
    events_max: int, bytes_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.desk.events_source.EVENTS_BYTES_MAX", bytes_max)
    async with desk(events_max=events_max) as scene:
        await scene.commits(lives(20))
        await scene.applied()
        end = (await scene.journal.head()).seq
        for kinds in ("events", "events,orders,positions"):
            state = ClientState()
            found = await scene.until(state, end, kinds=kinds, from_seq="0")
            assert told(found) == await written(scene.journal)
        assert state.orders.keys() == {f"O{number}" for number in range(20)}
        await assert_is_of_the_journal(state, scene.journal)


async def test_a_character_that_ends_a_line_elsewhere_ends_no_message() -> None:
    async with desk() as scene:
        await scene.commit(quarantined("never", "one\u2028two\x85three"))
        await scene.applied()
        found = await scene.until(ClientState(), 1, kinds="events", from_seq="0")
        assert [each["reason"] for message in found for each in message.data.get("events", ())] == ["one\u2028two\x85three"]


async def test_a_client_of_events_that_is_far_behind_in_orders_misses_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.desk.client_stream.FRAME_ROWS_MAX", 3)
    monkeypatch.setattr("apps.desk.client_stream.SNAPSHOT_ROWS", 2)
    async with desk() as scene:
        await scene.commits(lives(20))
        await scene.applied()
        state, end = ClientState(), (await scene.journal.head()).seq
        found = await scene.until(state, end, kinds="events,orders,positions", from_seq="0")
        assert "reset" not in {message.event for message in found}
        assert told(found) == await written(scene.journal)
        await assert_is_of_the_journal(state, scene.journal)


async def test_events_of_one_account_are_its_own_and_read_as_the_timeline_does() -> None:
    async with desk() as scene:
        await scene.commits([*life("A1", "alice", 1), *life("B1", "bob", 1)])
        await scene.applied()
        found = await scene.until(ClientState(), 4, kinds="events", account="bob", from_seq="0")
        events = [each for message in found for each in message.data.get("events", ())]
        assert {each["order_id"] for each in events} == {"B1"}
        assert (events[-1]["exec_type"], events[-1]["ord_status"], events[-1]["account"]) == ("F", "2", "bob")
        assert events[0]["description"].startswith("bob asks to buy")


async def test_a_closed_order_that_left_memory_comes_back_whole_when_it_changes() -> None:
    async with desk(closed_max=2) as scene:
        for number in range(6):
            await scene.commits(life(f"O{number}", "alice", 1))
        await scene.applied()
        assert scene.fold.orders_in_memory() == 2
        state = ClientState()
        await scene.until(state, 1)
        assert state.orders.keys() == {"O4", "O5"}
        await scene.commit(late_fill("O0", "alice"))
        await scene.until(state, 13)
        assert (state.orders["O0"]["cum_quantity"], state.orders["O0"]["client_order_id"]) == (11, "client-O0")
        end = await scene.read("snapshot_end")
        assert end[-1].data["states"] == {"filled": 6}
        old = await scene.read("snapshot_end", {"from_seq": "1"})
        assert old[1].data["reason"] == "too_old"


async def test_a_closed_order_that_changes_again_is_the_last_to_leave_memory() -> None:
    async with desk(closed_max=3) as scene:
        for number in range(3):
            await scene.commits(life(f"O{number}", "alice", 1))
        await scene.commit(late_fill("O0", "alice"))
        await scene.commits(life("O3", "alice", 1))
        await scene.applied()
        assert scene.fold.find("O0") is not None
        assert (scene.fold.find("O1"), scene.fold.forgotten_seq) == (None, 4)


async def test_an_order_that_changed_and_left_memory_before_a_frame_could_show_it_is_not_passed_over() -> None:
    async with desk(closed_max=1, frame_ms=200) as scene:
        state = ClientState()
        await scene.until(state, 0)
        stream = scene.follow(state)
        assert (await anext(stream)).data["resumed"]
        for number in range(4):
            await scene.commits(life(f"O{number}", "alice", 1))
        async for message in stream:
            if message.event == "reset":
                assert message.data["reason"] == "too_old"
            if state.seq == 8 and message.id:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        assert state.orders.keys() == {"O3"}


async def test_an_event_of_an_account_is_not_passed_over_because_its_order_left_memory() -> None:
    async with desk(closed_max=1, events_max=1) as scene:
        state = ClientState()
        opened, closed = life("A1", "alice", 1)
        await scene.commit(*opened)
        await scene.until(state, 1, kinds="events", account="alice")
        stream = scene.follow(state, kinds="events", account="alice")
        assert (await anext(stream)).data["resumed"]
        await scene.commits_at_once([closed, *life("B1", "bob", 1), *life("B2", "bob", 1)])
        found = []
        async for message in stream:
            found.append(message)
            if state.seq == 6 and message.id:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        assert told(found) == []
        assert [message.data["reason"] for message in found if message.event == "reset"] == ["too_old"]


async def test_a_report_of_an_order_that_never_was_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk(closed_max=1) as scene:
        for number in range(3):
            await scene.commits(life(f"O{number}", "alice", 1))
        await scene.applied()
        assert scene.fold.forgotten_seq
        searched: list[object] = []
        monkeypatch.setattr("apps.desk.forgotten._search", lambda *asked: searched.append(asked))
        await scene.commit(quarantined("never", "unknown_order"))
        await scene.applied()
        assert searched == []


async def test_a_fold_that_was_saved_and_loaded_is_the_same() -> None:
    async with desk(closed_max=5) as scene:
        await scene.commits(lives(40))
        await scene.applied()
        saved = scene.fold.state()
        loaded = DeskFold(5, 100)
        loaded.restore(saved)
        again = loaded.state()
        assert (again.orders, again.seqs, again.positions) == (saved.orders, saved.seqs, saved.positions)
        assert {each.account: each.states for each in again.accounts} == {each.account: each.states for each in saved.accounts}
        await scene.commit(late_fill(saved.orders[0].order_id, saved.orders[0].account))
        await scene.applied()
