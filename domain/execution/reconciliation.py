"""Differences between a venue's orders and ours, in readable form, each with the report that repairs it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from domain.order.commands import ReportKind, VenueReport, VenueRequest
from domain.order.lifecycle import State
from domain.order.order import Order, Route, Trade
from domain.values import ZERO, derived_id, plain, signed

Positions = Mapping[str, Mapping[str, Decimal]]
"""Quantities by account and symbol."""
NONE: Final[Positions] = {}

POSITION: Final = "position"
ENDINGS: Final = frozenset({ReportKind.CANCELLED, ReportKind.EXPIRED, ReportKind.REJECTED})


class OrderDifference(msgspec.Struct, frozen=True):
    """One difference. `repair` is for oms, `doubt` and `cancel` if no report settles it; with none of them an operator must look."""

    what: str
    account: str
    symbol: str
    order_id: str
    about: str
    ours: str
    theirs: str
    repair: VenueReport | None = None
    doubt: str | None = None
    cancel: VenueRequest | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """Identifies the same difference in another pass."""
        return self.what, self.account, self.symbol, self.order_id, self.about, self.theirs


class TheirRoute(msgspec.Struct):
    """One of our routes as the venue reported it."""

    first: VenueReport
    accepted: VenueReport | None = None
    ended: VenueReport | None = None
    cum_quantity: Decimal = ZERO


class VenueView:
    """The fold of all reports of a venue."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.routes: dict[str, TheirRoute] = {}
        self.trades: dict[str, VenueReport] = {}
        self.last = 0

    def apply(self, report: VenueReport) -> None:
        self.last = max(self.last, report.report_seq)
        if report.report is ReportKind.CANCEL_REJECTED and report.route_id not in self.routes:
            return  # about an order that the venue never had
        route = self.routes.setdefault(report.route_id, TheirRoute(report))
        if report.report is ReportKind.ACCEPTED:
            route.accepted = report
        elif report.report in ENDINGS:
            route.ended = report
        elif report.report is ReportKind.FILL:
            self._trade(report)
        elif report.report is ReportKind.BUST:
            self._take_back(report.exec_id)
        elif report.report is ReportKind.CORRECTION:
            self._take_back(report.ref_exec_id)
            self._trade(report)

    def _trade(self, report: VenueReport) -> None:
        self._take_back(report.exec_id)
        self.trades[report.exec_id] = report
        self.routes.setdefault(report.route_id, TheirRoute(report)).cum_quantity += report.quantity or ZERO

    def _take_back(self, exec_id: str) -> None:
        if taken := self.trades.pop(exec_id, None):
            self.routes[taken.route_id].cum_quantity -= taken.quantity or ZERO


def differences(view: VenueView, orders: Mapping[str, Order], agreed: Positions = NONE) -> list[OrderDifference]:
    """Return trade differences first, then order states, then the positions that follow: repairs are made in this order.

    `agreed` are positions of orders that are no longer compared, on which both sides agreed.
    """
    ours = {route.route_id: (order, route) for order in orders.values() for route in order.routes if route.venue == view.venue}
    found = [*_trades(view, orders), *_unknown_here(view, orders), *_routes(view, ours)]
    return found + list(_positions(view, orders, agreed))


def same_trade_id(venue: str, theirs: VenueReport) -> str:
    """Return the id under which a trade is booked if its own id was used for another one. Equal content gives an equal id."""
    return derived_id("reconciled", venue, theirs.exec_id, str(theirs.quantity), str(theirs.price), str(theirs.fee or ZERO))


def _trades(view: VenueView, orders: Mapping[str, Order]) -> Iterator[OrderDifference]:
    matched: set[tuple[str, str]] = set()
    for theirs in view.trades.values():
        order = orders.get(theirs.order_id)
        if order is None:
            continue
        known = {trade.exec_id: trade for trade in order.trades if trade.venue == view.venue}
        again = same_trade_id(view.venue, theirs)
        booked = next((t for t in (known.get(theirs.exec_id), known.get(again)) if t and not t.busted and _same(t, theirs)), None)
        if booked:
            matched.add((order.order_id, booked.exec_id))
            continue
        matched.add((order.order_id, theirs.exec_id))
        yield _missing(order, theirs, known, again)
    for order in orders.values():
        for trade in order.trades:
            if trade.venue == view.venue and not trade.busted and (order.order_id, trade.exec_id) not in matched:
                yield _of(
                    order, "trade not there", trade.exec_id, _trade_text(trade.quantity, trade.price), "-", repair=_bust(order, trade)
                )


def _missing(order: Order, theirs: VenueReport, known: Mapping[str, Trade], again: str) -> OrderDifference:
    """Return the difference for a trade that is not booked, is booked with other content, or is busted here and not at the venue."""
    there, mine = _trade_text(theirs.quantity, theirs.price), known.get(theirs.exec_id)
    if mine is None:
        return _of(order, "trade not here", theirs.exec_id, "-", there, repair=_unnumbered(theirs, report=ReportKind.FILL, ref_exec_id=""))
    if again in known:
        return _of(order, "trade differs", theirs.exec_id, "taken back", there)
    if mine.busted:
        return _of(
            order,
            "trade not here",
            theirs.exec_id,
            "taken back",
            there,
            repair=_unnumbered(theirs, report=ReportKind.FILL, exec_id=again, ref_exec_id=""),
        )
    repair = _unnumbered(theirs, report=ReportKind.CORRECTION, exec_id=again, ref_exec_id=theirs.exec_id)
    return _of(order, "trade differs", theirs.exec_id, _trade_text(mine.quantity, mine.price), there, repair=repair)


def _unknown_here(view: VenueView, orders: Mapping[str, Order]) -> Iterator[OrderDifference]:
    for route_id, route in view.routes.items():
        report = route.first
        if report.order_id not in orders:
            yield OrderDifference("order not here", report.account, report.symbol, report.order_id, route_id, "-", _route_text(route, None))


def _routes(view: VenueView, ours: Mapping[str, tuple[Order, Route]]) -> Iterator[OrderDifference]:
    for route_id, (order, mine) in ours.items():
        theirs = view.routes.get(route_id)
        live = mine.live and not order.closed
        if theirs is None:
            if live:
                doubt = None if order.status is State.IN_DOUBT else "unknown_at_venue"
                yield _of(order, "order not there", route_id, str(order.status), "-", doubt=doubt)
        elif live and theirs.ended is not None:
            yield _of(order, "order ended there", route_id, str(order.status), _route_text(theirs, mine), repair=_unnumbered(theirs.ended))
        elif live and theirs.accepted is not None and not mine.venue_order_id:
            yield _of(
                order, "order accepted there", route_id, str(order.status), _route_text(theirs, mine), repair=_unnumbered(theirs.accepted)
            )
        elif not live and theirs.ended is None and theirs.cum_quantity < mine.quantity:
            yield _of(order, "order works there", route_id, str(order.status), _route_text(theirs, mine), cancel=_request(order, mine))


def _positions(view: VenueView, orders: Mapping[str, Order], agreed: Positions) -> Iterator[OrderDifference]:
    """Yield position differences. They follow from the trades, so they have no repair of their own."""
    here, there = defaultdict[tuple[str, str], Decimal](Decimal), defaultdict[tuple[str, str], Decimal](Decimal)
    for order in orders.values():
        for trade in order.trades:
            if trade.venue == view.venue and not trade.busted:
                here[order.account, order.symbol] += signed(order.side, trade.quantity)
    for report in view.trades.values():
        there[report.account, report.symbol] += signed(report.side, report.quantity or ZERO)
    for account, symbol in sorted(here.keys() | there.keys()):
        base = agreed.get(account, {}).get(symbol, ZERO)
        mine, theirs = base + here[account, symbol], base + there[account, symbol]
        if mine != theirs:
            yield OrderDifference(POSITION, account, symbol, "", "", plain(mine), plain(theirs))


def _same(trade: Trade, theirs: VenueReport) -> bool:
    return (trade.quantity, trade.price, trade.fee) == (theirs.quantity, theirs.price, theirs.fee or ZERO)


def _of(
    order: Order,
    what: str,
    about: str,
    ours: str,
    theirs: str,
    *,
    repair: VenueReport | None = None,
    doubt: str | None = None,
    cancel: VenueRequest | None = None,
) -> OrderDifference:
    return OrderDifference(what, order.account, order.symbol, order.order_id, about, ours, theirs, repair, doubt, cancel)


def _unnumbered(theirs: VenueReport, **changes: object) -> VenueReport:
    """Return the venue's report without a session number: the session numbers its own reports."""
    return msgspec.structs.replace(theirs, report_seq=0, **changes)


def _bust(order: Order, trade: Trade) -> VenueReport:
    return VenueReport(
        report=ReportKind.BUST,
        order_id=order.order_id,
        route_id=trade.route_id,
        venue=trade.venue,
        report_seq=0,
        at=0,
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        exec_id=trade.exec_id,
        reason="not_at_venue",
    )


def _request(order: Order, route: Route) -> VenueRequest:
    return VenueRequest(
        order_id=order.order_id,
        route_id=route.route_id,
        venue=route.venue,
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        type=order.order_type,
        quantity=route.quantity,
        price=order.price,
        stop_price=order.stop_price,
        time_in_force=order.time_in_force,
        expire_at=order.expire_at,
    )


def _route_text(theirs: TheirRoute, mine: Route | None) -> str:
    ended = str(theirs.ended.report) if theirs.ended else "filled" if mine and theirs.cum_quantity >= mine.quantity else "working"
    return f"{ended}, traded {plain(theirs.cum_quantity)}"


def _trade_text(quantity: Decimal | None, price: Decimal | None) -> str:
    return f"{plain(quantity or ZERO)} @ {plain(price or ZERO)}"


def standing(before: Iterable[OrderDifference], now: Iterable[OrderDifference]) -> list[OrderDifference]:
    """Return the differences found in two passes.

    A position follows from trades: it counts only if one of its trades does, because a trade in transit also moves it.
    """
    known, found = {difference.key for difference in before}, list(now)
    there = [difference for difference in found if difference.what != POSITION and difference.key in known]
    moved = {(difference.account, difference.symbol) for difference in there}
    return there + [each for each in found if each.what == POSITION and (each.account, each.symbol) in moved]


def repairs(found: Iterable[OrderDifference]) -> list[OrderDifference]:
    """Return the differences that have a repair."""
    return [difference for difference in found if difference.repair or difference.doubt or difference.cancel]
