"""Analytic rows: every field of an event is a column or in `detail`, and the last quote of a second is the row of that second."""

from decimal import Decimal

import msgspec

from domain.archive import tables
from domain.market.quotes import Quote
from domain.market.records import Fact, FactKind
from domain.risk.controls import SymbolBlocked
from tests.contracts.facts import filled, submitted


def test_an_event_is_one_row_with_its_own_fields_as_columns() -> None:
    born, trade = submitted("O1"), filled("E1")
    first, second = tables.order_event_rows("orders.0", 0, 7, [born, trade])
    assert (first.table, first.part, first.epoch, first.n, first.i) == ("order_events", "orders.0", 0, 7, 0)
    assert (first.value.type, first.value.account, first.value.quantity) == ("OrderSubmitted", born.account, born.quantity)
    assert (second.value.i, second.value.exec_id, second.value.fee) == (1, "E1", trade.fee)
    assert second.value.stop_price is None


def test_the_detail_of_a_row_has_every_field_that_is_no_column() -> None:
    (row,) = tables.order_event_rows("orders.0", 0, 1, [filled("E1")])
    assert msgspec.json.decode(row.value.detail)["route_id"]


def test_a_control_and_a_fact_are_rows_of_their_own_tables() -> None:
    (control,) = tables.control_rows("controls", 3, [SymbolBlocked(version=2, at=5, who="ann", reason="halt", symbol="X")])
    assert (control.value.n, control.value.type, control.value.who) == (3, "SymbolBlocked", "ann")
    gap = Fact(fact=FactKind.GAP, venue="KRAKEN", at=9, symbol="BTCUSDT", from_=4, to=8)
    (fact,) = tables.fact_rows("facts.KRAKEN", 2, 11, [gap])
    assert (fact.value.epoch, fact.value.n, fact.value.fact, fact.value.first, fact.value.last) == (2, 11, "gap", 4, 8)


def test_of_one_second_and_symbol_the_last_quote_is_the_row() -> None:
    def quote(symbol: str, bid: str, received: int) -> Quote:
        one = Decimal(1)
        return Quote(
            symbol=symbol, venue="V", bid=Decimal(bid), bid_size=one, ask=Decimal(9), ask_size=one, at=received - 5, received=received
        )

    second = tables.SECOND_NS
    quotes = [quote("A", "1", second), quote("B", "2", second), quote("A", "3", 2 * second - 1), quote("A", "4", 2 * second)]
    rows = tables.quote_rows("quotes.V", 1, 6, quotes)
    assert [(row.value.symbol, row.value.second // second, row.value.bid) for row in rows] == [
        ("A", 1, Decimal(3)),
        ("B", 1, Decimal(2)),
        ("A", 2, Decimal(4)),
    ]
    assert len({row.origin for row in rows}) == 3
