"""`PATCH /orders/{id}`: new terms for an open order. Increased terms need a risk check; an order at a venue needs its confirmation."""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.app import Refusal
from apps.http.body import exact_number, read_struct
from apps.http.problem import malformed
from apps.http.schema import OPTIONAL_NUMBER, PRICE
from apps.journal.shard_host import Landed, ShardHost
from apps.oms.risk_client import RiskCheck
from apps.oms.submit import unavailable, untradable
from domain.instruments import Denial, Instrument, terms_denial
from domain.order.commands import ReplaceOrder, RiskReply, Terms
from domain.order.events import ReplaceRefused, TransitionRefused
from domain.order.order import Asked, Order
from domain.order.replace import reason_against, terms_wanted, under_way, weighs_more
from domain.order.terms import replacement
from domain.ports import Unavailable
from domain.values import ZERO


class ReplaceBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of a replace. A field that is absent or null keeps its value."""

    quantity: Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER] = UNSET
    price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    stop_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET


_DECODER: Final = msgspec.json.Decoder(ReplaceBody)

Numbers = tuple[Decimal | None, Decimal | None, Decimal | None]


def read_replace(body: bytes, *, negative: bool = False) -> Numbers:
    """Parse quantity, price and stop price, at least one of them. `negative`: prices may be negative. Refusal 400."""
    found = read_struct(_DECODER, body)
    price, stop_price = (exact_number(getattr(found, name), name, negative=negative) for name in ("price", "stop_price"))
    numbers = (exact_number(found.quantity, "quantity"), price, stop_price)
    if numbers == (None, None, None):
        raise malformed("at least one of quantity, price and stop_price is required")
    return numbers


class ReplaceHandler:
    """Runs the replaces of one order in sequence and those of different orders concurrently."""

    def __init__(
        self, host: ShardHost, risk: RiskCheck, instruments: Mapping[str, Instrument], forbidden: Callable[[Terms], RiskReply | None]
    ) -> None:
        self._host = host
        self._risk = risk
        self._instruments = instruments
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._forbidden = forbidden

    def read(self, order: Order, body: bytes) -> Numbers:
        """Parse the body by the rules of the order's instrument. Refusal 400."""
        instrument = self._instruments.get(order.symbol)
        return read_replace(body, negative=instrument is not None and instrument.negative_prices)

    async def replace(self, order: Order, numbers: Numbers, *, by: str) -> None:
        """Replace the order's terms for a client; a repeated request changes nothing more. `by` is the client's key id.

        Refusal 409 `illegal_transition` (with `reason`), 422 (by the instrument or by risk), 503.
        """
        while (first := self._under_way.get(order.order_id)) is not None:
            await asyncio.wait([first])
        mine = self._under_way[order.order_id] = asyncio.get_running_loop().create_future()
        try:
            landed = await self._replaced(order, numbers, by)
        except Unavailable as trouble:
            raise unavailable(str(trouble), unknown=trouble.unknown) from trouble
        finally:
            mine.set_result(None)
            del self._under_way[order.order_id]
        for event in landed.events:
            if isinstance(event, TransitionRefused):
                raise _refusal(order, str(event.detail))
            if isinstance(event, ReplaceRefused):
                raise untradable(Denial(event.reason, event.found, event.limit, event.unit))

    async def _replaced(self, order: Order, numbers: Numbers, by: str) -> Landed:
        wanted = terms_wanted(order, *numbers)
        replace_id, decision = order.next_replace_id, None
        if not order.closed and not under_way(order, wanted):
            self._tradable(order, wanted)
            if reason_against(order, wanted) is None and weighs_more(order, wanted):
                decision = await self._decision(order, wanted, replace_id)
        quantity, price, stop_price = numbers
        return await self._host.perform(
            ReplaceOrder(
                order_id=order.order_id,
                by=by,
                replace_id=replace_id,
                quantity=quantity,
                price=price,
                stop_price=stop_price,
                decision=decision,
            )
        )

    def _tradable(self, order: Order, wanted: Asked) -> None:
        instrument = self._instruments.get(order.symbol)
        if instrument is None:
            raise untradable(Denial("unknown_symbol", order.symbol))
        denial = terms_denial(instrument, order.order_type, wanted.quantity, wanted.price, wanted.stop_price, reduce_only=order.reduce_only)
        if denial is not None:
            raise untradable(denial)

    async def _decision(self, order: Order, wanted: Asked, replace_id: str) -> RiskReply | None:
        leaves = max(wanted.quantity - order.cum_quantity, ZERO)
        if not leaves:
            return None
        terms = replacement(order, msgspec.structs.replace(wanted, quantity=leaves), replace_id)
        decision = self._forbidden(terms) or await self._risk.check(terms)
        return self._forbidden(terms) or decision


def _refusal(order: Order, reason: str) -> Refusal:
    why: dict[str, Any] = {"state": order.status, "order_id": order.order_id, "reason": reason}
    return Refusal(409, "illegal_transition", f"a {order.status} order cannot be replaced now: {reason.replace('_', ' ')}", **why)
