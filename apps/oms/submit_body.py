"""Parse the body of a submit into validated terms, or report the first error. Nothing here touches an order."""

import secrets
from collections.abc import Callable, Container, Mapping
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import client_order_id_of, exact_number, identifier, moment, read_struct
from apps.http.caller import account_not_yours
from apps.http.problem import malformed
from apps.http.schema import CLIENT_ORDER_ID_PATTERN, DISPLAY_QUANTITY, ID, NUMBER_FORMS, OPTIONAL_NUMBER, PRICE, described
from apps.http.trail_body import TrailNumber, TrailPrice, TrailWord, read_trail, type_of
from domain.access.scopes import EVERY_ACCOUNT
from domain.execution.order_rules import AuctionOf, OrderRules, never_closing
from domain.instruments import Denial, Instrument, quantity_worth
from domain.order.auction import Auction
from domain.order.commands import Terms
from domain.order.events import Candidate
from domain.shards import ONE_SHARD, Shards
from domain.values import AT_SESSIONS, CLIENT_ORDER_ID, CLIENT_ORDER_ID_RULE, ZERO, OrderType, Side, TimeInForce

Priority = Annotated[int, msgspec.Meta(ge=0, le=9)]


class SubmitBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /orders`. Numbers stay text until their length and fixed-point form are checked."""

    symbol: str
    side: Side
    quantity: Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER] = UNSET
    notional: Annotated[
        msgspec.Raw | UnsetType,
        described(
            "In place of quantity, for a market order or a limit order with ioc: the money to trade, in the instrument's currency. The "
            "quantity is what it is worth at the best quote, or at the limit, down to the lot.",
            oneOf=[*NUMBER_FORMS, {"type": "null"}],
        ),
    ] = UNSET
    account: Annotated[str | UnsetType | None, ID] = UNSET
    client_order_id: Annotated[
        str | UnsetType | None,
        described(
            "Idempotency key of 1 to 128 printable ASCII characters, never reused. A repeated request returns the first result. "
            "Generated if absent.",
            pattern=CLIENT_ORDER_ID_PATTERN,
        ),
    ] = UNSET
    type: Annotated[
        OrderType | UnsetType | None,
        described("Defaults to trailing_stop if it trails, else to limit if a price is given, else to market."),
    ] = UNSET
    price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    stop_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    time_in_force: Annotated[TimeInForce | UnsetType | None, described("Defaults to gtc. opg and cls wait for an opening or closing.")] = (
        UNSET
    )
    expire_at: Annotated[str | UnsetType | None, described("Required with gtd, not allowed otherwise.", format="date-time")] = UNSET
    priority: Priority | UnsetType | None = UNSET
    post_only: Annotated[bool | UnsetType | None, described("The venue rejects the order if it would trade at once.")] = UNSET
    reduce_only: Annotated[
        bool | UnsetType | None,
        described(
            "Only reduces or closes a position. The order is refused, or later cut or cancelled, if it could do more. "
            "No size limit and no minimum notional apply."
        ),
    ] = UNSET
    display_quantity: Annotated[msgspec.Raw | UnsetType, DISPLAY_QUANTITY] = UNSET
    trail_amount: TrailNumber = UNSET
    trail_percent: TrailNumber = UNSET
    trail_trigger: TrailWord = UNSET
    limit_offset: TrailNumber = UNSET
    activation_price: TrailPrice = UNSET


Touching = Callable[[str, Side], Candidate | None]
"""Returns the fresh quote with the far touch of a symbol for a side; None if there is none."""


def nothing_quoted(symbol: str, side: Side) -> Candidate | None:
    """Return None: nothing is quoted here."""
    return None


_DECODER: Final = msgspec.json.Decoder(SubmitBody)


class TermsReader:
    """Turns a body into tradable terms. Refusals have a fixed order: form (400), then instrument, then terms (422)."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        default_account: str,
        types: frozenset[OrderType],
        may_trade: Callable[[str], bool],
        touching: Touching = nothing_quoted,
        icebergs: Container[str] = (),
        auction_of: AuctionOf = never_closing,
        shards: Shards = ONE_SHARD,
    ) -> None:
        """`default_account`: of an order without an account and without a key. `may_trade`: whether the account is not closed.

        `touching`: the fresh quote that an aggressive order of a side would meet. `icebergs`: the symbols that some venue trades which
        supports icebergs.
        """
        self._rules = OrderRules(instruments, may_trade, types, icebergs, auction_of)
        self._touching = touching
        self._instruments = instruments
        self._default_account = default_account
        self.shards = shards

    def read(self, body: bytes, idempotency_key: str | None, own: str) -> Terms:
        """Return the requested terms, tradable or not. `own`: the account of the caller's key. Refusal 400; 403 for another account."""
        parsed = read_struct(_DECODER, body)
        quantity = exact_number(parsed.quantity, "quantity")
        notional = exact_number(parsed.notional, "notional")
        if (quantity is None) == (notional is None):
            raise malformed("quantity is required, or notional in its place", "/quantity" if quantity is None else "/notional")
        negative = self.may_be_negative(parsed.symbol)
        price = exact_number(parsed.price, "price", negative=negative)
        stop_price = exact_number(parsed.stop_price, "stop_price", negative=negative)
        account = identifier(parsed.account, "account") or self.account_of(own)
        if own not in (account, EVERY_ACCOUNT):
            raise account_not_yours()
        client_order_id = _client_order_id(parsed, idempotency_key)
        tif, quote = parsed.time_in_force or TimeInForce.GTC, None
        trail = read_trail(parsed, negative=negative)
        if quantity is None:
            quantity, quote = self.sized(parsed.symbol, parsed.side, notional or ZERO, price)
        return Terms(
            order_id=self.shards.order_id(account, client_order_id),
            account=account,
            client_order_id=client_order_id,
            symbol=parsed.symbol,
            side=parsed.side,
            order_type=parsed.type or type_of(price, trail),
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            time_in_force=tif,
            expire_at=moment(parsed.expire_at, "expire_at") if isinstance(parsed.expire_at, str) else None,
            auction=self.auction(parsed.symbol, tif) if tif in AT_SESSIONS else None,
            priority=parsed.priority or 0,
            post_only=parsed.post_only is True,
            reduce_only=parsed.reduce_only is True,
            notional=notional,
            quote=quote,
            display_quantity=exact_number(parsed.display_quantity, "display_quantity"),
            trail=trail,
        )

    def account_of(self, own: str) -> str:
        """Return the account of a request that names none. `own`: that of the caller's key."""
        return self._default_account if own == EVERY_ACCOUNT else own

    def auction(self, symbol: str, time_in_force: TimeInForce) -> Auction | None:
        """Return the opening or closing that an order submitted now is for; None if there is none: `denial` gives the reason."""
        return self._rules.auction(symbol, time_in_force)

    def arrival(self, symbol: str, side: Side) -> Candidate | None:
        """Return the fresh quote that an order of this side would meet now; None without one."""
        return self._touching(symbol, side)

    def may_be_negative(self, symbol: str) -> bool:
        instrument = self._instruments.get(symbol)
        return instrument is not None and instrument.negative_prices

    def sized(self, symbol: str, side: Side, notional: Decimal, price: Decimal | None) -> tuple[Decimal, Candidate | None]:
        """Return what an amount of money is worth now, down to the lot, and the quote that was used: none with a limit price.

        Zero if it cannot be determined; `denial` gives the reason.
        """
        instrument = self._instruments.get(symbol)
        quote = self._touching(symbol, side) if price is None else None
        worth = price if quote is None else quote.ask if side is Side.BUY else quote.bid
        if instrument is None or worth is None or worth <= ZERO:
            return ZERO, quote
        return quantity_worth(instrument, notional, worth), quote

    def denial(self, terms: Terms, now_ns: int) -> Denial | None:
        """Return the first reason why these terms cannot trade now, or None."""
        return self._rules.denial(terms, now_ns)


def _client_order_id(parsed: SubmitBody, key: str | None) -> str:
    given = client_order_id_of(parsed.client_order_id)
    if key is None:
        return given or f"auto-{secrets.token_hex(12)}"
    if not CLIENT_ORDER_ID.fullmatch(key):
        raise malformed(f"Idempotency-Key must be {CLIENT_ORDER_ID_RULE}")
    if given is not None and given != key:
        raise malformed("Idempotency-Key and client_order_id differ", "/client_order_id")
    return key
