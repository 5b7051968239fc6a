"""One rule decides what counts as a quote, for every service that reads `ticks.>`; what does not is counted, and the one before stays."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from adapters.codec import decoder, encode
from apps.connections.ticks import TICK_BYTES_MAX, UNREADABLE, Ticks
from apps.exeq.router import Router, RoutingRules
from config.market_section import MarketSection
from domain.execution.projection import Executions
from domain.execution.routing import POLICIES, RoutedVenue, Routing
from domain.market import quotes
from domain.market.quotes import Listed, Market, Quote
from domain.risk.marks import Marks
from domain.values import Side
from tests.apps.risk_house import House, Message
from tests.apps.test_exeq_routing import Hands
from tests.domain.execution.test_routing import order

S = 1_000_000_000
ONE = Decimal(1)
LISTED = Listed({"BTCUSDT", "EURO"}, {"A": {"BTCUSDT", "EURO"}, "B": {"BTCUSDT"}})


def tick(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"symbol": "BTCUSDT", "venue": "A", "bid": 99, "bid_size": 1, "ask": 101, "ask_size": 1, "at": 0}
    return json.dumps({**fields, **changes}).encode()


REFUSED: Mapping[str, list[bytes]] = {
    UNREADABLE: [
        b"",
        b"rubbish",
        b"null",
        tick(bid=None),
        tick(bid="two"),
        tick(at="now"),
        tick(bid="1e99999999999999999999"),
        b'{"symbol":' + b"[" * 3000,
        tick(padding="x" * TICK_BYTES_MAX),
    ],
    quotes.UNKNOWN_SYMBOL: [tick(symbol="NOPE"), tick(symbol="")],
    quotes.UNKNOWN_VENUE: [tick(venue="C"), tick(venue="")],
    quotes.NOT_LISTED: [tick(symbol="EURO", venue="B")],
    quotes.REPLAYED: [tick(flags=["replayed"]), tick(flags=["no_venue_time", "replayed"])],
    quotes.INEXACT: [tick(flags=["inexact"])],
    quotes.NUMBER: [
        *(tick(**{name: value}) for name in ("bid", "ask", "bid_size", "ask_size") for value in ("NaN", "sNaN", "Infinity", "-Infinity")),
        tick(ask="1e400"),
        tick(ask="1e-400"),
        tick(ask="9" * 400),
        tick(ask="9" * 31),
        tick(ask_size="0e999"),
    ],
    quotes.PRICE: [tick(ask=0), tick(bid=0), tick(bid="-0"), tick(bid=-5), tick(ask=-1), tick(bid=-2, ask=-1)],
    quotes.SIZE: [tick(bid_size=-1), tick(ask_size="-0.1")],
    quotes.CROSSED: [tick(bid="101.000001"), tick(ask="98.99")],
    quotes.TIME: [tick(at=-1), tick(at=2**63), tick(at=10**40)],
}
CASES = [(reason, payload) for reason, payloads in REFUSED.items() for payload in payloads]


def test_every_reason_has_its_case() -> None:
    assert set(REFUSED) == {UNREADABLE, *quotes.REFUSED}


@pytest.mark.parametrize(("reason", "payload"), CASES, ids=[f"{reason}-{number}" for number, (reason, _) in enumerate(CASES)])
async def test_what_is_no_quote_is_counted_by_its_reason_and_the_one_before_stays(reason: str, payload: bytes) -> None:
    market = Market()
    ticks = Ticks(market.update, LISTED, lambda: 7)
    await ticks.on_tick(Message(tick()))  # type: ignore[arg-type]
    await ticks.on_tick(Message(payload))  # type: ignore[arg-type]
    assert (market.mid("BTCUSDT"), market.mid("EURO")) == (Decimal(100), None)
    assert ticks.stats() == {"taken": 1, "refused": {reason: 1}}
    assert [sample.value for family in ticks.series() for sample in family.samples if sample.labels.get("reason") == reason] == [1]


@pytest.mark.parametrize(
    "payload",
    [tick(bid=101), tick(bid_size=0, ask_size=0), tick(at=2**63 - 1), tick(bid="0.000000000001"), tick(ask="9.9e18"), tick(more=[1])],
    ids=["locked", "nothing shown", "far away", "tiny", "huge", "a field that we do not know"],
)
async def test_what_is_unusual_is_a_quote_all_the_same(payload: bytes) -> None:
    ticks = Ticks(Market().update, LISTED, lambda: 7)
    await ticks.on_tick(Message(payload))  # type: ignore[arg-type]
    assert ticks.stats() == {"taken": 1, "refused": {}}


@pytest.mark.parametrize("policy", sorted(POLICIES))
async def test_a_venue_that_asks_less_than_nothing_wins_no_policy_and_its_good_quote_grows_old(policy: str) -> None:
    clock, market = Hands(), Market()
    ticks = Ticks(market.update, LISTED, clock.monotonic_ns)
    venues = {name: RoutedVenue(name, ONE, fee, frozenset({"BTCUSDT"})) for name, fee in (("A", ONE), ("B", ONE + ONE))}
    router = Router(venues, {}, market, clock, RoutingRules(policy, 10 * S, "A"), Executions(), killed=lambda name: False)
    for payload in (tick(ask=100), tick(venue="B", ask=102), tick(venue="B", ask=-1), tick(venue="B", bid="NaN", ask="NaN")):
        await ticks.on_tick(Message(payload))  # type: ignore[arg-type]
    found = router.decide(order())
    assert isinstance(found, Routing)
    assert found.legs[0].venue == "A"
    clock.now += 11 * S
    await ticks.on_tick(Message(tick(ask=-1)))  # type: ignore[arg-type]
    assert market.quotes("BTCUSDT", clock.monotonic_ns() - 10 * S) == []


async def test_refused_quotes_are_logged_once_a_second() -> None:
    ticks = Ticks(Market().update, LISTED, lambda: 7)
    for _ in range(1000):
        await ticks.on_tick(Message(b"rubbish"))  # type: ignore[arg-type]
    assert ticks.refused[UNREADABLE] == 1000
    assert ticks._seldom.held_back >= 1000 - 60, "a busy machine may have taken some seconds"


async def test_a_quote_as_it_travels_moves_the_marks_of_risk() -> None:
    house = House()
    ask_size = Decimal("4.000000000000002")
    quote = Quote(symbol="EURO", venue="A", at=1, bid=Decimal("99.5"), bid_size=Decimal(1), ask=Decimal("100.5"), ask_size=ask_size)
    payload = encode(quote)
    await Ticks(house.risk.marks.update, LISTED, lambda: 7).on_tick(Message(payload))  # type: ignore[arg-type]
    assert house.risk.marks.mids["EURO"] == 125


MARKET_LISTED = {
    section.mode: Listed({"BTCUSDT"}, {"A": {"BTCUSDT"}}, market=section.rule())
    for section in (MarketSection(), MarketSection(mode="config"), MarketSection(mode="replay", inexact=True))
}


@pytest.mark.parametrize(
    ("payload", "simulated", "config", "replay"),
    [
        (tick(), None, None, None),
        (tick(venue="BINANCE"), quotes.UNKNOWN_VENUE, None, None),
        (tick(venue="BINANCE", symbol="ETHUSDT"), *3 * [quotes.UNKNOWN_SYMBOL]),
        (tick(venue="Bi.nance"), *3 * [quotes.UNKNOWN_VENUE]),
        (tick(venue="BINANCE", bid=0), quotes.UNKNOWN_VENUE, quotes.PRICE, quotes.PRICE),
        (tick(venue="BINANCE", flags=["replayed"]), quotes.UNKNOWN_VENUE, quotes.REPLAYED, None),
        (tick(flags=["replayed"]), quotes.REPLAYED, quotes.REPLAYED, None),
        (tick(venue="BINANCE", flags=["inexact"]), quotes.UNKNOWN_VENUE, quotes.INEXACT, None),
        (tick(venue="BINANCE", flags=["no_venue_time", "unchecked"]), quotes.UNKNOWN_VENUE, None, None),
    ],
)
def test_quotes_of_market_venues_count_by_the_mode_of_the_market(
    payload: bytes, simulated: str | None, config: str | None, replay: str | None
) -> None:
    # replay pointed at a live core
    quote = decoder(Quote).decode(payload)
    assert {mode: listed(quote) for mode, listed in MARKET_LISTED.items()} == {"simulated": simulated, "config": config, "replay": replay}


async def test_a_stale_quote_ends_its_venue_and_no_other_one() -> None:  # marks of that venue end at once
    market = Market()
    ticks = Ticks(market.update, MARKET_LISTED["config"], lambda: 7)
    for payload in (tick(venue="BINANCE", ask=103), tick(venue="KRAKEN", ask=105), tick(venue="BINANCE", ask=103, flags=["stale"])):
        await ticks.on_tick(Message(payload))  # type: ignore[arg-type]
    assert (market.best("BTCUSDT", Side.BUY), ticks.stats()) == (Decimal(105), {"taken": 3, "refused": {}})
    await ticks.on_tick(Message(tick(venue="KRAKEN", flags=["stale"])))  # type: ignore[arg-type]
    assert market.quotes("BTCUSDT") == []


def test_a_mark_is_too_old_for_an_order_once_its_last_quote_has_ended_and_still_values_positions() -> None:
    marks = Marks({"BTCUSDT": ONE}, 10 * S)
    quote = decoder(Quote).decode(tick(venue="BINANCE"))
    marks.update(quote, 100 * S)
    marks.update(structs.replace(quote, flags=("stale",)), 101 * S)
    assert marks.touch("BTCUSDT", Side.BUY, 101 * S) is None
    assert (marks.mids["BTCUSDT"], marks.mids_at_ns["BTCUSDT"] < 91 * S) == (Decimal(100), True)
    marks.update(quote, 102 * S)
    assert marks.mids_at_ns["BTCUSDT"] == 102 * S
