"""Requests at run time: other symbols on an open connection, trades of the past, and what the venue's own list says."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest

from adapters.venue_socket import VenueSocket, dial
from apps.gateway import rest_errands, venue_feed
from apps.gateway.link import Credentials
from apps.gateway.routes import feed_view
from domain.execution.token_bucket import SECOND_NS
from domain.market.normalization import BookRules, Normalised, VenueFold
from domain.market.records import Fact, FactKind, Flag, MarketTrade
from domain.market.venues import history
from domain.market.venues.feed import FrameKind, RawFrames
from domain.market.venues.kinds import decoder
from domain.market.venues.names import KINDS
from domain.values import rfc3339
from tests.apps.market_house import until
from tests.apps.test_market_feed import CALM, MORE, OURS, SYMBOLS, Scene, all_written, scene
from tests.venues.alpaca import KEY, SECRET

KEYS = Credentials(KEY, SECRET)
LISTS = ("binance_spot", "kraken", "coinbase")


class Read:
    """What a normalizer makes of the frames in the stream."""

    def __init__(self, messages: Iterable[RawFrames]) -> None:
        self.fold = VenueFold("V", decoder, BookRules())
        self.outs: list[Normalised] = [self.fold.take(message) for message in messages]

    @property
    def trades(self) -> list[MarketTrade]:
        return [trade for out in self.outs for trade in out.trades]

    @property
    def ended(self) -> list[str]:
        return [symbol for out in self.outs for symbol in out.ended]

    def facts(self, *kinds: FactKind) -> list[Fact]:
        return [fact for out in self.outs for fact in out.facts if fact.fact in kinds]

    def is_valid(self, symbol: str) -> bool:
        view = self.fold.book(symbol, 5)
        return view is not None and view.valid


async def live(found: Scene) -> None:
    """The book of our symbol is there."""

    def is_there() -> bool:
        found.simulator.step()
        return Read(found.stream.messages).is_valid(OURS)

    await until(is_there)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_symbol_is_added_and_removed_on_an_open_connection_and_the_others_do_not_notice(kind: str) -> None:
    async with scene(kind, credentials=KEYS, both=True) as found:
        await live(found)
        epoch = found.feed.epoch
        assert found.ask(do="subscribe", symbol="ETH") == (True, "", "accepted")
        assert found.ask(do="subscribe", symbol="ETH") == (True, "", "it is asked for already")

        def both() -> bool:
            found.simulator.step()
            return Read(found.stream.messages).is_valid("ETH")

        await until(both)
        assert found.ask(do="unsubscribe", symbol="ETH") == (True, "", "accepted")
        await until(lambda: Read(found.stream.messages).facts(FactKind.UNSUBSCRIBED))
        found.simulator.step(5)
        await all_written(found)
        read = Read(found.stream.messages)
        assert not read.is_valid("ETH")
        assert read.is_valid(OURS)
        assert (read.ended, found.feed.epoch, found.feed.reconnects) == (["ETH"], epoch, 0)
        assert not read.facts(FactKind.UNKNOWN_SYMBOL, FactKind.GAP, FactKind.REJECTED_FRAME, FactKind.REFUSED)
        assert read.outs == Read(found.stream.messages).outs, "a replay gives the same"
        assert len(found.stream.texts(FrameKind.OPEN)) == 3


async def test_what_was_asked_for_at_run_time_is_asked_for_by_the_next_connection_too() -> None:
    async with scene("binance_spot", both=True) as found:
        await live(found)
        found.ask(do="subscribe", symbol="ETH")
        found.simulator.abort_all()
        await until(lambda: found.feed.reconnects == 1)
        await until(lambda: found.simulator.open)
        assert "ethusdt@trade" in found.simulator.connections[-1].path


async def test_a_symbol_is_asked_for_while_the_venue_is_away() -> None:
    async with scene("kraken", up=False, both=True) as found:
        assert found.ask(do="subscribe", symbol="ETH") == (True, "", "the next connection has it so")
        await found.simulator.start()
        await until(lambda: found.stream.texts(FrameKind.OPEN))
        assert '"ETH/USD":"ETH"' in found.stream.texts(FrameKind.OPEN)[0]


async def test_a_symbol_that_nothing_lists_or_that_must_stay_is_refused_with_its_reason() -> None:
    async with scene("kraken", both=True) as found:
        await live(found)
        ok, code, detail = found.ask(do="subscribe", symbol="DOGE")
        assert (ok, code) == (False, "symbol_unknown")
        assert detail == "config/instruments.yaml lists no DOGE for V, which is a venue of the kind kraken"
        assert found.ask(do="subscribe", symbol="TWIN") == (False, "not_allowed", "another symbol is BTC/USD there")
        assert found.ask(do="unsubscribe", symbol="ETH") == (False, "symbol_unknown", "V is not asked for ETH")
        last = "it is the last symbol: take the venue out of the configuration instead"
        assert found.ask(do="unsubscribe", symbol=OURS) == (False, "not_allowed", last)
        assert list(found.feed.listing.symbols) == [OURS]


async def test_a_reader_that_began_in_the_middle_learns_the_symbols_with_the_next_resync() -> None:
    async with scene("kraken", both=True) as found:
        await live(found)
        found.ask(do="subscribe", symbol="ETH")
        assert found.ask(do="resync", symbol="ETH") == (True, "", "accepted")
        await until(lambda: len(found.stream.texts(FrameKind.OPEN)) == 3)
        first = found.stream.numbered()[0][1]
        behind = [each for each in found.stream.messages if each.n > 1]
        fold = VenueFold("V", decoder, BookRules())
        fold.begin_at(first, found.feed.epoch, behind[0].n - 1)
        outs = [fold.take(message) for message in behind]
        assert [out.added for out in outs if out.added] == [("ETH",)]


def past(found: Scene, trades: int, *, since: int) -> None:
    """Trades of the past, one each 10 ms, that no connection saw."""
    for number in range(trades):
        at = since + number * 10_000_000
        found.simulator.traded(SYMBOLS[found.simulator.kind], at, f"{50_000 + number % 7}.5", "0.25", taker_buys=number % 2 == 0)


async def backfilled(found: Scene, begin: int, end: int) -> dict[str, Any]:
    assert found.ask(do="backfill", symbol=OURS, **{"from": begin, "to": end}) == (True, "", "accepted")
    await until(lambda: found.feed.backfill and found.feed.backfill.state != "running")
    await until(lambda: not found.writer.bytes)
    shown = feed_view(found.feed)["backfill"]
    assert isinstance(shown, dict)
    return shown


@pytest.mark.parametrize("kind", KINDS)
async def test_trades_of_a_time_are_fetched_in_pages_and_each_is_there_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MARKETDATA 4: live overlapping backfill: one row by (at, venue, symbol, trade_id)."""
    monkeypatch.setattr(history, "PAGE_TRADES", 100)
    async with scene(kind, credentials=KEYS) as found:
        since = (time.time_ns() // SECOND_NS - 60) * SECOND_NS
        past(found, 300, since=since)
        await live(found)
        found.simulator.step(100)
        await all_written(found)
        begin = since + SECOND_NS
        shown = await backfilled(found, begin, found.feed.last_frame_at)
        read = Read(found.stream.messages)
        pages = {"binance_spot": 5, "kraken": 4, "coinbase": 4, "alpaca_crypto": 3}[kind]
        assert (shown["state"], shown["detail"]) == ("done", None)
        assert abs(shown["pages"] - pages) <= 1, "trades of the last steps may be behind the end of the range"
        keys = {"binance_spot": 1_000_000, "kraken": 1000}.get(kind, 1)
        shift = 10_000_000 if kind == "binance_spot" else 0
        true = {(row.print.at // keys * keys, str(row.print.number + shift)) for row in found.simulator.books[SYMBOLS[kind]].past}
        got = [(trade.at, trade.trade_id) for trade in read.trades]
        assert len(got) == len(set(got)), "those that came live are not given again"
        assert set(got) == {(at, number) for at, number in true if at >= begin}
        opened = found.stream.numbered()[0][1].received
        assert {trade.flags for trade in read.trades if trade.at < opened} == {(Flag.BACKFILLED,)}
        assert () in {trade.flags for trade in read.trades}
        (fact,) = read.facts(FactKind.BACKFILLED)
        assert (fact.symbol, fact.from_) == (OURS, begin)
        flagged = sum(trade.flags == (Flag.BACKFILLED,) for trade in read.trades)
        assert fact.detail == f"{flagged} trades in {shown['pages']} pages"
        assert not read.facts(FactKind.REFUSED, FactKind.REJECTED_FRAME, FactKind.REJECTED_RECORD)
        assert all(" 200 /" in text for text in found.stream.texts(FrameKind.REST))
        assert sum(f" backfill {begin} " in text for text in found.stream.texts(FrameKind.REST)) == shown["pages"]


async def test_a_backfill_has_bounds_and_the_venues_own_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE_TRADES", 50)
    for module in (rest_errands, history):
        monkeypatch.setattr(module, "PAGES_MAX", 2)
    monkeypatch.setattr("domain.market.venues.replies.PAGES_MAX", 2)
    async with scene("kraken") as found:
        now = time.time_ns()
        past(found, 300, since=now - 60 * SECOND_NS)
        await live(found)
        day = history.SPAN_MAX
        for begin, end, reason in (
            (now, now - 1, "from must be before to, and to not in the future"),
            (now, now + day, "from must be before to, and to not in the future"),
            (0, now, "from must be before to, and to not in the future"),
            (now - day - 1, now, "from and to are at most 24 hours apart"),
            ("yesterday", now, "Invalid isoformat string: 'yesterday'"),
        ):
            assert found.ask(do="backfill", symbol=OURS, **{"from": begin, "to": end}) == (False, "range_invalid", reason)
        assert found.ask(do="backfill", symbol="DOGE", **{"from": 1, "to": 2})[1] == "symbol_unknown"
        shown = await backfilled(found, now - 61 * SECOND_NS, now)
        assert (shown["state"], shown["pages"], shown["trades"]) == ("incomplete", 2, 100)
        assert shown["from"] == rfc3339(now - 61 * SECOND_NS)
        (gap,) = Read(found.stream.messages).facts(FactKind.GAP)
        assert gap.detail.startswith("backfill ended at ")


async def test_one_backfill_of_a_venue_runs_at_a_time_and_a_failed_one_says_why() -> None:
    async with scene("kraken") as found:
        await live(found)
        found.simulator.faults.rest_hangs = True
        span = {"from": found.feed.last_frame_at - SECOND_NS, "to": found.feed.last_frame_at}
        assert found.ask(do="backfill", symbol=OURS, **span) == (True, "", "accepted")
        assert found.ask(do="backfill", symbol=OURS, **span) == (False, "busy", "a backfill of BTC is under way")
        found.simulator.faults.rest_hangs = False
        await until(lambda: found.feed.backfill and found.feed.backfill.state == "done")
        found.simulator.faults.rest_status = [(403, 0)]
        shown = await backfilled(found, span["from"], span["to"])
        assert (shown["state"], shown["detail"][:4]) == ("failed", "403:")
        assert [fact.symbol for fact in Read(found.stream.messages).facts(FactKind.REFUSED)] == [OURS]
        found.simulator.faults.rest_hangs = True
        found.ask(do="backfill", symbol=OURS, **span)
        found.simulator.abort_all()
        await until(lambda: found.feed.backfill and found.feed.backfill.detail == "the connection ended")


async def test_the_trades_between_two_connections_are_fetched_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """MARKETDATA 4: duplicate trade after reconnect: one row by (at, venue, symbol, trade_id)."""
    monkeypatch.setattr(venue_feed, "MISSED_AFTER_S", 0.1)
    async with scene("binance_spot") as found:
        await live(found)
        await found.simulator.stop()
        missed = [time.time_ns() // 1_000_000 * 1_000_000 + number * 1_000_000 for number in range(5)]
        for at in missed:
            found.simulator.traded("BTCUSDT", at, "50000.5", "0.25")
        await found.simulator.start()
        await until(lambda: Read(found.stream.messages).facts(FactKind.BACKFILLED))
        read = Read(found.stream.messages)
        fetched = {trade.at for trade in read.trades if Flag.BACKFILLED in trade.flags}
        assert fetched >= set(missed)
        assert len(read.facts(FactKind.BACKFILLED)) == 1


class SlowToClose:
    """A socket whose end takes until `closed` is set."""

    def __init__(self, socket: VenueSocket, closed: asyncio.Event) -> None:
        self.read, self.send = socket.read, socket.send
        self._socket, self._closed = socket, closed

    async def close(self) -> None:
        await self._closed.wait()
        await self._socket.close()


async def test_a_connection_that_is_being_closed_takes_no_request_and_the_next_one_fetches_what_was_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MARKETDATA 4: catches up without loss or doubles."""
    monkeypatch.setattr(venue_feed, "MISSED_AFTER_S", 0.05)
    monkeypatch.setattr(venue_feed, "MISSED_OVERLAP_NS", 0)
    closed = asyncio.Event()

    async def slow_to_close(url: str) -> SlowToClose:
        return SlowToClose(await dial(url), closed)

    async with scene("binance_spot") as found:
        await live(found)
        monkeypatch.setattr(found.feed, "_dial", slow_to_close)
        await found.simulator.stop()
        missed = time.time_ns() // 1_000_000 * 1_000_000 + 1_000_000
        found.simulator.traded("BTCUSDT", missed, "50000.5", "0.25")
        found.simulator.faults.rest_hangs = True
        await found.simulator.start()
        await until(lambda: found.feed.is_backfilling)
        found.simulator.step()
        await until(lambda: found.feed.last_frame_at > missed)
        found.simulator.abort_all()
        await until(lambda: found.feed.backfill and found.feed.backfill.state == "failed")
        span = {"from": missed, "to": found.feed.last_frame_at}
        reason = "V is closing its connection; a new connection brings every book back"
        assert found.ask(do="backfill", symbol=OURS, **span) == (False, "not_connected", reason)
        assert found.ask(do="resync", symbol=OURS) == (False, "not_connected", reason)
        found.simulator.faults.rest_hangs = False
        closed.set()
        await until(lambda: Read(found.stream.messages).facts(FactKind.BACKFILLED))
        assert missed in {trade.at for trade in Read(found.stream.messages).trades}
        assert await backfilled(found, missed, span["to"])


@pytest.mark.parametrize("kind", LISTS)
async def test_a_symbol_that_the_venue_lists_no_more_is_not_asked_for_until_it_is_back(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MARKETDATA 4: listing gone: symbol disabled, others go on."""
    monkeypatch.setattr(venue_feed, "CHECK_DISTANCE_NS", SECOND_NS // 20)
    bounds = CALM._replace(instruments_every_ns=SECOND_NS // 10)
    async with scene(kind, both=True, bounds=bounds) as found:
        name = MORE[kind]["ETH"]
        found.ask(do="subscribe", symbol="ETH")
        await live(found)
        await until(lambda: found.feed.instruments.listed.keys() == {SYMBOLS[kind], name})
        found.simulator.faults.delisted.add(name)
        await until(lambda: list(found.feed.listing.symbols) == [OURS])
        found.simulator.step(5)
        await until(lambda: Read(found.stream.messages).facts(FactKind.UNSUBSCRIBED))
        assert feed_view(found.feed)["not_listed"] == ["ETH"]
        read = Read(found.stream.messages)
        assert [(fact.symbol, fact.detail) for fact in read.facts(FactKind.DELISTED)] == [("ETH", f"{name} is not in the venue's list")]
        assert read.is_valid(OURS)
        assert OURS not in read.ended
        found.simulator.faults.delisted.clear()
        await until(lambda: set(found.feed.listing.symbols) == {OURS, "ETH"})

        def back() -> bool:
            found.simulator.step()
            return Read(found.stream.messages).is_valid("ETH")

        await until(back)
        assert (found.feed.reconnects, feed_view(found.feed)["not_listed"]) == (0, [])


@pytest.mark.parametrize("kind", LISTS)
async def test_other_steps_and_a_halt_in_the_venues_list_are_facts_over_a_reconnect_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MARKETDATA 4: precision changed; precision from the venue's instrument list, reload without restart."""
    monkeypatch.setattr(venue_feed, "CHECK_DISTANCE_NS", SECOND_NS // 20)
    async with scene(kind, bounds=CALM._replace(instruments_every_ns=SECOND_NS // 10)) as found:
        name = SYMBOLS[kind]
        await live(found)
        await until(lambda: found.feed.instruments.listed)
        tick, lot = found.feed.instruments.listed[name].steps
        found.simulator.abort_all()
        await until(lambda: found.feed.reconnects == 1)
        found.simulator.faults.ticks[name] = "0.5"
        found.simulator.faults.not_trading.add(name)
        await until(lambda: Read(found.stream.messages).facts(FactKind.HALTED))
        await until(lambda: feed_view(found.feed)["instruments"] == {OURS: {"tick": "0.5", "lot": lot, "trades": False}})
        found.simulator.faults.not_trading.clear()
        await until(lambda: Read(found.stream.messages).facts(FactKind.FRESH))
        (changed,) = Read(found.stream.messages).facts(FactKind.PRECISION)
        assert (changed.symbol, changed.detail) == (OURS, f"tick {tick} to 0.5, lot {lot} to {lot}")


@pytest.mark.parametrize("kind", LISTS)
async def test_a_refusal_of_the_venue_leads_to_its_list_at_once_and_the_others_go_on(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "RECONNECT_DISTANCE_NS", SECOND_NS // 10)
    async with scene(kind, both=True, up=False) as found:
        found.simulator.faults.delisted.add(MORE[kind]["ETH"])
        found.ask(do="subscribe", symbol="ETH")
        await found.simulator.start()
        await until(lambda: feed_view(found.feed)["not_listed"] == ["ETH"])
        await live(found)
        if kind == "coinbase":  # it refused the message that named both
            assert found.stream.texts(FrameKind.CLOSE) == ["ETH-USD is not listed, and others were refused with it"]


async def test_a_venue_without_a_list_or_with_an_invalid_reply_loses_no_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venue_feed, "CHECK_DISTANCE_NS", SECOND_NS // 20)
    async with scene("kraken", bounds=CALM._replace(instruments_every_ns=SECOND_NS // 10), up=False) as found:
        found.simulator.faults.rest_status = [(404, 0), (403, 0)]
        await found.simulator.start()
        await live(found)
        await until(lambda: Read(found.stream.messages).facts(FactKind.REFUSED))
        await until(lambda: found.feed.instruments.listed)
        assert list(found.feed.listing.symbols) == [OURS]
        assert not Read(found.stream.messages).facts(FactKind.DELISTED, FactKind.REJECTED_FRAME)
