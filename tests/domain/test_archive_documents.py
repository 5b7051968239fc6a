"""Documents: an order's is a fold of its events, however its commits are repeated; its exact state comes back from it."""

from decimal import Decimal

import msgspec

from domain.archive.documents import (
    NOTICES,
    ORDERS,
    TIMELINE_MAX,
    OrderChange,
    OrderRecord,
    change_rows,
    changed,
    document,
    order_of,
    record_of,
)
from domain.order import events as e
from domain.order.events import OrderEvent
from domain.order.lifecycle import State
from domain.order.order import evolved
from tests.contracts.facts import filled, queued, submitted

EVENTS: list[OrderEvent] = [submitted("O1"), queued("O1"), filled("E1", "0.000000000001", order_id="O1"), filled("E2", "9", order_id="O1")]


def folded(*commits: tuple[int, list[OrderEvent]]) -> OrderRecord:
    record: OrderRecord | None = None
    for n, events in commits:
        for row in change_rows("orders.0", 0, n, events):
            record = changed(record, row.value)
    assert record is not None
    return record


def test_a_record_is_the_order_of_all_its_events_and_repeats_change_nothing() -> None:
    once = folded((1, EVENTS[:2]), (4, EVENTS[2:3]), (9, EVENTS[3:]))
    assert once.order == evolved(EVENTS)
    assert (once.n, once.events, [(line.n, line.i) for line in once.timeline]) == (9, 4, [(1, 0), (1, 1), (4, 0), (9, 0)])
    assert folded((1, EVENTS[:2]), (4, EVENTS[2:3]), (1, EVENTS[:2]), (9, EVENTS[3:]), (4, EVENTS[2:3])) == once


def test_a_change_leaves_the_record_before_it_as_it_was() -> None:
    before = folded((1, EVENTS[:2]))
    changed(before, OrderChange("O1", 2, ((0, EVENTS[2]),)))
    assert before.order.cum_quantity == Decimal(0)


def test_the_document_gives_back_the_record_and_the_exact_order() -> None:
    record = folded((1, EVENTS))
    stored = msgspec.json.decode(msgspec.json.Encoder(decimal_format="number").encode(document(record)))
    assert record_of(stored) == record
    assert order_of(stored).cum_quantity == Decimal("9.000000000001")


def test_an_order_is_found_by_names_ids_and_sentences() -> None:
    found = document(folded((1, EVENTS)))
    assert {"O1", "alice", "BTCUSDT", "client-O1", "partially_filled", "E1", "E2"} <= set(found["words"])
    assert found["words"][-1].startswith("Trade E2: buy 9 @ 50")


def test_a_long_timeline_keeps_its_newest_lines_and_counts_all() -> None:
    trades: list[OrderEvent] = [filled(f"E{k}", "0.001", order_id="O1") for k in range(TIMELINE_MAX)]
    record = folded((1, [*EVENTS[:2], *trades]))
    assert (record.events, len(record.timeline), record.timeline[0].i) == (TIMELINE_MAX + 2, TIMELINE_MAX, 2)


def test_without_its_beginning_an_order_has_no_record() -> None:
    assert changed(None, OrderChange("O1", 5, ((0, EVENTS[2]),))) is None


def test_what_may_belong_to_no_order_is_a_notice_of_its_own() -> None:
    quarantined = e.ReportQuarantined(order_id="X", at=1, status=State.NEW, reason="unknown_order", venue="V", report="{}")
    held = e.ShardHeld(at=1, unit="u")
    taken, released = e.ShardTaken(at=1, unit="u", sender="s"), e.ShardReleased(at=1, unit="u")
    rows = change_rows("orders.0", 3, 7, [held, quarantined, taken, released])
    assert [(row.table, row.i) for row in rows] == [(NOTICES, 1), (NOTICES, 2), (NOTICES, 3), (ORDERS, 1)]
    assert rows[0].value["id"] == "3-7-1"
