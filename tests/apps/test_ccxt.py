"""A real exchange class of ccxt against the simulated venue, from its books to quotes. Skipped without the library: `make ccxt`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal

import pytest

from adapters import ccxt_exchange
from adapters.ccxt_exchange import CcxtSocket
from apps.gateway import venue_feed
from domain.execution.token_bucket import SECOND_NS
from domain.market.quotes import Quote
from domain.market.records import FactKind, Flag
from domain.market.venues.feed import FrameKind
from domain.market.venues.kinds import script
from tests.apps.market_house import until
from tests.apps.test_market_control import Read
from tests.apps.test_market_feed import OURS, Scene, scene

pytest.importorskip("ccxt", reason="ccxt, an optional extra, is not installed: run make ccxt, which installs it")
KIND = "ccxt:kraken"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "pause_ns", lambda *_: SECOND_NS // 100)
    monkeypatch.setattr(ccxt_exchange, "POLL_S", 0.05)
    monkeypatch.setattr(ccxt_exchange, "LIMITED_PAUSE_S", 0.05)


@asynccontextmanager
async def polled(monkeypatch: pytest.MonkeyPatch, *, up: bool = True) -> AsyncIterator[Scene]:
    """The scene of a feed whose venue is polled through ccxt's class for Kraken, at the simulator's address."""
    async with AsyncExitStack() as opened:
        found = await opened.enter_async_context(scene("kraken", up=False, both=True))
        feed = found.feed

        async def dial(_: str) -> CcxtSocket:
            socket = await ccxt_exchange.dial("kraken", found.simulator.rest_url)
            socket._exchange.enableRateLimit = False  # its pace is a second between two requests
            return socket

        monkeypatch.setattr(feed, "_dial", dial)
        monkeypatch.setattr(feed, "_script", lambda listing: script(KIND, KIND, listing.symbols, listing.depth))
        feed.listing.kind = KIND
        if up:
            await found.simulator.start()
        yield found


async def test_books_of_an_exchange_become_inexact_quotes_and_follow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with polled(monkeypatch) as found:
        for _ in range(3):
            found.simulator.step(20)
            truth = found.simulator.book("BTC/USD", 10)

            def is_followed() -> bool:
                view = Read(found.stream.messages).fold.book(OURS, 10)
                return view is not None and (list(view.bids), list(view.asks)) == (truth.bids, truth.asks)  # noqa: B023 - of this turn

            await until(is_followed)
        quotes: list[Quote] = [quote for out in Read(found.stream.messages).outs for quote in out.quotes]
        assert {quote.flags for quote in quotes} == {(Flag.NO_VENUE_TIME, Flag.INEXACT, Flag.UNCHECKED)}
        assert all(isinstance(quote.bid, Decimal) for quote in quotes)
        assert not Read(found.stream.messages).facts(FactKind.REJECTED_FRAME, FactKind.GAP, FactKind.REFUSED)


async def test_a_symbol_comes_and_goes_and_one_that_the_exchange_does_not_know_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    async with polled(monkeypatch) as found:
        await until(lambda: Read(found.stream.messages).is_valid(OURS))
        assert found.ask(do="subscribe", symbol="ETH") == (True, "", "accepted")
        await until(lambda: Read(found.stream.messages).is_valid("ETH"))
        assert found.ask(do="unsubscribe", symbol="ETH") == (True, "", "accepted")
        await until(lambda: Read(found.stream.messages).facts(FactKind.UNSUBSCRIBED))
        assert found.feed.subscribe("DOGE", "DOGE/EUR") == "accepted"
        await until(lambda: Read(found.stream.messages).facts(FactKind.REFUSED))
        (refused,) = Read(found.stream.messages).facts(FactKind.REFUSED)
        assert (refused.symbol, refused.detail.partition(":")[0]) == ("DOGE", "BadSymbol DOGE/EUR")
        span = {"from": 1_700_000_000 * SECOND_NS, "to": 1_700_000_001 * SECOND_NS}
        assert found.ask(do="backfill", symbol=OURS, **span)[:2] == (False, "not_offered")
        assert found.feed.reconnects == 0


async def test_an_exchange_that_limits_or_goes_away_is_polled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with polled(monkeypatch, up=False) as found:
        await until(lambda: found.feed.last_error.startswith("cannot connect: ExchangeNotAvailable"))
        await found.simulator.start()
        await until(lambda: Read(found.stream.messages).is_valid(OURS))
        found.simulator.faults.rest_status = [(429, 1)]
        await until(lambda: Read(found.stream.messages).facts(FactKind.LIMITED))
        found.simulator.step()
        await until(lambda: Read(found.stream.messages).is_valid(OURS))
        first = found.feed.epoch
        await found.simulator.stop()
        await until(lambda: found.stream.texts(FrameKind.CLOSE, first))
        await found.simulator.start()
        await until(lambda: found.feed.epoch > first and Read(found.stream.messages).is_valid(OURS))


def test_an_exchange_that_ccxt_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="ccxt has no exchange 'nowhere'"):
        ccxt_exchange.check("nowhere")
    ccxt_exchange.check("okx")
