"""Scenes at a paper venue: lines that it receives, and after `>` what it says."""

import copy
import re
from decimal import Decimal

import msgspec

from domain.instruments import Instrument
from domain.market.depth import Depth
from domain.market.quotes import Quote
from domain.market.records import Level
from domain.order.commands import ReportKind, VenueReport, VenueRequest
from domain.paper.events import (
    BustTrade,
    Cancel,
    CorrectTrade,
    Deed,
    DeepQuote,
    ForcedFill,
    Forget,
    Halt,
    Message,
    PartShown,
    Passed,
    QueueAdvanced,
    QueueJoined,
    QueueLowered,
    Replace,
    Reported,
    RequestTaken,
    StopTriggered,
    TradePrint,
    TradingHalted,
    TradingResumed,
    UnsolicitedCancel,
    VenueEvent,
)
from domain.paper.rules import PaperRules
from domain.paper.venue import PaperVenue
from domain.values import OrderType, Side, TimeInForce, plain

INSTRUMENT = Instrument(
    symbol="X", tick=Decimal("0.5"), lot=Decimal("0.1"), quantity_max=Decimal(10_000), notional_min=Decimal(5), currency="USD"
)
MAKER_BPS, TAKER_BPS = Decimal(2), Decimal(10)
QUOTE = re.compile(r"quote (\S+)x(\S+) (\S+)x(\S+)")
ORDER = re.compile(
    r"(\w+) (buy|sell) (\S+)(?: @(\S+))?(?: stop (\S+))?(?: (ioc|fok|gtd|gtc|day)(\d+)?)?( post)?"
    r"(?: of (\S+))?(?: shard (\d+))?(?: by (\S+))?(?: show (\S+))?"
)
PRINT = re.compile(r"print (buy|sell) (\S+) @(\S+)")
REPLACE = re.compile(r"replace (\w+) (\S+)(?: @(\S+))?(?: stop (\S+))?(?: as (\S+))?")


def new_venue(**rules: object) -> PaperVenue:
    return PaperVenue("V", {"X": INSTRUMENT}, MAKER_BPS, TAKER_BPS, PaperRules(**rules))  # type: ignore[arg-type]


def message_of(line: str) -> Message:
    """`quote 10x99.5 10x100`, `book 5x99 7x98 | 3x100 4x101`, `A buy 3 @100 fok`, `S sell 2 stop 95`, `cancel A`, `time`.

    `A buy 10 @100 show 2` is an iceberg. `print sell 3 @99.5`: the taker sells. Types follow from the prices given.
    """
    if line == "time":
        return Passed()
    if line.startswith("cancel "):
        name, _, account = line.removeprefix("cancel ").partition(" of ")
        return Cancel(request(name, Side.BUY, Decimal(1), account=account or "alice"))
    if line.startswith(("halt", "resume")):
        return Halt("X", resume=line == "resume")
    if deed := deed_of(line.split()):
        return deed
    if found := REPLACE.fullmatch(line):
        name, quantity, price, stop, replace_id = found.groups()
        asked = request(name, Side.BUY, Decimal(quantity), price=_number(price), stop_price=_number(stop))
        return Replace(msgspec.structs.replace(asked, replace_id=replace_id or f"{line}"))
    if found := QUOTE.fullmatch(line):
        bid_size, bid, ask_size, ask = (Decimal(text) for text in found.groups())
        return Quote(symbol="X", venue="V", bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, at=0)
    if line.startswith("book "):
        return book_of(line.removeprefix("book "))
    if found := PRINT.fullmatch(line):
        side, quantity, price = found.groups()
        return TradePrint("X", Side(side), Decimal(price), Decimal(quantity))
    found = ORDER.fullmatch(line)
    assert found, f"not a line of a scene: {line!r}"
    name, side, quantity, price, stop, force, expire_at, post, symbol, shard, account, shown = found.groups()
    return request(
        name,
        Side(side),
        Decimal(quantity),
        price=_number(price),
        stop_price=_number(stop),
        force=TimeInForce(force or "gtc"),
        expire_at=int(expire_at) if expire_at else None,
        symbol=symbol or "X",
        shard=int(shard or 0),
        post_only=bool(post),
        account=account or "alice",
        display_quantity=_number(shown),
    )


def book_of(text: str) -> DeepQuote:
    """`5x99 7x98 | 3x100 4x101`: bids and asks, touch first."""
    bids, asks = (tuple(_level(level) for level in side.split()) for side in text.split("|"))
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    quote = Quote(symbol="X", venue="V", bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, at=0)
    return DeepQuote(quote, Depth(symbol="X", venue="V", bids=bids, asks=asks, at=0))


def _level(text: str) -> Level:
    size, price = text.split("x")
    return Decimal(price), Decimal(size)


def _number(text: str | None) -> Decimal | None:
    return Decimal(text) if text else None


def deed_of(words: list[str]) -> Deed | None:
    """`bust V-1`, `correct V-1 2 @99`, `force A 3 @99`, `forget A`, `end A why`."""
    match words:
        case ["bust", exec_id]:
            return BustTrade(exec_id)
        case ["correct", exec_id, quantity, price]:
            return CorrectTrade(exec_id, Decimal(quantity), Decimal(price[1:]))
        case ["force", name, quantity, price]:
            return ForcedFill(name, Decimal(quantity), Decimal(price[1:]))
        case ["forget", name]:
            return Forget(name)
        case ["end", name, reason]:
            return UnsolicitedCancel(name, reason)
    return None


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
    post_only: bool = False,
    display_quantity: Decimal | None = None,
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
        post_only=post_only,
        display_quantity=display_quantity,
    )


def said(event: VenueEvent) -> str | None:
    match event:
        case RequestTaken():
            return None
        case StopTriggered():
            return f"{event.route_id} triggered"
        case QueueJoined():
            return f"{event.route_id} behind {plain(event.behind)}"
        case PartShown():
            return f"{event.route_id} shows {plain(event.quantity)}"
        case QueueAdvanced():
            return f"{plain(event.quantity)} before it"
        case QueueLowered():
            return f"behind {plain(event.behind)} at most @{plain(event.price)}"
        case TradingHalted():
            return "halted"
        case TradingResumed():
            return "resumed"
        case Reported():
            return said_by(event.report)
    return type(event).__name__


def said_by(report: VenueReport) -> str:
    if report.report is ReportKind.FILL:
        assert report.quantity is not None
        assert report.price is not None
        return f"{report.route_id} fill {plain(report.quantity)} @{plain(report.price)} {report.liquidity}"
    if report.report in (ReportKind.REPLACED, ReportKind.CORRECTION):
        assert report.quantity is not None
        price = f" @{plain(report.price)}" if report.price is not None else ""
        return f"{report.route_id} {report.report} {plain(report.quantity)}{price}"
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
    gone = [dict(ladder._gone) for _, book in sorted(venue.books.items()) for ladder in book.limits.values()]
    return (
        gone,
        sorted(venue.halted),
        orders,
        list(venue.open),
        dict(venue.report_seqs),
        venue.taken,
        venue.executions,
        venue.sends_max,
        ladders,
        expiries,
    )
