"""Recorded messages of real venues, where this machine has them: checksums reproduce, books join their snapshots, none crosses."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from domain.market.records import Book, BookKind, Fact, FactKind
from domain.market.venues.feed import Frame, FrameKind
from domain.market.venues.kraken import checksum
from tests.domain.market.venues.folds import ObviousBook, Told, only

CHECKOUT: Final = Path(__file__).parents[4]
RECORDED: Final = CHECKOUT.parent / "shared" / "data" / "venues"
WANTED: Final = "needs excerpts of the sample_data of the project cryptofeed, as ../shared/data/venues/NAME.txt.gz beside the checkout"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=WANTED)


def lines(name: str) -> Iterator[tuple[int, str]]:
    """Receive times in nanoseconds, and the messages after them. Lines about the connection itself are left out."""
    with gzip.open(RECORDED / f"{name}.txt.gz", "rt") as file:
        for line in file:
            head, _, text = line.rstrip("\n").partition(": ")
            if text and "<-" not in head:
                yield int(Decimal(head.rpartition("-> ")[2]) * 10**9), text


def replies() -> Iterator[tuple[int, str]]:
    """The snapshots over HTTP, as gateway frames them."""
    with gzip.open(RECORDED / "binance_spot_2021-10-12.http.txt.gz", "rt") as file:
        for line in file:
            request, found, rest = line.partition(" -> ")
            if found and "/api/v3/depth" in request:
                seconds, _, body = rest.rstrip("\n").partition(": ")
                path = "/" + request.split("/", 3)[3]
                name = path.partition("symbol=")[2].partition("&")[0]
                yield int(Decimal(seconds) * 10**9), f"{name} 200 {path}\n{body}"


def test_every_binance_book_joins_its_snapshot_without_a_gap() -> None:
    names = {"NKNUSDT": "NKN/USDT", "BLZETH": "BLZ/ETH", "LRCBTC": "LRC/BTC", "RUNEEUR": "RUNE/EUR"}
    frames = [Frame(at, FrameKind.FRAME, text) for at, text in lines("binance_spot_2021-10-12.ws")]
    frames = sorted([*frames, *(Frame(at, FrameKind.REST, text) for at, text in replies())], key=lambda frame: frame.received)
    told = Told("binance_spot", names, opened_at=frames[0].received)
    read = {symbol: ObviousBook() for symbol in names.values()}
    for frame in frames:
        for record in told.give(frame):
            if isinstance(record, Book):
                read[record.symbol].follow(record)
                assert told.top(record.symbol, 5000) == read[record.symbol].view(5000)
    assert [(fact.fact, fact.symbol) for fact in only(Fact, told.all)] == [(FactKind.CONNECTED, "")]
    given = only(Book, told.all)
    assert sorted(book.symbol for book in given if book.kind is BookKind.SNAPSHOT) == sorted(names.values())
    assert sum(book.kind is BookKind.DELTA for book in given) > 50
    for symbol in names.values():
        view = told.decoder.book(symbol, 1)
        assert view is not None
        assert view.valid
        assert view.bids[0][0] < view.asks[0][0]


def kraken() -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Receive time, pair and content of each message about a book."""
    for at, text in lines("kraken_v1_book1000_2021-04-17.ws"):
        message = json.loads(text)
        if isinstance(message, list):
            for content in message[1:-2]:
                yield at, message[-1], content


def test_every_checksum_of_kraken_reproduces_over_the_texts() -> None:
    books: dict[str, dict[str, dict[Decimal, tuple[str, str]]]] = {}
    checked = 0
    for _, pair, content in kraken():
        book = books.setdefault(pair, {"a": {}, "b": {}})
        for key in ("as", "bs", "a", "b"):
            for price, volume, *_ in content.get(key, ()):
                book[key[0]][Decimal(price)] = (price, volume)
                if not Decimal(volume):
                    del book[key[0]][Decimal(price)]
        if "c" in content:
            asks = [book["a"][price] for price in sorted(book["a"])[:10]]
            bids = [book["b"][price] for price in sorted(book["b"], reverse=True)[:10]]
            assert checksum(asks, bids) == int(content["c"]), pair
            checked += 1
    assert checked > 400


def as_v2(pair: str, content: dict[str, Any], whole: bool) -> str:
    """An older message in today's format: numbers without quotes, as sent."""
    sides = {
        today: ",".join(f'{{"price":{price},"qty":{volume}}}' for key in keys for price, volume, *_ in content.get(key, ()))
        for today, keys in (("bids", ("bs", "b")), ("asks", ("as", "a")))
    }
    book = f'"symbol":"{pair}","bids":[{sides["bids"]}],"asks":[{sides["asks"]}],"checksum":{content.get("c", 0)}'
    return f'{{"channel":"book","type":"{"snapshot" if whole else "update"}","data":[{{{book}}}]}}'


def test_the_kraken_decoder_agrees_with_every_recorded_checksum() -> None:
    messages = list(kraken())
    told = Told("kraken", {pair: pair for _, pair, _ in messages}, depth=1000, opened_at=messages[0][0])
    updates = 0
    for at, pair, content in messages:
        whole = "as" in content
        given = only(Book, told.give(Frame(at, FrameKind.FRAME, as_v2(pair, content, whole))))
        assert all(book.checked is (None if whole else True) for book in given)
        updates += len(given) if not whole else 0
    assert updates > 400
    assert [fact.fact for fact in only(Fact, told.all)] == [FactKind.CONNECTED]


def test_books_of_older_coinbase_messages_never_cross() -> None:
    """The older feed has no sequence. Its levels, in today's format, give the same book as a plain dict."""
    obvious: dict[str, ObviousBook] = {}
    sides = {"buy": "bid", "sell": "offer"}
    messages = [(at, json.loads(text)) for at, text in lines("coinbase_pro_level2_2021-04-17.ws")]
    books = [(at, message) for at, message in messages if message["type"] in ("snapshot", "l2update")]
    told = Told("coinbase", {message["product_id"]: message["product_id"] for _, message in books}, opened_at=books[0][0])
    for sequence, (at, message) in enumerate(books):
        pair, whole = message["product_id"], message["type"] == "snapshot"
        changes = message.get("changes") or [(side, *level) for side, key in (("buy", "bids"), ("sell", "asks")) for level in message[key]]
        updates = [{"side": sides[side], "price_level": price, "new_quantity": size} for side, price, size in changes]
        event = {"type": "snapshot" if whole else "update", "product_id": pair, "updates": updates}
        told.give(Frame(at, FrameKind.FRAME, json.dumps({"channel": "l2_data", "sequence_num": sequence, "events": [event]})))
        book = obvious.setdefault(pair, ObviousBook())
        for side, price, size in changes:
            levels = book.bids if side == "buy" else book.asks
            levels[Decimal(price)] = Decimal(size)
        for levels in (book.bids, book.asks):
            for price in [price for price, size in levels.items() if not size]:
                del levels[price]
        assert told.top(pair, 10) == book.view(10)
    assert [fact.fact for fact in only(Fact, told.all)] == [FactKind.CONNECTED]
