"""What changed between two sequences is what the two of them differ in, from the journal alone and from a snapshot."""

from typing import Any

import msgspec
import pytest

from adapters.codec import encode
from adapters.memory import MemorySnapshots
from apps.desk.fold import STATE_VERSION, DeskState
from apps.desk.rows import NUMBERS, TEXTS
from apps.tools.history import changes
from apps.tools.history.changes import Difference
from apps.tools.history.orders import encoded, fold_at
from domain.audit.state_hash import shape_of
from tests.apps.desk_scene import Desk, desk, late_fill, life, lives

ALL = ("*",)
MANY = 1000


async def between(scene: Desk, first: int, last: int, accounts: tuple[str, ...] = ALL, limit: int = MANY, **more: Any) -> Any:
    difference = Difference(more.pop("formats", NUMBERS), accounts)
    await difference.read(scene.journal, first, last, more.pop("closed_max", MANY), more.pop("saved", None))
    return msgspec.json.decode(msgspec.json.encode(difference.view(limit)))


async def as_of(scene: Desk, seq: int, accounts: tuple[str, ...] = ALL) -> Any:
    return msgspec.json.decode(encoded(await fold_at(scene.journal, seq, MANY), seq, MANY, NUMBERS, accounts))


async def test_it_is_the_difference_of_the_two_points_for_every_pair_and_account() -> None:
    async with desk() as scene:
        await scene.commits(lives(12, seed=3))
        end = (await scene.journal.head()).seq
        for accounts in (ALL, ("alice",), ("bob", "carol")):
            then = {seq: await as_of(scene, seq, accounts) for seq in range(1, end + 1, 7)}
            for first, before in then.items():
                for last, after in ((last, found) for last, found in then.items() if last >= first):
                    found = await between(scene, first, last, accounts)
                    old, new = ({row["order_id"]: row for row in each["orders"]} for each in (before, after))
                    wanted = {order_id: (old.get(order_id), row) for order_id, row in new.items() if old.get(order_id) != row}
                    assert {each["after"]["order_id"]: (each["before"], each["after"]) for each in found["orders"]} == wanted
                    assert (found["orders_changed"], found["orders_new"]) == (len(wanted), sum(was is None for was, _ in wanted.values()))
                    assert (found["states_before"], found["states_after"], found["complete"]) == (before["states"], after["states"], True)
                    held, holds = ({(p["account"], p["symbol"]): p for p in each["positions"]} for each in (before, after))
                    moved = {key: (held.get(key), position) for key, position in holds.items() if held.get(key) != position}
                    told = {(p["after"]["account"], p["after"]["symbol"]): (p["before"], p["after"]) for p in found["positions"]}
                    assert told == moved


async def test_each_order_says_which_of_its_fields_changed() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        found = await between(scene, 2, 3, formats=TEXTS)
        (order,) = found["orders"]
        assert order["changed"] == ["status", "cum_quantity", "leaves_quantity", "fees"]
        assert (order["before"]["cum_quantity"], order["after"]["cum_quantity"]) == ("1", "10")
        assert [(each["before"]["quantity"], each["after"]["quantity"]) for each in found["positions"]] == [("1", "10")]


async def test_an_order_that_left_memory_and_traded_late_is_shown_as_it_was() -> None:
    async with desk() as scene:
        for number in range(4):
            await scene.commits(life(f"O{number}", "alice", 1))
        await scene.commit(late_fill("O0", "alice"))
        found = await between(scene, 8, 9, closed_max=2)
        (order,) = found["orders"]
        assert (order["before"]["cum_quantity"], order["after"]["cum_quantity"], found["orders_new"]) == (10, 11, 0)


async def test_what_is_cut_is_reported_the_newest_changes_come_first_and_all_are_counted() -> None:
    async with desk() as scene:
        for number in range(4):
            await scene.commits(life(f"O{number}", ("alice", "bob")[number % 2], 1))
        found = await between(scene, 1, 8, limit=1)
        assert [each["after"]["order_id"] for each in found["orders"]] == ["O3"]
        assert (found["orders_changed"], found["positions_changed"], len(found["positions"])) == (4, 2, 1)


async def test_a_difference_over_too_many_commits_says_how_far_it_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "COMMITS_MAX", 3)
    async with desk() as scene:
        await scene.commits(lives(5))
        found = await between(scene, 2, 8)
        whole = await between(scene, 2, 5)
        assert (found["to_seq"], found["asked_to_seq"], found["complete"]) == (5, 8, False)
        assert found["orders"] == whole["orders"]


async def test_a_snapshot_changes_nothing_but_the_time() -> None:
    async with desk() as scene:
        await scene.commits(lives(8))
        saved, middle = MemorySnapshots(), (await scene.journal.read(4))
        assert middle is not None
        saved.store("desk", shape_of(DeskState, STATE_VERSION), middle.head, encode((await fold_at(scene.journal, 4, MANY)).state()))
        assert await between(scene, 6, 12, saved=saved) == await between(scene, 6, 12)
