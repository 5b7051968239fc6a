"""What an order must fulfil to be submitted: by its instrument, by what the venues that list it can do, and by their trading hours.

A submit, a check and a preview of a route ask the same rules, so they refuse for the same reason.
"""

from collections.abc import Callable, Container, Mapping
from typing import Final

import msgspec

from domain.execution.auctions import NO_SESSION, TOO_LATE
from domain.instruments import Denial, Instrument, display_denial, flags_denial, notional_denial, price_denial, terms_denial
from domain.order.auction import Auction
from domain.order.commands import Terms
from domain.order.trail import trail_denial
from domain.values import AT_SESSIONS, OrderType, Side, TimeInForce, rfc3339

SYMBOL_SHOWN_MAX: Final = 64
"""Characters of an unknown symbol that a refusal repeats."""
EVERY_TYPE: Final = frozenset(OrderType)

AuctionOf = Callable[[str, TimeInForce], Auction | Denial]
"""Returns the opening or closing of a symbol that an order of this time in force would be for now, or why there is none."""


def never_closing(symbol: str, time_in_force: TimeInForce) -> Auction | Denial:
    """Return that there is none: nothing closes here."""
    return Denial(NO_SESSION, symbol)


class OrderRules:
    """Finds the first reason why an order cannot be submitted. The order of the reasons is fixed."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        may_trade: Callable[[str], bool],
        types: Container[OrderType] = EVERY_TYPE,
        icebergs: Container[str] = (),
        auction_of: AuctionOf = never_closing,
    ) -> None:
        """`may_trade`: whether an account is not closed. `icebergs`: the symbols that some venue trades which supports icebergs."""
        self.instruments = instruments
        self._may_trade = may_trade
        self._types = types
        self._icebergs = icebergs
        self._auction_of = auction_of

    def auction(self, symbol: str, time_in_force: TimeInForce) -> Auction | None:
        """Return the opening or closing that an order submitted now is for; None if there is none: `denial` gives the reason."""
        found = self._auction_of(symbol, time_in_force) if time_in_force in AT_SESSIONS else None
        return found if isinstance(found, Auction) else None

    def as_submitted(self, terms: Terms) -> Terms:
        """Return the terms of an order that is not submitted as a submit would record them now."""
        auction = self.auction(terms.symbol, terms.time_in_force)
        return terms if auction is None else msgspec.structs.replace(terms, auction=auction)

    def denial(self, terms: Terms, now_ns: int) -> Denial | None:
        """Return the first reason why these terms cannot trade now, or None."""
        instrument = self.instruments.get(terms.symbol)
        if instrument is None:
            return Denial("unknown_symbol", terms.symbol[:SYMBOL_SHOWN_MAX])
        if terms.order_type not in self._types:
            return Denial("order_type_unsupported", str(terms.order_type))
        if not self._may_trade(terms.account):
            return Denial("account_closed", terms.account)
        return (
            (None if terms.notional is None else _notional_denial(instrument, terms))
            or terms_denial(instrument, terms.order_type, terms.quantity, terms.price, terms.stop_price, reduce_only=terms.reduce_only)
            or trail_denial(instrument, terms.order_type, terms.trail)
            or flags_denial(terms.order_type, terms.time_in_force, terms.post_only)
            or (None if terms.display_quantity is None else self._display_denial(instrument, terms))
            or _expiry_denial(terms, now_ns)
            or (self._auction_denial(terms) if terms.time_in_force in AT_SESSIONS else None)
        )

    def _display_denial(self, instrument: Instrument, terms: Terms) -> Denial | None:
        if terms.symbol not in self._icebergs:
            return Denial("display_quantity_unsupported", terms.symbol)
        return display_denial(instrument, terms.order_type, terms)

    def _auction_denial(self, terms: Terms) -> Denial | None:
        """Return why the order cannot wait for an opening or closing. A leg of a list cannot."""
        if terms.group_id:
            return Denial("time_in_force_not_allowed", f"{terms.time_in_force} in a list")
        if terms.auction is not None:
            return None
        found = self._auction_of(terms.symbol, terms.time_in_force)
        return found if isinstance(found, Denial) else Denial(TOO_LATE, rfc3339(found.at))


def _notional_denial(instrument: Instrument, terms: Terms) -> Denial | None:
    """Return why the money makes no quantity, or one that is too little. Missing and excess prices are left to `terms_denial`."""
    is_limit, immediate = terms.order_type is OrderType.LIMIT, terms.time_in_force is TimeInForce.IOC
    waits = terms.time_in_force in AT_SESSIONS
    if instrument.negative_prices or waits or not (terms.order_type is OrderType.MARKET or (is_limit and immediate)):
        return Denial("notional_not_allowed", f"{terms.order_type} {terms.time_in_force}")
    if is_limit == (terms.price is None):
        return None
    if terms.price is not None:
        return price_denial(instrument, terms.price, "price") or notional_denial(
            instrument, terms.quantity, terms.price, reduce_only=terms.reduce_only
        )
    touch = None if terms.quote is None else terms.quote.ask if terms.side is Side.BUY else terms.quote.bid
    if touch is None:
        return Denial("no_fresh_quote", terms.symbol)
    return notional_denial(instrument, terms.quantity, touch, reduce_only=terms.reduce_only)


def _expiry_denial(terms: Terms, now_ns: int) -> Denial | None:
    gtd, expire_at = terms.time_in_force is TimeInForce.GTD, terms.expire_at
    if expire_at is None:
        return Denial("expire_at_required") if gtd else None
    if not gtd:
        return Denial("expire_at_not_allowed", rfc3339(expire_at))
    return Denial("expire_at_in_past", rfc3339(expire_at), rfc3339(now_ns)) if expire_at <= now_ns else None
