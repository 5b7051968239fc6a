"""Orders as of a sequence: the same from the journal alone and from a snapshot of desk, at every sequence."""

import msgspec
import pytest

from adapters.codec import encode
from adapters.memory import MemorySnapshots
from apps.desk.fold import STATE_VERSION, DeskState
from apps.desk.rows import NUMBERS, TEXTS
from apps.tools.history.orders import encoded, fold_at
from domain.audit.state_hash import shape_of
from domain.ports import Corrupt, Head
from tests.apps.desk_scene import desk, late_fill, life


async def test_from_a_snapshot_or_from_the_beginning_it_is_the_same() -> None:
    async with desk() as scene:
        for number in range(4):
            await scene.commits(life(f"O{number}", "alice" if number % 2 else "bob"))
        await scene.applied()
        end = await scene.journal.head()
        saved, middle = MemorySnapshots(), (await scene.journal.read(5))
        assert middle is not None
        half = await fold_at(scene.journal, 5, 100)
        saved.store("desk", shape_of(DeskState, STATE_VERSION), middle.head, encode(half.state()))
        for seq in range(1, end.seq + 1):
            for accounts in (("*",), ("alice",), ("empty",)):
                plain, quick = [encoded(await fold_at(scene.journal, seq, 100, kept), seq, 3, NUMBERS, accounts) for kept in (None, saved)]
                assert plain == quick
        answer = msgspec.json.decode(encoded(await fold_at(scene.journal, end.seq, 100, saved), end.seq, 3, TEXTS, ("alice",)))
        assert (answer["as_of_seq"], answer["total"], answer["states"]) == (end.seq, 2, {"filled": 2})
        assert [row["order_id"] for row in answer["orders"]] == ["O3", "O1"]
        assert answer["orders"][0]["cum_quantity"] == "10"
        assert answer["positions_total"] == 1
        assert [(each["account"], each["symbol"], each["quantity"], each["seq"]) for each in answer["positions"]] == [
            ("alice", "BTCUSDT", "20", end.seq)
        ]


async def test_more_closed_orders_than_memory_may_have_change_no_count_and_one_that_changes_late_is_whole() -> None:
    async with desk() as scene:
        for number in range(4):
            await scene.commits(life(f"O{number}", "alice", 1))
        await scene.commit(late_fill("O0", "alice"))
        answer = msgspec.json.decode(encoded(await fold_at(scene.journal, 9, 2), 9, 5, NUMBERS, ("alice",)))
        assert (answer["total"], answer["states"]) == (4, {"filled": 4})
        assert [(row["order_id"], row["cum_quantity"]) for row in answer["orders"]] == [("O0", 11), ("O3", 10)]


async def test_a_snapshot_of_another_journal_is_not_used() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        saved = MemorySnapshots()
        saved.store(
            "desk", shape_of(DeskState, STATE_VERSION), Head(2, 2, "0" * 64), encode((await fold_at(scene.journal, 1, 100)).state())
        )
        found, whole = [await fold_at(scene.journal, 3, 100, kept) for kept in (saved, None)]
        assert found.everything.states == whole.everything.states


async def test_a_journal_that_does_not_verify_gives_no_answer() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        head, payload = scene.journal.log.commits[1]
        scene.journal.log.commits[1] = head, payload.replace(b"alice", b"mallo")
        with pytest.raises(Corrupt):
            await fold_at(scene.journal, 3, 100)
