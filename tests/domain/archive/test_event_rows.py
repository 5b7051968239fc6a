"""The rows of events: the columns that people query, and the event's text as the journal has it."""

import json
from decimal import Decimal

import pytest

from adapters import parquet_events
from adapters.journalcopy import Copied
from domain.archive.event_rows import UNREADABLE, rows_of
from tests.archived import DAY_NS, FIRST_DAY, SECOND_DAY, orders


def test_each_event_of_a_commit_is_a_row_with_its_own_text() -> None:
    payload = orders(1).messages[0].payload
    rows = list(rows_of(payload))
    assert [row.place for row in rows] == [0, 1, 2]
    assert [row.columns.type for row in rows] == ["OrderSubmitted", "OrderRiskChecked", "OrderQueued"]
    assert [json.loads(row.text) for row in rows] == json.loads(payload)["events"]
    assert (rows[0].columns.price, rows[0].columns.account, rows[1].columns.account) == (Decimal(50), "alice", None)


def test_an_event_of_another_version_is_read_by_the_names_of_its_fields() -> None:
    payload = b'{"v":99,"shard":0,"n":7,"events":[{"type":"OrderTeleported","at":5,"order_id":"x","price":1e2,"to":{"moon":1}}]}'
    (row,) = rows_of(payload)
    assert (row.n, row.columns.type, row.columns.at, row.columns.price) == (7, "OrderTeleported", 5, Decimal("1E+2"))


def test_what_cannot_be_read_is_one_row_with_its_text() -> None:
    assert [(row.columns.type, row.text) for row in rows_of(b"hello")] == [(UNREADABLE, "hello")]
    of_another_form = b'{"n":1,"events":[{"type":7,"at":1}]}'
    assert [(row.columns.type, row.text) for row in rows_of(of_another_form)] == [(UNREADABLE, '{"type":7,"at":1}')]
    not_unicode = b'{"n":1,"events":[{"type":"OrderRejected","at":1,"reason":"\xff"}]}'
    assert [(row.columns.type, row.text) for row in rows_of(not_unicode)] == [
        (UNREADABLE, '{"type":"OrderRejected","at":1,"reason":"\N{REPLACEMENT CHARACTER}"}')
    ]


def test_a_file_holds_one_day_and_a_foreign_message_no_row() -> None:
    stream = orders(4)
    stream.put_foreign("oms.journal.0", b"not a commit")
    tables = parquet_events.tables_of(stream.messages)
    assert [(place.shard, place.day, table.num_rows) for place, table in tables.items()] == [("0", FIRST_DAY, 6), ("0", SECOND_DAY, 6)]


def test_the_same_messages_have_the_same_bytes_and_a_file_is_read_back_equal() -> None:
    first, again = (parquet_events.tables_of(orders(5).messages) for _ in range(2))
    for place, table in first.items():
        data = parquet_events.written(table)
        assert data == parquet_events.written(again[place])
        assert parquet_events.read(data) == table


def test_a_number_that_does_not_fit_is_named_and_stays_in_the_text() -> None:
    event = b'{"type":"OrderFilled","at":%d,"order_id":"x","price":12345678901234567890123.5,"fee":1e-19,"quantity":1.5}' % DAY_NS
    payload = b'{"n":1,"events":[' + event + b',{"type":"OrderQueued","at":1,"order_id":"x"}]}'
    message = Copied(1, "oms.journal.0", "1-w-x", "chain", payload.decode())
    tables = parquet_events.tables_of([message])
    table = tables[parquet_events.Partition("0", "1970-01-02")]
    assert [table[name].to_pylist() for name in ("price", "fee", "quantity", "beyond")] == [
        [None],
        [None],
        [Decimal("1.500000000000000000")],
        ["price,fee"],
    ]
    assert table["event"].to_pylist() == [event.decode()]


@pytest.mark.parametrize("price", ["1e-999999999", "0e-999999999", "1e999999999", "NaN"])
def test_an_absurd_number_is_named_and_ends_nothing(price: str) -> None:
    """Arrow ends the process, without an exception, at an exponent far below zero."""
    event = b'{"type":"OrderFilled","at":1,"order_id":"x","price":"%s","quantity":2}' % price.encode()
    message = Copied(1, "oms.journal.0", "1-w-x", "chain", (b'{"n":1,"events":[' + event + b"]}").decode())
    (table,) = parquet_events.tables_of([message]).values()
    assert [table[name].to_pylist() for name in ("price", "quantity", "beyond")] == [[None], [Decimal("2.000000000000000000")], ["price"]]
