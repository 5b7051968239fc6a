"""A verification sees what is wrong in a view: each damage is planted alone, and is found where it is and named."""

import contextlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

import msgspec
import pytest

from adapters.codec import encode
from adapters.memory import MemoryFills
from adapters.orderstore import columns
from apps.tools.verify import fills as fills_check
from apps.tools.verify.fold import JournalFold
from apps.tools.verify.orders import StoredOrdersView
from apps.tools.verify.run import Sides, verify
from domain.order.order import Order
from domain.ports import Head, StoredPicture, Unavailable
from domain.position.position import Position
from tests.apps.test_bookkeeper import fill, terms
from tests.apps.verified import FILLS_FILE, ORDERS_FILE, Silent, World, _impatient, found_in, outcomes, world

__all__ = ["_impatient", "world"]

# The order store


class Saving:
    """The store of an oms that saves while it is looked at: each look finds it at the next of these sequences."""

    def __init__(self, world: World, *checkpoints: int) -> None:
        self._world = world
        self._checkpoints = list(checkpoints)

    @contextlib.contextmanager
    def picture(self) -> Iterator[StoredPicture | None]:
        with self._world.store.picture() as found:
            checkpoint = self._checkpoints.pop(0) if len(self._checkpoints) > 1 else self._checkpoints[0]
            yield found and msgspec.structs.replace(found, checkpoint=checkpoint)


async def led_to(world: World, seq: int) -> JournalFold:
    fold = JournalFold(world.journal, None, lambda seq: None)
    await fold.advance(seq)
    return fold


async def test_a_store_that_is_behind_the_pass_is_waited_for(world: World) -> None:
    end = len(world.log.commits)
    check = await StoredOrdersView(Saving(world, 5, 5, 7, end).picture).compare(await led_to(world, end - 1))
    assert (check.outcome, check.counts["as_of"]) == ("ok", end)


@pytest.mark.parametrize("checkpoints", [(7, 5, 9), (5,)], ids=["it goes back", "it never comes"])
async def test_a_store_that_does_not_come_is_said_to_be_behind(world: World, checkpoints: tuple[int, ...]) -> None:
    with pytest.raises(Unavailable, match="behind what was compared before"):
        await StoredOrdersView(Saving(world, *checkpoints, 5).picture).compare(await led_to(world, len(world.log.commits)))


def stored_body(world: World, name: str, change: Callable[[Order], None]) -> None:
    """A row as a program would write it that is wrong about the order."""
    order = world.store.find(terms(name).order_id)
    assert order is not None
    change(order)
    body = encode(order)
    world.sql(
        ORDERS_FILE, "UPDATE orders SET body = ?, checksum = ? WHERE order_id = ?", (body, columns(order, body)[-1], terms(name).order_id)
    )


async def test_an_order_that_is_stored_otherwise_is_found_with_its_field(world: World) -> None:
    def later(order: Order) -> None:
        order.cum_quantity += 1

    stored_body(world, "b", later)
    assert found_in(await world.verified(), "order store") == f"order {terms('b').order_id} cum_quantity: 0 by the journal, 1 in the store"


async def test_an_order_whose_timeline_lost_a_commit_is_found(world: World) -> None:
    def shorter(order: Order) -> None:
        order.seqs = order.seqs[1:]

    stored_body(world, "a", shorter)
    assert f"order {terms('a').order_id} seqs: [1,2,3,4,5] by the journal" in found_in(await world.verified(), "order store")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orders SET body = replace(CAST(body AS TEXT), '\"b\"', '\"x\"') WHERE order_id = ?",
        "UPDATE orders SET status = 'filled' WHERE order_id = ?",
        "UPDATE orders SET account = 'bob' WHERE order_id = ?",
        "UPDATE orders SET body = '' WHERE order_id = ?",
    ],
)
async def test_a_row_that_was_tampered_with_is_found(world: World, statement: str) -> None:
    world.sql(ORDERS_FILE, statement, (terms("b").order_id,))
    assert found_in(await world.verified(), "order store") == f"the row of order {terms('b').order_id} does not verify"


async def test_a_holding_that_was_changed_invented_or_lost_is_found(world: World) -> None:
    world.sql(ORDERS_FILE, "UPDATE held SET quantity = '9'")
    assert found_in(await world.verified(), "order store") == "orders.db is damaged: a holding's checksum is wrong"
    world.sql(ORDERS_FILE, "DELETE FROM held")
    assert found_in(await world.verified(), "order store") == "alice holds 1.5 BTCUSDT by the journal, 0 in the store"
    stored = world.store.load()
    assert stored is not None
    held = {("alice", "BTCUSDT"): Decimal("1.5"), ("bob", "BTCUSDT"): Decimal(-2)}
    world.store.save([], checkpoint=stored.checkpoint, head=stored.head, report_seqs={}, held=held)
    assert found_in(await world.verified(), "order store") == "bob holds 0 BTCUSDT by the journal, -2 in the store"


async def test_a_row_that_is_gone_is_found_and_oms_does_not_know_the_order(world: World) -> None:
    world.sql(ORDERS_FILE, "DELETE FROM orders WHERE order_id = ?", (terms("b").order_id,))
    assert found_in(await world.verified(), "order store") == f"order {terms('b').order_id} is in the journal and not in the store"


async def test_an_order_that_the_journal_never_had_is_found(world: World) -> None:
    await world.desk.kill()
    order, stored = world.store.find(terms("b").order_id), world.store.load()
    assert order
    assert stored
    invented = msgspec.structs.replace(order, order_id="0" * 32)
    world.store.save([(invented, encode(invented))], checkpoint=stored.checkpoint, head=stored.head, report_seqs={})
    report = await world.verified(live=Silent())
    assert report.first_difference == f"order store: order {'0' * 32} is in the store and not in the journal"


async def test_a_store_of_another_journal_is_found(world: World) -> None:
    world.sql(ORDERS_FILE, "UPDATE meta SET value = ? WHERE name = 'head'", (encode(Head(3, 3, "another")).decode(),))
    assert "made from another journal" in found_in(await world.verified(), "order store")


async def test_a_store_with_nothing_in_it_is_found(world: World) -> None:
    await world.desk.kill()
    world.store.clear()
    report = await world.verified(live=Silent())
    assert report.first_difference == "order store: it is empty, and the journal has 4 orders"


async def test_a_damaged_file_is_found(world: World) -> None:
    await world.desk.kill()
    world.store.close()
    file = world.directory / ORDERS_FILE
    raw = bytearray(file.read_bytes())
    raw[4096:] = bytes(len(raw) - 4096)
    file.write_bytes(raw)
    report = await world.verified(live=Silent())
    assert (report.first_difference or "").startswith("order store: orders.db is damaged")


async def test_rows_that_are_newer_than_the_checkpoint_are_compared_as_of_their_own_commits(world: World) -> None:
    world.sql(ORDERS_FILE, "UPDATE meta SET value = '3' WHERE name = 'checkpoint'")
    report = await world.verified()
    assert report.complete, report
    assert report.checks[2].counts["as_of"] == 3

    def other(order: Order) -> None:
        order.reason = "made up"

    stored_body(world, "b", other)
    assert 'reason: "requested" by the journal, "made up" in the store' in found_in(await world.verified(), "order store")


async def test_a_row_that_is_older_than_the_checkpoint_is_found(world: World) -> None:
    before = world.store.find(terms("c").order_id)
    assert before is not None
    body = encode(before)
    await world.desk.host.perform(fill("c", 5, "0.5"))
    await world.desk.saved()
    await world.projected()
    world.sql(
        ORDERS_FILE, "UPDATE orders SET body = ?, checksum = ? WHERE order_id = ?", (body, columns(before, body)[-1], terms("c").order_id)
    )
    assert "by the journal, " in found_in(await world.verified(), "order store")


# Positions


def position(world: World) -> Position:
    return world.positions.positions["alice", "BTCUSDT"]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("quantity", Decimal(7), "quantity: 1.5 by the journal, 7 in Valkey"),
        ("fees", Decimal("0.1"), "fees: 0.2 by the journal, 0.1 in Valkey"),
        ("last_price", Decimal(98), "last_price: 99 by the journal, 98 in Valkey"),
        ("realised_pnl", Decimal(1), "realised_pnl: 0 by the journal, 1 in Valkey"),
    ],
)
async def test_a_changed_position_is_found_with_its_field(world: World, field: str, value: Decimal, said: str) -> None:
    setattr(position(world), field, value)
    assert found_in(await world.verified(), "positions") == f"alice BTCUSDT {said}"


async def test_a_position_that_is_gone_is_found(world: World) -> None:
    del world.positions.positions["alice", "BTCUSDT"]
    assert found_in(await world.verified(), "positions") == "alice BTCUSDT quantity: 1.5 by the journal, null in Valkey"


async def test_a_position_that_no_trade_made_is_found(world: World) -> None:
    world.positions.positions["mallory", "BTCUSDT"] = Position(account="mallory", symbol="BTCUSDT", quantity=Decimal(1))
    assert found_in(await world.verified(), "positions") == "mallory BTCUSDT quantity: null by the journal, 1 in Valkey"


async def test_an_emptied_valkey_is_found(world: World) -> None:
    await world.positions.clear()
    assert "1.5 by the journal, null in Valkey" in found_in(await world.verified(), "positions")


async def test_positions_of_another_journal_are_found(world: World) -> None:
    world.positions.seq = 900
    assert "they are of another journal" in found_in(await world.verified(), "positions")


# Fills


AGAIN: Final = """
INSERT INTO fills SELECT {at}, {exec_id}, order_id, client_order_id, account, symbol, side, venue, quantity, price, fee, liquidity, {seq}
FROM fills WHERE exec_id = 'x2'
"""


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM fills WHERE exec_id = 'x2'", "fill x2 of PAPER_A at sequence 4 is in the journal and not in the table"),
        ("DELETE FROM fills WHERE exec_id = 'x1:bust'", "fill x1:bust of PAPER_A at sequence 5 is in the journal and not in the table"),
        (
            "UPDATE fills SET price = '98' WHERE exec_id = 'x2'",
            "fill x2 of PAPER_A at sequence 4 price: 99 by the journal, 98 in the table",
        ),
        (
            "UPDATE fills SET account = 'bob' WHERE exec_id = 'x2'",
            'fill x2 of PAPER_A at sequence 4 account: "alice" by the journal, "bob" in the table',
        ),
        (
            AGAIN.format(at="timestamp || ' '", exec_id="exec_id", seq="seq"),
            "fill x2 of PAPER_A at sequence 4 is in the table twice",
        ),
        (
            AGAIN.format(at="timestamp", exec_id="'made up'", seq="seq"),
            "fill made up of PAPER_A at sequence 4 is in the table and not in the journal",
        ),
        ("UPDATE fills SET seq = -4 WHERE exec_id = 'x2'", "fill x2 of PAPER_A at sequence 4 is in the journal and not in the table"),
        (
            AGAIN.format(at="timestamp", exec_id="'made up'", seq="-4"),
            "the table has 5 rows up to sequence 11, the journal 4 trades and busts",
        ),
    ],
)
async def test_a_wrong_fills_table_is_found_with_its_row(world: World, statement: str, found: str) -> None:
    world.sql(FILLS_FILE, statement)
    assert found_in(await world.verified(), "fills") == found


@pytest.mark.parametrize("block", [1, 2, 3])
async def test_blocks_of_any_size_find_the_same(world: World, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fills_check, "BLOCK_ROWS", block)
    assert (await world.verified()).complete
    world.sql(FILLS_FILE, "DELETE FROM fills WHERE exec_id = 'x2'")
    assert "fill x2" in found_in(await world.verified(), "fills")


async def test_an_emptied_fills_table_is_found(world: World) -> None:
    world.sql(FILLS_FILE, "DELETE FROM fills")
    world.sql(FILLS_FILE, "DELETE FROM order_events")
    assert "fill x1 of PAPER_A at sequence 3 is in the journal" in found_in(await world.verified(), "fills")


async def test_a_fills_table_of_another_journal_is_found(world: World) -> None:
    world.sql(FILLS_FILE, "UPDATE order_events SET seq = 900 WHERE seq = 1")
    assert "it is of another journal" in found_in(await world.verified(), "fills")


class Late(MemoryFills):
    """Shows its last rows a moment after it said that it has them."""

    hidden = 3

    async def rows(self, after: int, until: int) -> list[dict[str, object]]:
        self.hidden = max(self.hidden - 1, 0)
        return (await super().rows(after, until))[self.hidden :]


async def test_rows_that_come_a_moment_later_are_waited_for(world: World) -> None:
    late = Late()
    await late.write(world.events)
    report = await verify(world.journal, Sides(fills=late))
    assert outcomes(report)["fills"] == "ok"
    late.hidden = 1000
    assert "is in the journal and not in the table" in found_in(await verify(world.journal, Sides(fills=late)), "fills")
