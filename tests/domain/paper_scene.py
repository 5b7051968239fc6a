"""Scenes at a paper venue: lines that it hears, and after `>` what it says."""

import copy
import re
from decimal import Decimal

from domain.commands import ReportKind, VenueReport, VenueRequest
from domain.instruments import Instrument
from domain.paper import PaperVenue
from domain.paper_events import Cancel, Message, Passed, Reported, RequestTaken, StopTriggered, VenueEvent
from domain.quotes import Quote
from domain.values import OrderType, Side, TimeInForce, plain

INSTRUMENT = Instrument(
    symbol="X", tick=Decimal("0.5"), lot=Decimal("0.1"), quantity_max=Decimal(10_000), notional_min=Decimal(5), currency="USD"
)
MAKER_BPS, TAKER_BPS = Decimal(2), Decimal(10)
QUOTE = re.compile(r"quote (\S+)x(\S+) (\S+)x(\S+)")
ORDER = re.compile(r"(\w+) (buy|sell) (\S+)(?: @(\S+))?(?: stop (\S+))?(?: (ioc|fok|gtd|gtc)(\d+)?)?(?: of (\S+))?(?: shard (\d+))?")


def new_venue() -> PaperVenue:
    return PaperVenue("V", {"X": INSTRUMENT}, MAKER_BPS, TAKER_BPS)


def message_of(line: str) -> Message:
    """`quote 10x99.5 10x100`, `A buy 3 @100 fok`, `S sell 2 stop 95`, `cancel A`, `time`. Types follow from the prices given."""
    if line == "time":
        return Passed()
    if line.startswith("cancel "):
        name, _, account = line.removeprefix("cancel ").partition(" of ")
        return Cancel(request(name, Side.BUY, Decimal(1), account=account or "alice"))
    if found := QUOTE.fullmatch(line):
        bid_size, bid, ask_size, ask = (Decimal(text) for text in found.groups())
        return Quote(symbol="X", venue="V", bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, at=0)
    found = ORDER.fullmatch(line)
    assert found, f"not a line of a scene: {line!r}"
    name, side, quantity, price, stop, force, expire_at, symbol, shard = found.groups()
    return request(
        name,
        Side(side),
        Decimal(quantity),
        price=Decimal(price) if price else None,
        stop_price=Decimal(stop) if stop else None,
        force=TimeInForce(force or "gtc"),
        expire_at=int(expire_at) if expire_at else None,
        symbol=symbol or "X",
        shard=int(shard or 0),
    )


def request(
    name: str,
    side: Side,
    quantity: Decimal,
    *,
    price: Decimal | None = None,
    stop_price: Decimal | None = None,
    force: TimeInForce = TimeInForce.GTC,
    expire_at: int | None = None,
    symbol: str = "X",
    shard: int = 0,
    account: str = "alice",
) -> VenueRequest:
    kind = {
        (False, False): OrderType.MARKET,
        (True, False): OrderType.LIMIT,
        (False, True): OrderType.STOP,
        (True, True): OrderType.STOP_LIMIT,
    }[price is not None, stop_price is not None]
    return VenueRequest(
        order_id=f"order-{name}",
        route_id=name,
        venue="V",
        account=account,
        symbol=symbol,
        side=side,
        type=kind,
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        time_in_force=force,
        expire_at=expire_at,
        shard=shard,
    )


def said(event: VenueEvent) -> str | None:
    match event:
        case RequestTaken():
            return None
        case StopTriggered():
            return f"{event.route_id} triggered"
        case Reported():
            return said_by(event.report)


def said_by(report: VenueReport) -> str:
    if report.report is ReportKind.FILL:
        assert report.quantity is not None
        assert report.price is not None
        return f"{report.route_id} fill {plain(report.quantity)} @{plain(report.price)} {report.liquidity}"
    return f"{report.route_id} {report.report}" + (f" {report.reason}" if report.reason else "")


def check(scene: str, venue: PaperVenue | None = None) -> PaperVenue:
    """Play a scene: each line is heard by the venue, `> ...` is what it must have said to the line before, `at 5` sets its clock."""
    venue, now, told, before = venue or new_venue(), 0, "", ""
    for line in (text.strip() for text in scene.strip().splitlines()):
        if line.startswith("> "):
            assert told == line[2:], before
        elif line.startswith("at "):
            now = int(line[3:])
        else:
            before = line
            told = ", ".join(text for event in venue.take(message_of(line), now) if (text := said(event))) or "nothing"
    return venue


def state(venue: PaperVenue) -> object:
    """All that must follow from the events, the sequence in the books included."""
    ladders = [
        [order.request.route_id for order in ladder]
        for _, book in sorted(venue.books.items())
        for kind in (book.markets, book.limits, book.stops)
        for ladder in kind.values()
    ]
    orders = {name: copy.copy(order) for name, order in venue.orders.items()}
    expiries = [order.request.route_id for order in venue.due(10**9)]
    return orders, list(venue.open), dict(venue.report_seqs), venue.taken, venue.executions, venue.sends_max, ladders, expiries
