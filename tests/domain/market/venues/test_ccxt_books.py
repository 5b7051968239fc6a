"""Books that were polled through ccxt: whole, inexact, and heard with each poll."""

import json
from decimal import Decimal

import pytest

from domain.market.quotes import Quote
from domain.market.records import Book, BookKind, Fact, Flag
from domain.market.venues.feed import Send
from domain.market.venues.kinds import script
from domain.market.venues.names import exchange_of, is_kind
from tests.domain.market.venues.folds import ObviousBook, Told, only

INEXACT = (Flag.INEXACT, Flag.UNCHECKED)
AT = 1_700_000_000_000
MS = 1_000_000


def told() -> Told:
    return Told("ccxt:okx", {"BTC/USD": "BTC"})


def text(bids: object, asks: object, at: int | None = AT) -> str:
    return json.dumps({"symbol": "BTC/USD", "at": at, "bids": bids, "asks": asks})


def test_a_poll_is_a_whole_book_and_the_next_one_what_changed() -> None:
    scene, reader = told(), ObviousBook()
    first = scene.frame(text([[100.5, 1e-05], [100.0, 2]], [[101.25, 3.0]]), 1)
    second = scene.frame(text([[100.5, 2.5]], [[101.25, 3.0], [102, 1]], None), 2)
    third = scene.frame(text([[100.5, 2.5]], [[101.25, 3.0], [102, 1]]), 3)
    books = only(Book, [*first, *second, *third])
    assert [(book.kind, len(book.bids), len(book.asks)) for book in books] == [
        (BookKind.SNAPSHOT, 2, 1),
        (BookKind.DELTA, 2, 1),
        (BookKind.DELTA, 0, 0),
    ], "an unchanged book says that the exchange is heard"
    for book in books:
        reader.follow(book)
    assert (
        reader.view(10)
        == scene.top("BTC")
        == ([(Decimal("100.5"), Decimal("2.5"))], [(Decimal("101.25"), Decimal(3)), (Decimal(102), Decimal(1))])
    )
    quotes = only(Quote, [*first, *second, *third])
    assert [(quote.bid_size, quote.at, quote.flags) for quote in quotes] == [
        (Decimal("0.00001"), AT * MS, INEXACT),
        (Decimal("2.5"), 2 * MS, (Flag.NO_VENUE_TIME, *INEXACT)),
    ]
    assert {book.checked for book in books} == {None}


@pytest.mark.parametrize(
    "bad", ["{", text([["x", 1]], []), text([[-1, 1]], []), text([[1, 1]], [], -5), '{"symbol":"BTC/USD","bids":[[1]]}']
)
def test_a_book_that_cannot_be_read_ends_the_one_before(bad: str) -> None:
    scene = told()
    scene.frame(text([[1, 1]], [[2, 1]]), 1)
    assert {fact.fact for fact in only(Fact, scene.frame(bad, 2))} & {"rejected_frame", "rejected_record"}
    assert scene.top("BTC") is None
    scene.frame(text([[1, 1]], [[2, 1]]), 3)
    assert scene.top("BTC") is not None


def test_what_the_exchange_refuses_is_a_fact() -> None:
    scene = told()
    for error, fact in (("BadSymbol", "refused"), ("RateLimitExceeded", "limited"), ("DDoSProtection", "limited")):
        (found,) = only(Fact, scene.frame(json.dumps({"symbol": "BTC/USD", "error": error, "message": "no"}), 1))
        assert (found.fact, found.symbol, found.detail) == (fact, "BTC", f"{error} BTC/USD: no")


def test_a_connection_asks_for_its_symbols_and_their_depth() -> None:
    okx = script("ccxt:okx", "ccxt:okx", {"BTC": "BTC/USD", "ETH": "ETH/USD"}, 10)
    assert okx.opening() == [Send(text='{"method":"subscribe","symbols":["BTC/USD","ETH/USD"],"depth":10}')]
    assert okx.resync("ETH") == okx.subscribe("ETH") == [Send(text='{"method":"subscribe","symbols":["ETH/USD"],"depth":10}')]
    assert okx.unsubscribe("BTC") == [Send(text='{"method":"unsubscribe","symbols":["BTC/USD"],"depth":10}')]


def test_a_kind_names_its_exchange() -> None:
    assert [exchange_of(kind) for kind in ("ccxt:okx", "ccxt:", "ccxt:O K", "kraken")] == ["okx", None, None, None]
    assert [is_kind(kind) for kind in ("ccxt:okx", "ccxt", "kraken", "okx")] == [True, False, True, False]
