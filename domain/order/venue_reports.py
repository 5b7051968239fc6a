"""Venue reports, which are final: each has a result in every state. A trade is always booked; a stale status changes nothing."""

from collections.abc import Callable, Container
from copy import copy
from decimal import Decimal
from functools import reduce
from typing import Final

import msgspec

from domain.order import events as e
from domain.order.commands import ReportKind, VenueReport
from domain.order.lifecycle import CLOSED, State, step
from domain.order.order import UNKNOWN_TRADE, Order, Trade, evolve
from domain.order.replace import replace_rejected, replaced
from domain.order.route_end import NOT_YET, Ending, cancelled_by, leg_ended, silent
from domain.order.transition import Events, may_be_negative, must, quarantined, refused, traded, works_on
from domain.values import MONEY_PLACES, ZERO, Liquidity, bounded

UNKNOWN_ORDER: Final = "unknown_order"
"""The reason of quarantine for a report that names an order which was never submitted here."""

_REPORT = msgspec.json.Decoder(VenueReport)


def reported(order: Order | None, report: VenueReport, now: int, *, negative_prices: Container[str] = ()) -> Events:
    """Return the events of a report. `negative_prices` are the symbols that may trade at zero and below.

    For any other symbol such a price makes the report unreadable.
    """
    if order is None:
        return (quarantined(report, State.NEW, UNKNOWN_ORDER, now),)
    if priced := PRICED.get(report.report):
        return priced(order, report, now, negative_prices)
    return REPORTS[report.report](order, report, now)


def _accepted(order: Order, report: VenueReport, now: int) -> Events:
    route = next((r for r in order.routes if r.route_id == report.route_id), None)
    if route is None or route.venue_order_id or order.closed:
        return ()
    trigger = traded(order, "venue_ack") if order.status is State.IN_DOUBT else "venue_ack"
    status = step(order.status, trigger)
    if status is None:
        return (refused(order, "venue_ack", report.venue, report.venue_order_id, now),)
    return (
        e.RouteAcknowledged(
            order_id=order.order_id,
            at=now,
            status=status,
            route_id=report.route_id,
            venue=report.venue,
            venue_order_id=report.venue_order_id,
            report_seq=report.report_seq or None,
        ),
    )


# Trades


def _fill(order: Order, report: VenueReport, now: int, negative_prices: Container[str]) -> Events:
    if why := _unbookable(order, report, negative_prices):
        return (quarantined(report, order.status, why, now),)
    if seen := order.trade(report.venue, report.exec_id):
        return () if _same_trade(seen, report) else (quarantined(report, order.status, "conflict", now),)
    booked = _booked(order, report, now)
    waiting = [p.report for p in order.parked if (p.venue, p.exec_id) == (report.venue, report.exec_id)]
    return _with_parked(order, booked, waiting, now, negative_prices) if waiting else booked


def _unbookable(order: Order, report: VenueReport, negative_prices: Container[str]) -> str | None:
    """Return why the report cannot be booked as a trade, or None: a decoder lets NaN and 1e999999 through, and a venue may err."""
    quantity, price, fee = report.quantity, report.price, report.fee or ZERO
    if quantity is None or price is None or not report.exec_id or not _possible(quantity, price, fee):
        return "unreadable"
    if price < ZERO and not may_be_negative(order, negative_prices):
        return "unreadable"
    return None if _ours(order, report) else "mismatch"


def _possible(quantity: Decimal, price: Decimal, fee: Decimal) -> bool:
    """Return whether the numbers are in bounds. A fee may be negative (a rebate) and long: it is a product of price and quantity."""
    return bounded(quantity) and bounded(price) and bounded(fee, 2 * MONEY_PLACES) and quantity > ZERO


def _ours(order: Order, report: VenueReport) -> bool:
    return report.account == order.account and report.symbol == order.symbol and report.side is order.side


def _same_trade(seen: Trade, report: VenueReport) -> bool:
    return seen.quantity == report.quantity and seen.price == report.price and seen.fee == (report.fee or ZERO)


def _booked(order: Order, report: VenueReport, now: int) -> Events:
    """Return the trade, and the end of the order if no route is left to trade the rest."""
    quantity, price = report.quantity, report.price
    assert quantity is not None, "_unbookable has checked it"
    assert price is not None, "_unbookable has checked it"
    cum = order.cum_quantity + quantity
    filled = e.OrderFilled(
        order_id=order.order_id,
        at=now,
        status=must(order.status, "trade_full" if cum >= order.quantity else "trade_part"),
        account=order.account,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        quantity=quantity,
        price=price,
        fee=report.fee or ZERO,
        liquidity=report.liquidity or Liquidity.TAKER,
        exec_id=report.exec_id,
        venue=report.venue,
        route_id=report.route_id,
        report_seq=report.report_seq or None,
        late=order.closed,
        overfill=cum > order.quantity,
        corrects=report.ref_exec_id or None,
    )
    if filled.status in CLOSED or works_on(order, report.route_id, quantity):
        return (filled,)
    return filled, _rest_cancelled(order.order_id, filled.status, now)


def _rest_cancelled(order_id: str, status: State, now: int) -> e.OrderCancelled:
    """Cancel the rest: the last working route is full and the others had ended before."""
    return e.OrderCancelled(order_id=order_id, at=now, status=must(status, "venue_cancelled"), source="oms", reason="no_live_leg")


# Trades taken back


def _with_parked(order: Order, booked: Events, waiting: list[str], now: int, negative_prices: Container[str]) -> Events:
    """Apply pending busts and corrections right after their trade. Their session numbers were used when they were quarantined."""
    events = booked
    for text in waiting:
        report = _REPORT.decode(text)
        after = reduce(evolve, events, copy(order))
        events += tuple(_without_number(event) for event in reported(after, report, now, negative_prices=negative_prices))
    return events


def _without_number(event: e.OrderEvent) -> e.OrderEvent:
    return msgspec.structs.replace(event, report_seq=None) if isinstance(event, e.TradeBusted | e.OrderFilled) else event


def _bust(order: Order, report: VenueReport, now: int) -> Events:
    seen = order.trade(report.venue, report.exec_id)
    if seen is None:
        return (quarantined(report, order.status, UNKNOWN_TRADE, now),)
    if not _ours(order, report):
        return (quarantined(report, order.status, "mismatch", now),)
    return () if seen.busted else (_busted(order, seen, report, now),)


def _correct(order: Order, report: VenueReport, now: int, negative_prices: Container[str]) -> Events:
    """Bust a trade and book another in its place, in one commit: every fold handles both events already."""
    if why := _unbookable(order, report, negative_prices):
        return (quarantined(report, order.status, why, now),)
    if booked := order.trade(report.venue, report.exec_id):
        return () if _same_trade(booked, report) else (quarantined(report, order.status, "conflict", now),)
    seen = order.trade(report.venue, report.ref_exec_id)
    if seen is None or seen.busted:
        return (quarantined(report, order.status, "conflict" if seen else UNKNOWN_TRADE, now),)
    busted = _busted(order, seen, report, now)
    return busted, *_booked(evolve(copy(order), busted), report, now)


def _busted(order: Order, seen: Trade, report: VenueReport, now: int) -> e.TradeBusted:
    return e.TradeBusted(
        order_id=order.order_id,
        at=now,
        status=must(order.status, _bust_trigger(order, seen)),
        account=order.account,
        symbol=order.symbol,
        side=order.side,
        quantity=seen.quantity,
        price=seen.price,
        fee=seen.fee,
        exec_id=seen.exec_id,
        venue=seen.venue,
        report_seq=report.report_seq or None,
    )


def _bust_trigger(order: Order, seen: Trade) -> str:
    cum = order.cum_quantity - seen.quantity
    if cum >= order.quantity:
        return "bust_full"
    if order.status is State.FILLED and not works_on(order, seen.route_id, -seen.quantity):
        return "bust_ended"
    return "bust_traded" if cum else "bust"


# Ends and answers


def _ended(order: Order, report: VenueReport, now: int) -> Events:
    route = next((r for r in order.routes if r.route_id == report.route_id and not r.ended), None)
    if order.closed or route is None:
        return ()
    kind = _ENDINGS[report.report]
    if kind is e.OrderCancelled and order.expiring:
        kind = e.OrderExpired
    source, reason = "venue", report.reason or str(report.report)
    if kind is e.OrderCancelled:
        source, reason = cancelled_by(order, reason)
    return leg_ended(order, route, kind, now, source=source, reason=reason, report_seq=report.report_seq or None)


def _cancel_rejected(order: Order, report: VenueReport, now: int) -> Events:
    """Apply a refused cancel.

    If the venue has not seen the order yet, the request stays open, and exeq resends it after the first report.
    """
    if report.reason in NOT_YET and any(r.route_id == report.route_id and silent(r) for r in order.routes):
        return ()
    trigger = "cancel_rejected_replacing" if order.replacing else traded(order, "cancel_rejected")
    status = step(order.status, trigger)
    if order.closed or status is None:
        return ()
    return (
        e.CancelRejected(
            order_id=order.order_id, at=now, status=status, reason=report.reason, venue=report.venue, report_seq=report.report_seq or None
        ),
    )


_ENDINGS: dict[ReportKind, Ending] = {
    ReportKind.REJECTED: e.OrderRejected,
    ReportKind.CANCELLED: e.OrderCancelled,
    ReportKind.EXPIRED: e.OrderExpired,
}

REPORTS: dict[ReportKind, Callable[[Order, VenueReport, int], Events]] = {
    ReportKind.ACCEPTED: _accepted,
    ReportKind.REJECTED: _ended,
    ReportKind.CANCELLED: _ended,
    ReportKind.EXPIRED: _ended,
    ReportKind.CANCEL_REJECTED: _cancel_rejected,
    ReportKind.REPLACE_REJECTED: replace_rejected,
    ReportKind.BUST: _bust,
}

PRICED: dict[ReportKind, Callable[[Order, VenueReport, int, Container[str]], Events]] = {
    ReportKind.FILL: _fill,
    ReportKind.REPLACED: replaced,
    ReportKind.CORRECTION: _correct,
}
"""Reports whose prices are booked; the last argument lists the symbols that may trade at zero or below."""
