"""`PATCH /orders/{id}`: new terms for an open order. Increased terms need a risk check; an order at a venue needs its confirmation."""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.app import Refusal
from apps.http.body import client_order_id_of, exact_number, read_struct
from apps.http.problem import malformed
from apps.http.schema import CLIENT_ORDER_ID_PATTERN, NUMBER_FORMS, OPTIONAL_NUMBER, PRICE, described
from apps.http.trail_body import TrailNumber, replaced_trail
from apps.journal.shard_host import Landed
from apps.journal.shard_hosts import Hosts
from apps.oms.risk_client import RiskCheck
from apps.oms.submit import reused, unavailable, untradable
from domain.instruments import Denial, Instrument, display_denial, terms_denial
from domain.order.algo import CHILD
from domain.order.commands import ReplaceOrder, RiskDecision, Terms
from domain.order.events import ReplaceRefused, TransitionRefused
from domain.order.group import HELD_ROLES, Role
from domain.order.order import Asked, Order
from domain.order.replace import reason_against, terms_wanted, under_way, weighs_more
from domain.order.terms import replacement
from domain.order.trail import Trail, trail_denial
from domain.ports import Unavailable
from domain.values import ZERO, plain

FOLLOWING: Final = HELD_ROLES | {Role.ALTERNATIVE}
"""Roles of orders whose quantity their list sets."""


class ReplaceBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of a replace. A field that is absent or null keeps its value."""

    quantity: Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER] = UNSET
    price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    stop_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    client_order_id: Annotated[
        str | UnsetType | None,
        described(
            "A name for the new terms, unique like that of an order. A repeated request with it changes nothing.",
            pattern=CLIENT_ORDER_ID_PATTERN,
        ),
    ] = UNSET
    display_quantity: Annotated[msgspec.Raw | UnsetType, described("Cannot be replaced: 422.", oneOf=[*NUMBER_FORMS, {"type": "null"}])] = (
        UNSET
    )
    trail_amount: TrailNumber = UNSET
    trail_percent: TrailNumber = UNSET


_DECODER: Final = msgspec.json.Decoder(ReplaceBody)


class NewTerms(NamedTuple):
    """The terms that a client asks for; None keeps the present one. `client_order_id` is its name for them, empty if it gives none."""

    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    client_order_id: str = ""
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None

    @property
    def numbers(self) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
        return self.quantity, self.price, self.stop_price

    @property
    def trails(self) -> bool:
        return self.trail_amount is not None or self.trail_percent is not None


def read_replace(body: bytes, *, negative: bool = False) -> NewTerms:
    """Parse quantity, price and stop price, at least one of them, and the name. `negative`: prices may be negative. Refusal 400, 422."""
    found = read_struct(_DECODER, body)
    if exact_number(found.display_quantity, "display_quantity") is not None:
        raise untradable(Denial("display_quantity_not_replaceable"))
    price, stop_price = (exact_number(getattr(found, name), name, negative=negative) for name in ("price", "stop_price"))
    asked = NewTerms(exact_number(found.quantity, "quantity"), price, stop_price, client_order_id_of(found.client_order_id) or "")
    trail_amount, trail_percent = (exact_number(getattr(found, name), name) for name in ("trail_amount", "trail_percent"))
    asked = asked._replace(trail_amount=trail_amount, trail_percent=trail_percent)
    if asked.numbers == (None, None, None) and not asked.trails:
        raise malformed("at least one of quantity, price, stop_price, trail_amount and trail_percent is required")
    return asked


class ReplaceHandler:
    """Runs the replaces of one order in sequence and those of different orders concurrently."""

    def __init__(
        self, hosts: Hosts, risk: RiskCheck, instruments: Mapping[str, Instrument], forbidden: Callable[[Terms], RiskDecision | None]
    ) -> None:
        self._hosts = hosts
        self._risk = risk
        self._instruments = instruments
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._forbidden = forbidden

    def read(self, order: Order, body: bytes) -> NewTerms:
        """Parse the body by the rules of the order's instrument. Refusal 400."""
        instrument = self._instruments.get(order.symbol)
        return read_replace(body, negative=instrument is not None and instrument.negative_prices)

    async def replace(self, order: Order, asked: NewTerms, *, by: str) -> None:
        """Replace the order's terms for a client; a repeated request changes nothing more. `by` is the client's key id.

        Refusal 409 `illegal_transition` (with `reason`), `quantity_follows_entry` or `child_of_algo`, 422 (by the instrument, by risk, or
        for a name that was used), 503.
        """
        if order.role == CHILD:
            raise Refusal(
                409, "child_of_algo", "the terms of this order are those of its algo", order_id=order.order_id, algo_id=order.group_id
            )
        if asked.quantity is not None and order.role in FOLLOWING:
            detail = "the quantity of this order follows the other orders of its list"
            raise Refusal(409, "quantity_follows_entry", detail, order_id=order.order_id, list_id=order.group_id)
        while (first := self._under_way.get(order.order_id)) is not None:
            await asyncio.wait([first])
        mine = self._under_way[order.order_id] = asyncio.get_running_loop().create_future()
        try:
            landed = await self._replaced(order, asked, by)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=trouble.unknown) from trouble
        finally:
            mine.set_result(None)
            del self._under_way[order.order_id]
        for event in landed.events:
            if isinstance(event, TransitionRefused):
                raise _refusal(order, str(event.detail))
            if isinstance(event, ReplaceRefused):
                raise untradable(Denial(event.reason, event.found, event.limit, event.unit))

    async def _replaced(self, order: Order, asked: NewTerms, by: str) -> Landed:
        trail = _trail_wanted(order, asked)
        wanted = terms_wanted(order, *asked.numbers, trail)
        replace_id, decision = order.next_replace_id, None
        if not self._is_repeat(order, asked, trail) and not order.closed and not under_way(order, wanted):
            self._tradable(order, wanted, asked)
            if reason_against(order, wanted) is None and weighs_more(order, wanted):
                decision = await self._decision(order, wanted, replace_id)
            self._is_repeat(order, asked, trail)  # another request may have used the name since; no other task runs before the commit
        return await self._hosts.of(order.account).perform(
            ReplaceOrder(
                order_id=order.order_id,
                by=by,
                replace_id=replace_id,
                client_order_id=asked.client_order_id,
                quantity=asked.quantity,
                price=asked.price,
                stop_price=asked.stop_price,
                decision=decision,
                trail=trail,
            )
        )

    def _is_repeat(self, order: Order, asked: NewTerms, trail: Trail | None) -> bool:
        """Return whether the order has had a replace with this name and these terms. Refusal 422 if the name was used for anything else."""
        if not asked.client_order_id:
            return False
        owner = self._hosts.of(order.account).book.named(order.account, asked.client_order_id)
        if owner is None:
            return False
        for known in owner.generations if owner.order_id == order.order_id else ():
            given = zip((*asked.numbers, trail), (known.quantity, known.price, known.stop_price, known.trail), strict=True)
            if known.number and known.client_order_id == asked.client_order_id and all(new in (None, old) for new, old in given):
                return True
        raise reused(asked.client_order_id, owner)

    def _tradable(self, order: Order, wanted: Asked, asked: NewTerms) -> None:
        instrument = self._instruments.get(order.symbol)
        if instrument is None:
            raise untradable(Denial("unknown_symbol", order.symbol))
        if order.trail is not None and asked.stop_price is not None:
            raise untradable(Denial("stop_price_not_allowed", plain(asked.stop_price)))
        new = replacement(order, wanted, "")
        denial = terms_denial(instrument, new.order_type, new.quantity, new.price, new.stop_price, reduce_only=new.reduce_only)
        denial = denial or trail_denial(instrument, new.order_type, new.trail)
        denial = denial or display_denial(instrument, new.order_type, new, may_cover=True)
        if denial is not None:
            raise untradable(denial)

    async def _decision(self, order: Order, wanted: Asked, replace_id: str) -> RiskDecision | None:
        leaves = max(wanted.quantity - order.cum_quantity, ZERO)
        if not leaves:
            return None
        terms = replacement(order, msgspec.structs.replace(wanted, quantity=leaves), replace_id)
        decision = self._forbidden(terms) or await self._risk.check(terms)
        return self._forbidden(terms) or decision


def _trail_wanted(order: Order, asked: NewTerms) -> Trail | None:
    """Return the new trail; None if it stays. Refusal 422 for an order that does not trail."""
    if not asked.trails:
        return None
    if order.trail is None:
        raise untradable(Denial("trail_not_allowed", str(order.order_type)))
    return replaced_trail(order.trail, asked.trail_amount, asked.trail_percent)


def _refusal(order: Order, reason: str) -> Refusal:
    why: dict[str, Any] = {"state": order.status, "order_id": order.order_id, "reason": reason}
    return Refusal(409, "illegal_transition", f"a {order.status} order cannot be replaced now: {reason.replace('_', ' ')}", **why)
