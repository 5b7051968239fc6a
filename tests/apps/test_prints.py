"""Trades of the market on their way to paper venues: sent before their quotes, read once, used by the venues that show their market."""

import json
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from nats.aio.msg import Msg

from adapters.clock import SystemClock
from adapters.codec import encode
from apps.connections.prints import OTHER, PRINTS_BYTES_MAX, REPEATED, PrintFeed
from apps.connections.ticks import UNREADABLE
from apps.live_gateway.market_quotes import PRINTS_WAITING_MAX, MarketQuotes
from domain.market import quotes as reasons
from domain.market.prints import PRINTS_MAX, Print, Prints, prints_of
from domain.market.quotes import Listed, MarketRule, Quote
from domain.market.records import Flag, MarketTrade
from domain.market.simulated import shaped_print
from domain.values import Side
from tests.apps.gateway_house import Gateway, Trader, order
from tests.apps.test_market_mode import ShownQuotes, quote, until_shown
from tests.apps.test_venue_run import Scene
from tests.domain.market.plain_venue import START, S
from tests.domain.paper.scene import INSTRUMENT
from tests.live import LiveServer

D = Decimal


def trade(price: str, quantity: str, side: str, symbol: str = "X", flags: tuple[Flag, ...] = ()) -> MarketTrade:
    at = 1_800_000_000 * S
    return MarketTrade(
        symbol=symbol, venue="KRAKEN", price=D(price), quantity=D(quantity), side=Side(side), trade_id="1", at=at, received=at, flags=flags
    )


def test_trades_in_a_row_at_one_price_are_one_print_and_trades_of_the_past_are_none() -> None:
    trades = [
        trade("99", "1", "sell"),
        trade("99", "2", "sell"),
        trade("7", "9", "buy", "Y"),
        trade("99", "4", "buy"),
        trade("99", "8", "sell", flags=(Flag.BACKFILLED,)),
        trade("98", "5", "buy", flags=(Flag.REPLAYED,)),
    ]
    x, y = prints_of(trades, 3, 17)
    assert [(str(each.price), str(each.quantity), str(each.side)) for each in x.prints] == [
        ("99", "3", "sell"),
        ("99", "4", "buy"),
        ("98", "5", "buy"),
    ]
    assert (x.venue, x.symbol, x.epoch, x.n, x.flags, y.symbol, len(y.prints)) == ("KRAKEN", "X", 3, 17, ("replayed",), "Y", 1)
    many = [trade(str(n + 1), "1", "buy") for n in range(PRINTS_MAX + 3)]
    assert [each.price for each in prints_of(many, 1, 1)[0].prints] == [each.price for each in many[3:]]


@pytest.mark.parametrize(("side", "price"), [("buy", "101"), ("sell", "97")])
def test_a_print_meets_the_level_of_a_venue_with_a_wider_spread(side: str, price: str) -> None:
    shaped = shaped_print(Print(D(99) + (1 if side == "buy" else -1), D(3), Side(side)), INSTRUMENT, 2, D("0.5"))
    assert shaped == Print(D(price), D("1.5"), Side(side))


class SaidByNormalizer:
    """Subjects of what leaves for the core, in its order, and the prints among it."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.scene.run._shared = self.scene.shared._replace(send=self.send)
        self.subjects: list[str] = []
        self.prints: list[Prints] = []

    def send(self, subject: str, payload: bytes) -> None:
        self.subjects.append(subject.split(".")[0])
        if subject == "prints.PLAIN.BTCUSDT":
            self.prints.append(msgspec.json.decode(payload, type=Prints))


def test_prints_leave_normalizer_once_and_before_the_quotes_of_their_frames() -> None:
    told = SaidByNormalizer()
    told.scene.take("open", "snapshot btc 7 100 1 101 2")
    del told.subjects[:]
    told.scene.clock.move(1)
    sold, bought = f"trade btc t1 100 1 sell {START}", f"trade btc t2 101 1 buy {START}"
    told.scene.take("update btc 8 100 2 101 1", sold, bought)
    assert told.subjects == ["prints", "depth", "ticks"]
    assert [(each.epoch, each.n, [str(p.price) for p in each.prints]) for each in told.prints] == [(1, 5, ["100", "101"])]
    told.scene.take(bought)
    assert len(told.prints) == 1, "the venue repeats a trade"
    told.scene.take(f"trade btc t3 100 1 sell {START}", at=told.scene.clock.wall - 5 * S)
    assert len(told.prints) == 1, "its frame is too old: marks end, and nothing fills by it"
    assert told.scene.run.prints_sent == 1


LISTED = Listed({"X"}, {"PAPER_A": {"X"}}, market=MarketRule())


def message(subject: str = "prints.KRAKEN.X", data: bytes = b"", **changes: Any) -> Msg:
    fields = {"symbol": "X", "venue": "KRAKEN", "prints": [[99, 1, "sell"]], "epoch": 1, "n": 5, "at": 0, **changes}
    return cast(Msg, type("Message", (), {"subject": subject, "data": data or json.dumps(fields).encode()})())


async def test_a_message_of_prints_is_used_once_also_while_two_connections_of_a_venue_are_open() -> None:
    """After a restart normalizer reads its last frames again; the numbers of a new connection begin again."""
    taken: list[Prints] = []
    feed = PrintFeed(taken.append, LISTED)
    for epoch, n in ((7, 5), (7, 5), (7, 4), (9, 1), (7, 6), (9, 2), (9, 2), (11, 1), (7, 7), (9, 3)):
        await feed.on_prints(message(epoch=epoch, n=n))
    assert [(each.epoch, each.n) for each in taken] == [(7, 5), (9, 1), (7, 6), (9, 2), (11, 1), (9, 3)]
    assert (feed.taken, +feed.refused) == (6, {REPEATED: 4})


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (message(data=b"rubbish"), UNREADABLE),
        (message(data=b" " * (PRINTS_BYTES_MAX + 1)), UNREADABLE),
        (message(prints=[[99, 1]]), UNREADABLE),
        (message(venue="BINANCE"), OTHER),
        (message("prints.KRAKEN.Z", symbol="Z"), reasons.UNKNOWN_SYMBOL),
        (message(flags=["replayed"]), reasons.REPLAYED),
        (message(flags=["inexact"]), reasons.INEXACT),
        (message(prints=[["1e400", 1, "buy"]]), reasons.NUMBER),
        (message(prints=[[0, 1, "buy"]]), reasons.PRICE),
        (message(prints=[[99, 0, "buy"]]), reasons.SIZE),
        (message(prints=[[99, 1, "buy"]] * (PRINTS_MAX + 1)), reasons.SIZE),
        (message(at=-1), reasons.TIME),
    ],
)
async def test_prints_that_are_not_sound_are_counted_by_their_reason_and_not_used(told: Msg, reason: str) -> None:
    feed = PrintFeed(lambda prints: pytest.fail("used"), LISTED)
    await feed.on_prints(told)
    assert (feed.taken, +feed.refused) == (0, {reason: 1})
    assert [sample.value for family in feed.series() for sample in family.samples if sample.labels.get("reason") == reason] == [1]


class TradedQuotes(ShownQuotes):
    def trade(self, _symbol: str, prints: tuple[Print, ...]) -> None:
        self.shown += [f"{each.side} {each.quantity} @{each.price}" for each in prints]


def prints(venue: str, *each: tuple[str, str, str], n: int = 1) -> Prints:
    made = tuple(Print(D(price), D(quantity), Side(side)) for side, quantity, price in each)
    return Prints(symbol="BTCUSD", venue=venue, prints=made, epoch=1, n=n, at=0)


async def test_a_paper_venue_uses_the_prints_of_the_venue_that_it_shows_before_the_next_quote() -> None:
    best, kraken = TradedQuotes(), TradedQuotes("KRAKEN")
    quotes = MarketQuotes(cast(Any, {"PAPER_A": best, "PAPER_B": kraken}), SystemClock())

    async def comes(*what: Quote | Prints) -> None:
        for each in what:
            quotes.take_prints(each) if isinstance(each, Prints) else quotes.take(each, SystemClock().monotonic_ns())
        quotes.look(SystemClock().monotonic_ns())

    sold = ("sell", "3", "7000")
    await comes(prints("BINANCE", sold), quote("BINANCE", "7000", "7001"))
    await comes(quote("BINANCE", "6999", "7001"), prints("BINANCE", sold, ("buy", "1", "7001")), prints("KRAKEN", sold))
    await comes(quote("BINANCE", "6999", "7001", flags=("stale",)), prints("BINANCE", sold))
    await comes(prints("BINANCE", sold))
    assert best.shown == ["BINANCE 7001", "sell 3 @7000", "buy 1 @7001", "BINANCE 7001", "sell 3 @7000", "nothing", "nothing"]
    assert kraken.shown == ["nothing"] * 4


async def test_prints_wait_within_a_bound() -> None:
    shown = TradedQuotes()
    quotes = MarketQuotes(cast(Any, {"PAPER_A": shown}), SystemClock())
    quotes.take(quote("KRAKEN", "7000", "7001"), SystemClock().monotonic_ns())
    quotes.look(SystemClock().monotonic_ns())
    for n in range(PRINTS_WAITING_MAX + 2):
        quotes.take_prints(prints("KRAKEN", ("sell", str(n + 1), "7000"), n=n + 1))
    quotes.look(SystemClock().monotonic_ns())
    assert shown.shown[1:] == [f"sell {n + 1} @7000" for n in range(2, PRINTS_WAITING_MAX + 2)]
    assert [sample.value for family in quotes.series() for sample in family.samples] == [2]


@pytest.fixture
async def trader(fresh_nats: LiveServer) -> AsyncIterator[Trader]:
    trader = await Trader.open(fresh_nats.url)
    yield trader
    await trader.client.close()


async def test_a_resting_order_fills_when_the_size_ahead_of_it_has_traded_also_across_a_kill(
    fresh_nats: LiveServer, trader: Trader
) -> None:
    """PAPER_A shows half of each size: 2 are ahead. The repeated print is not used twice, and no fill is doubled by the restart."""
    gateway = Gateway(fresh_nats, TRADE_MARKET="config", TRADE_FILLS="sqlite", TRADE_DATA_DIR=str(fresh_nats.home / "gateway"))
    (fresh_nats.home / "gateway").mkdir()
    shows = quote("KRAKEN", "7000", "7001", seq=17)

    async def printed(quantity: str, n: int) -> None:
        await trader.client.publish("prints.KRAKEN.BTCUSD", encode(prints("KRAKEN", ("sell", quantity, "7000"), n=n)))

    async def ahead() -> Any:
        (resting,) = (await gateway.get("/venues/PAPER_A/orders"))["orders"]
        return resting["queue_ahead"]

    async def until_ahead(size: str) -> None:
        while (found := await ahead()) != D(size):
            await until_shown(trader, shows, lambda tick: True)
            assert found is None or found > D(size)

    try:
        await gateway.start()
        await until_shown(trader, shows, lambda tick: tick.bid == 7000)
        await trader.send(order("A", "1", price="7000"))
        assert await trader.heard(1) == ["1 A accepted"]
        assert await ahead() == 2

        await printed("3", 1)
        await printed("3", 1)
        await until_ahead("0.5")

        gateway.end(signal.SIGKILL)
        await gateway.start()
        assert await ahead() == D("0.5")
        del trader.ticks[:]
        await until_shown(trader, shows, lambda tick: tick.bid == 7000)
        await printed("2", 2)
        await printed("9", 3)
        assert (await trader.heard(3))[1:] == ["2 A fill", "3 A fill"]
        assert [(each.price, each.quantity) for each in trader.reports[1:]] == [(D(7000), D("0.5")), (D(7000), D("0.5"))]
        assert (await gateway.get("/venues/PAPER_A/orders"))["orders"] == []
    finally:
        gateway.end()
