"""Venue, gateway and decoder together, each as it is: whatever the venue does wrong, the book returns whole, and is never wrong meanwhile.

The simulator's books and checksums are code of their own, so it also checks the decoders' reading of each venue's manual.
"""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from apps.gateway import link, venue_feed
from apps.gateway.link import Credentials
from domain.execution.token_bucket import SECOND_NS
from domain.market.records import Fact, FactKind, MarketTrade
from domain.market.venues.feed import BookView, Decoder, FrameKind, Opening, Wish, WishKind
from domain.market.venues.kinds import decoder
from tests.apps.market_house import WAIT_S, until
from tests.apps.test_market_feed import OURS, SYMBOLS, Scene, scene
from tests.venues import VenueSimulator
from tests.venues.alpaca import KEY, SECRET

DEPTH = 10
KEYS = Credentials(KEY, SECRET)
KINDS = ["binance_spot", "kraken", "coinbase", "alpaca_crypto"]
Fault = Callable[[VenueSimulator], None]


class Reader:
    """Decodes what is in the stream, and passes wishes on to the feed, as the normalizer does."""

    def __init__(self, found: Scene) -> None:
        self._found = found
        self._read = 0
        self._decoder: Decoder | None = None
        self.facts: list[FactKind] = []
        self.trades: list[str] = []

    def seen(self, one_of: set[FactKind]) -> bool:
        self.read()
        return bool(one_of & set(self.facts))

    def read(self) -> None:
        for message in self._found.stream.messages[self._read :]:
            self._read += 1
            for place, frame in enumerate(message.frames):
                if frame.kind == FrameKind.OPEN:
                    self._decoder = decoder("V", opening(frame.text), message.epoch)
                assert self._decoder is not None
                for record in self._decoder.take(frame, message.n + place):
                    if isinstance(record, Wish):
                        self._fulfil(record)
                    elif isinstance(record, Fact):
                        self.facts.append(record.fact)
                    elif isinstance(record, MarketTrade):
                        self.trades.append(record.trade_id)

    def book(self) -> BookView | None:
        self.read()
        return self._decoder.book(OURS, DEPTH) if self._decoder else None

    def _fulfil(self, wish: Wish) -> None:
        if self._found.feed.link is not None:
            if wish.kind is WishKind.RESYNC:
                self._found.feed.resync(wish.symbol)
            else:
                self._found.feed.reconnect(wish.reason)


def opening(text: str) -> Opening:
    return msgspec.json.decode(text, type=Opening)


async def the_book_is_the_venues(found: Scene, reader: Reader) -> None:
    """Step the venue until our book is valid and equal to the true one; it is never valid and wrong while nothing is on its way."""
    symbol = SYMBOLS[found.simulator.kind]

    def equal() -> bool:
        view = reader.book()
        truth = found.simulator.book(symbol, DEPTH)
        return view is not None and view.valid and (list(view.bids), list(view.asks)) == (truth.bids, truth.asks)

    async with asyncio.timeout(WAIT_S):
        while True:
            found.simulator.step()
            for _ in range(20):
                if equal():
                    return
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _short_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "RESYNC_DISTANCE_NS", SECOND_NS // 20)
    monkeypatch.setattr(venue_feed, "RECONNECT_DISTANCE_NS", SECOND_NS // 20)


def switch(**faults: object) -> Fault:
    def set_faults(venue: VenueSimulator) -> None:
        for name, value in faults.items():
            setattr(venue.faults, name, value)

    return set_faults


def crossed(venue: VenueSimulator) -> None:
    (symbol,) = venue.books
    venue.cross(symbol)
    venue.uncross(symbol)


def absurd(venue: VenueSimulator) -> None:
    (symbol,) = venue.books
    for price in ("0", "-1", "1e400", "NaN", "0.1234567890123456789012345678901234567890"):
        venue.absurd(symbol, price)


FAULTS: dict[str, tuple[Fault, set[str], set[FactKind]]] = {
    "hole": (switch(drop_next=7, only="book"), {"binance_spot", "kraken", "coinbase"}, {FactKind.GAP, FactKind.CHECKSUM_FAILED}),
    "duplicate": (switch(duplicate_next=1), set(KINDS), set()),
    "swapped": (switch(swap_next=3, only="book"), {"binance_spot", "kraken", "coinbase"}, {FactKind.GAP, FactKind.CHECKSUM_FAILED}),
    "wrong checksum": (switch(bad_checksum_next=1), {"kraken"}, {FactKind.CHECKSUM_FAILED}),
    "malformed": (switch(malformed_next=1, only="book"), {"binance_spot", "kraken", "coinbase"}, {FactKind.REJECTED_FRAME}),
    "unknown type": (switch(unknown_next=1), set(KINDS), set()),
    "new field": (switch(new_field=True), set(KINDS), set()),
    "crossed": (crossed, set(KINDS), set()),
    "absurd print": (absurd, {"binance_spot", "coinbase"}, {FactKind.REJECTED_RECORD}),
    "clock ahead": (switch(ahead_ns=5 * SECOND_NS), set(KINDS), set()),
    "burst": (switch(burst=10), set(KINDS), set()),
    "broken": (VenueSimulator.abort_all, set(KINDS), set()),
    "old snapshot": (switch(old_snapshots=1, drop_next=7, only="book"), {"binance_spot"}, {FactKind.GAP}),
}
CASES = [(name, kind) for name, (_, kinds, _) in FAULTS.items() for kind in KINDS if kind in kinds]


@pytest.mark.parametrize("kind", KINDS)
async def test_without_faults_the_book_is_the_venues_and_every_trade_comes_once(kind: str) -> None:
    async with scene(kind, credentials=KEYS) as found:
        reader = Reader(found)
        await the_book_is_the_venues(found, reader)
        found.simulator.step(100)
        await the_book_is_the_venues(found, reader)
        assert len(reader.trades) == len(set(reader.trades)) > 10
        assert not {FactKind.GAP, FactKind.CHECKSUM_FAILED, FactKind.CROSSED, FactKind.REJECTED_FRAME} & set(reader.facts)


@pytest.mark.parametrize(("name", "kind"), CASES)
async def test_after_a_fault_the_book_returns_whole(name: str, kind: str) -> None:
    fault, _, one_of = FAULTS[name]
    async with scene(kind, credentials=KEYS) as found:
        reader = Reader(found)
        await the_book_is_the_venues(found, reader)
        fault(found.simulator)
        found.simulator.step(20)
        await the_book_is_the_venues(found, reader)
        if one_of:
            await until(lambda: reader.seen(one_of))
        assert len(reader.trades) == len(set(reader.trades))
