"""A recorded day with its trades, played by paper venues: the same day makes the same journal, and prints trade those ahead of an order."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

from adapters.memory import MemoryJournal, MemoryLog
from apps.journal.group_commit import Pace
from apps.live_gateway.feed import QuotedVenues, Recording
from apps.live_gateway.report_wire import announced_fills
from apps.live_gateway.simulated_trades import SimulatedTrades
from apps.live_gateway.venue_host import VenueHost
from domain.instruments import Instrument
from domain.market.frame_file import recorded_market, rows_of
from domain.market.recorded import read_quotes
from domain.market.venues.feed import RawFrames
from domain.order.commands import VenueRequest
from domain.paper.rules import PaperRules
from domain.ports import Head
from tests.apps.gateway_house import Gateway, Trader, order
from tests.apps.test_venue_host import VENUE
from tests.domain.market.plain_venue import START, PlainDecoder
from tests.domain.market.plain_venue import VENUE as RECORDED
from tests.domain.market.test_frame_file import day_of
from tests.interest import AlwaysSubscribed
from tests.live import LiveServer

D = Decimal
BTC: Final = Instrument(symbol="BTCUSDT", tick=D("0.01"), lot=D("0.1"), quantity_max=D(1000), notional_min=D(1), currency="USDT")
DAY: Final = day_of(
    "snapshot btc 7 100 5 101 4",
    f"trade btc t1 100 3 sell {START}",
    "update btc 8 100 2 101 4",
    f"trade btc t2 100 2.5 sell {START}",
    f"trade btc t2 100 2.5 sell {START}",
    f"trade btc t3 99.5 1 sell {START}",
)


class StillClock:
    """Time stands still: what a day makes of orders does not depend on the machine."""

    def now_ns(self) -> int:
        return START

    def monotonic_ns(self) -> int:
        return 0


class NothingWaits:
    async def all(self) -> None:
        """Nothing is on its way to a server."""


def _unsent(subject: str, payload: bytes) -> None:
    """Reports are not looked at here."""


async def lived(day: Sequence[RawFrames], request: VenueRequest) -> tuple[Head, list[bytes], Decimal]:
    """Play the day, with an order after its first quote. Return the journal's head and commits, and what of the order filled."""
    log = MemoryLog()
    venue = VENUE._replace(symbols=frozenset(("BTCUSDT",)), rules=PaperRules(estimated=True))
    wire = _unsent, announced_fills(AlwaysSubscribed(), _unsent)
    host = VenueHost(venue, {"BTCUSDT": BTC}, MemoryJournal(log), StillClock(), *wire, Pace(wait_s=0))
    task = asyncio.create_task(host.run())
    await host.ready.wait()
    rows = read_quotes(rows_of(recorded_market(day, PlainDecoder, RECORDED)), {"BTCUSDT": BTC})
    audience = QuotedVenues({"V": host}, SimulatedTrades({"V": host}, _unsent, StillClock()))
    recording = Recording(rows, audience, cast(Any, NothingWaits()))
    await recording.advance(rows=1)
    await host.put(request)
    while await recording.advance(rows=1):
        pass
    head = await MemoryJournal(log).head()
    filled = await host.ask(lambda: request.quantity - host.venue.orders[request.route_id].leaves)
    task.cancel()
    await asyncio.wait([task])
    return head, [payload for _, payload in log.commits], filled


async def test_the_same_recorded_day_with_its_trades_makes_the_same_journal() -> None:
    """5 are ahead at 100: 3 of them trade, then 2 and 0.5 of the order. The repeated trade gives nothing, the one at 99.5 fills 1 more."""
    ours = order("A", "2", price="100", symbol="BTCUSDT")
    head, commits, filled = await lived(DAY, ours)
    assert filled == D("1.5")
    assert await lived(DAY, ours) == (head, commits, filled)


async def test_a_file_with_prints_fills_a_resting_order_once_those_ahead_have_traded(fresh_nats: LiveServer, tmp_path: Path) -> None:
    """PAPER_A shows half of each size: 2 are ahead, and the prints are 1.5 and 1."""
    path = tmp_path / "day.csv"
    path.write_text(
        """time,symbol,bid,bid_size,ask,ask_size,print_price,print_quantity,print_side
        2018-04-04T00:00:00,BTCUSD,7000,4,7001,4,,,
        2018-04-04T00:01:00,BTCUSD,,,,,7000,3,sell
        2018-04-04T00:02:00,BTCUSD,,,,,7000,2,sell
        """.replace("    ", "")
    )
    gateway, trader = Gateway(fresh_nats, path), await Trader.open(fresh_nats.url)

    async def ahead() -> Any:
        (resting,) = (await gateway.get("/venues/PAPER_A/orders"))["orders"]
        return resting["queue_ahead"]

    try:
        await gateway.start()
        await gateway.advance(rows=1)
        await trader.send(order("A", "1", price="7000"))
        assert await trader.heard(1) == ["1 A accepted"]
        assert await ahead() == 2
        await gateway.advance(rows=1)
        assert await ahead() == D("0.5")
        assert await gateway.advance(rows=1) == {"rows": 1, "time": "2018-04-04T00:02:00.000000Z"}
        assert await trader.heard(2) == ["1 A accepted", "2 A fill"]
        assert (trader.reports[1].quantity, trader.reports[1].price) == (D("0.5"), D(7000))
    finally:
        gateway.end()
        await trader.client.close()
