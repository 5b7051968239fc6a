"""One rule decides which book is used, and no book is decoded before it is needed: the reader of `depth.>`, and exeq that routes by it."""

import json
from decimal import Decimal
from typing import Any, cast

import pytest
from nats.aio.msg import Msg

from adapters.codec import encode
from apps.connections.depths import BOOKS_MAX, DEPTH_BYTES_MAX, OTHER, Depths
from apps.connections.ticks import UNREADABLE
from apps.exeq.router import Router, RoutingRules
from domain.execution.projection import Executions
from domain.execution.routing import RoutedVenue, Routing
from domain.market import quotes
from domain.market.depth import LEVELS, Depth
from domain.market.quotes import Listed, Market, MarketRule, Quote
from domain.values import Side
from tests.apps.test_exeq_routing import Hands
from tests.domain.execution.test_routing import order
from tests.domain.execution.test_routing_depth import depth_of, quote_of

S = 1_000_000_000
D = Decimal
LEVELS_OF_A = ((D(100), D(1)), (D(150), D(99)))
LISTED = Listed({"BTCUSDT", "BTC/USD"}, {"A": {"BTCUSDT"}, "B": {"BTCUSDT", "BTC/USD"}})
QUOTE = quote_of("A", LEVELS_OF_A, Side.BUY)


def message(subject: str = "depth.A.BTCUSDT", data: bytes = b"", **changes: Any) -> Msg:
    fields = {"symbol": "BTCUSDT", "venue": "A", "bids": [[99, 1], [98, 5]], "asks": [[100, 1], [101, 5]], "at": 0, "seq": 7, **changes}
    return cast(Msg, type("Message", (), {"subject": subject, "data": data or json.dumps(fields).encode()})())


def reader(clock: Hands | None = None, **more: Any) -> Depths:
    return Depths(LISTED, (clock or Hands()).monotonic_ns, **more)


async def test_the_last_book_of_a_symbol_at_a_venue_is_known_until_it_is_too_old_or_its_quote_ends() -> None:
    clock = Hands()
    depths = reader(clock)
    assert depths.of(QUOTE, 0) is None
    await depths.on_depth(message(seq=7))
    await depths.on_depth(message(seq=8))
    await depths.on_depth(message("depth.B.BTCUSDT", venue="B", seq=30))
    known = depths.of(QUOTE, clock.now)
    assert known is not None
    assert (known.seq, known.levels(Side.SELL)) == (8, ((D(99), D(1)), (D(98), D(5))))
    assert depths.of(QUOTE, clock.now) is known, "decoded once"
    assert depths.of(QUOTE, clock.now + 1) is None
    depths.end(QUOTE)
    assert depths.of(QUOTE, 0) is None
    assert depths.stats() == {"taken": 3, "refused": {}}


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (message(data=b"rubbish"), UNREADABLE),
        (message(data=b'{"symbol":' + b"[" * 3000), UNREADABLE),
        (message(bids=[[99]]), UNREADABLE),
        (message(symbol="BTC/USD"), OTHER),
        (message(venue="B"), OTHER),
        (message(flags=["replayed"]), quotes.REPLAYED),
        (message(flags=["inexact"]), quotes.INEXACT),
        (message(asks=[[100, 1], ["1e400", 1]]), quotes.NUMBER),
        (message(asks=[[101, 1], [100, 1]]), LEVELS),
        (message(bids=[[101, 1]]), quotes.CROSSED),
    ],
)
async def test_a_book_that_is_needed_and_not_sound_is_counted_by_its_reason_and_not_used(told: Msg, reason: str) -> None:
    depths = reader()
    await depths.on_depth(told)
    assert depths.stats() == {"taken": 1, "refused": {}}, "it was not asked for"
    assert (depths.of(QUOTE, 0), depths.of(QUOTE, 0)) == (None, None)
    assert depths.stats() == {"taken": 1, "refused": {reason: 1}}
    assert [sample.value for family in depths.series() for sample in family.samples if sample.labels.get("reason") == reason] == [1]


async def test_what_is_too_long_and_what_is_too_many_is_refused_at_once() -> None:
    depths = reader()
    await depths.on_depth(message(data=b"x" * (DEPTH_BYTES_MAX + 1)))
    for number in range(BOOKS_MAX + 1):
        await depths.on_depth(message(f"depth.A.S{number}"))
    assert depths.stats() == {"taken": BOOKS_MAX, "refused": {UNREADABLE: 2}}


async def test_a_book_of_a_venue_of_the_market_is_used_as_its_quotes_are() -> None:
    quote = Quote(symbol="BTC/USD", venue="KRAKEN", bid=D(99), bid_size=D(1), ask=D(100), ask_size=D(1), at=0)
    told, heard = message("depth.KRAKEN.BTC~USD", symbol="BTC/USD", venue="KRAKEN"), list[tuple[str, str]]()
    for listed, used in ((LISTED, False), (Listed({"BTC/USD"}, {}, market=MarketRule()), True)):
        depths = Depths(listed, Hands().monotonic_ns, changed=lambda venue, token: heard.append((venue, token)))
        await depths.on_depth(told)
        assert (depths.of(quote, 0) is not None) == used
    assert heard == [("KRAKEN", "BTC~USD")] * 2


async def test_exeq_routes_by_the_book_while_it_is_fresh() -> None:
    clock, market = Hands(), Market()
    depths = reader(clock)
    venues = {name: RoutedVenue(name, D(1), D(1), frozenset({"BTCUSDT"})) for name in ("A", "B")}
    router = Router(venues, {}, market, clock, RoutingRules("lowest_cost", 2 * S), Executions(), killed=lambda name: False, depths=depths)
    book: Depth = depth_of("A", LEVELS_OF_A, Side.BUY)
    await depths.on_depth(message(data=encode(book)))

    def chosen() -> str:
        for quote in (QUOTE, quote_of("B", ((D(120), D(9)),), Side.BUY)):
            market.update(quote, clock.now)
        found = router.decide(order(), take=False)
        assert isinstance(found, Routing)
        return found.legs[0].venue

    assert chosen() == "B", "behind its touch, A is dearer"
    clock.now += 3 * S
    assert chosen() == "A", "a book that is too old is not used"
