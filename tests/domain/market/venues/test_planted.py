"""Bugs planted in the decoders: the damaged streams must find each of them."""

from collections.abc import Callable

import pytest

from domain.market.venues.binance_spot import BinanceSpotDialect
from domain.market.venues.book_side import BookSide
from domain.market.venues.coinbase import CoinbaseDialect
from domain.market.venues.kraken import KrakenDialect
from domain.market.venues.live_book import LiveBook
from domain.market.venues.session import FeedSession
from tests.domain.market.venues.test_fuzz import SEEDS, Damaged, undamaged


def always(answer: object) -> Callable[..., object]:
    return lambda *args, **named: answer


PLANTED: dict[str, tuple[str, type, str, Callable[..., object]]] = {
    "a gap is ignored": ("binance_spot", BinanceSpotDialect, "_follows", always(True)),
    "kept updates are forgotten": ("binance_spot", LiveBook, "keep", always(0)),
    "the checksum is not compared": ("kraken", KrakenDialect, "_proved", always(True)),
    "the depth is not cut": ("kraken", BookSide, "truncate", always([])),
    "the sequence is not followed": ("coinbase", CoinbaseDialect, "_in_order", always(True)),
    "a frame that could not be read has no consequence": ("alpaca_crypto", FeedSession, "all_broken", always(None)),
    "a hole of gateway has no consequence": ("alpaca_crypto", FeedSession, "broken", always(None)),
    "a resync is wished only once": ("kraken", FeedSession, "_sweep", always(None)),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, owner, name, wrong = PLANTED[bug]
    monkeypatch.setattr(owner, name, wrong)
    assert any(found(kind, seed) for seed in range(SEEDS))


def found(kind: str, seed: int) -> bool:
    try:
        Damaged(kind, seed).run()
        return not undamaged(kind, seed)
    except AssertionError:
        return True
