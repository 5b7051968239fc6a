"""`POST /orders/{id}/settle`: manual resolution of an order in doubt, journaled with who and why."""

from collections.abc import Sequence, Set
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import UNSET, UnsetType

from apps.http.app import Exact, Refusal
from apps.http.body import exact_number, identifier, read_struct
from apps.http.caller import Caller, caller_of, signed_by
from apps.http.problem import malformed, problem_doc
from apps.http.schema import ID_PATTERN, OPTIONAL_NUMBER, PRICE, described, schema_of
from apps.journal.shard_hosts import Hosts
from apps.oms.openapi import NOT_FOUND, UNAVAILABLE
from apps.oms.reads import OrderReads
from apps.oms.settle_requests import SettleRequests
from apps.oms.submit import unavailable
from domain.order.commands import Outcome, SettleOrder
from domain.order.decider import decide
from domain.order.events import OrderEvent, TransitionRefused
from domain.order.order import Order
from domain.order.transition import may_be_negative
from domain.ports import Clock, Unavailable
from domain.values import ZERO

TEXT_MAX: Final = 200


SIGNED: Final = described(minLength=1, maxLength=200)


class SettleBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The outcome found at the venue. Numbers stay text until their length and fixed-point form are checked."""

    outcome: Outcome
    who: Annotated[
        str | UnsetType | None,
        described("The owner of the key, who is taken if it is absent. Required from a program without a key.", minLength=1, maxLength=200),
    ] = UNSET
    reason: Annotated[str, SIGNED]
    route_id: Annotated[str | UnsetType | None, described("The route; required if it is ambiguous.", pattern=ID_PATTERN)] = UNSET
    venue_order_id: Annotated[str | UnsetType | None, described("With outcome working: the venue's order id.", pattern=ID_PATTERN)] = UNSET
    exec_id: Annotated[str | UnsetType | None, described("With outcome filled: the venue's trade id.", pattern=ID_PATTERN)] = UNSET
    quantity: Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER] = UNSET
    price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    fee: Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER] = UNSET
    token: Annotated[str | UnsetType | None, described("The token from the first step; confirms it.", pattern=ID_PATTERN)] = UNSET


SETTLE_SCHEMA: Final = schema_of(
    SettleBody, example={"outcome": "never_arrived", "who": "ann", "reason": "the venue's desk has no such order"}
)
SETTLE_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": SETTLE_SCHEMA}}}},
    "responses": {
        200: {"description": "The order, settled."},
        202: {
            "description": "Where a second person is required: the first step, with its `token` and `expires_at`. Nothing is settled yet."
        },
        400: problem_doc("`malformed`, with a pointer to the field"),
        403: problem_doc(
            "`who_not_yours`: `who` is not the owner of the key; `account_not_yours`: a key that only reads the account; "
            "`second_person_required`: the same person made the first step"
        ),
        409: problem_doc(
            "`illegal_transition`: the order is not in doubt, or `route_id` is required; `not_requested`: no valid first step has the token"
        ),
        422: problem_doc("`quantity_too_large`: more than the order's leaves quantity"),
        **NOT_FOUND,
        **UNAVAILABLE,
    },
}

_BODY: Final = msgspec.json.Decoder(SettleBody)


def router(hosts: Hosts, reads: OrderReads, negative_prices: Set[str], clock: Clock, second_person: bool) -> APIRouter:
    """Build the route. `negative_prices`: symbols that may trade at zero and below. `second_person`: another person must confirm."""
    routes, requests = APIRouter(), SettleRequests(clock)

    @routes.post("/orders/{order_id}/settle", **SETTLE_DOC)
    async def settle_order(order_id: str, request: Request) -> Response:
        """Settle an order in doubt by the outcome found at its venue; `filled` needs the trade.

        Where a second person is required, this is the first step, and the same body with `token` from another person the second.
        """
        body, caller = await request.body(), caller_of(request.scope)
        read_settle(order_id, body, caller, negative=True)  # a body that is invalid for any order is refused before the order is read
        order = await reads.find_own(order_id, caller)
        command = read_settle(order_id, body, caller, negative=may_be_negative(order, negative_prices))
        _tradable(order, command)
        token = _BODY.decode(body).token
        if isinstance(token, str):
            with requests.confirmed(token, command) as by_both:
                await _settle(hosts, order, by_both)
        elif second_person:
            _check_settled(order, decide(order, command, clock.now_ns(), negative_prices))
            return Exact({"order_id": order_id, "outcome": command.outcome, "who": command.who, **requests.ask(command)}, status_code=202)
        else:
            await _settle(hosts, order, command)
        return Exact(await reads.one(order_id, caller))

    return routes


def read_settle(order_id: str, body: bytes, caller: Caller, *, negative: bool = False) -> SettleOrder:
    """Parse the body; the caller signs it. `negative`: the price may be zero or negative. Refusal 400, 403."""
    parsed = read_struct(_BODY, body)
    identifier(parsed.token, "token")
    who = signed_by(caller, parsed.who if isinstance(parsed.who, str) else None)
    for name, text in (("who", who), ("reason", parsed.reason)):
        if not text.strip() or len(text) > TEXT_MAX or not text.isprintable():
            raise malformed(f"{name} is required: 1 to {TEXT_MAX} printable characters", f"/{name}")
    numbers = {
        "quantity": exact_number(parsed.quantity, "quantity"),
        "price": exact_number(parsed.price, "price", negative=negative),
        "fee": exact_number(parsed.fee, "fee"),
    }
    if parsed.outcome is not Outcome.FILLED and any(number is not None for number in numbers.values()):
        raise malformed("quantity, price and fee are allowed only with outcome filled", "/outcome")
    if parsed.outcome is Outcome.FILLED and not (numbers["quantity"] and (numbers["price"] or (negative and numbers["price"] is not None))):
        raise malformed("outcome filled needs the traded quantity and price", "/quantity")
    return SettleOrder(
        order_id=order_id,
        outcome=parsed.outcome,
        by=caller.key_id,
        who=who,
        reason=parsed.reason,
        route_id=identifier(parsed.route_id, "route_id"),
        venue_order_id=identifier(parsed.venue_order_id, "venue_order_id") or "",
        exec_id=identifier(parsed.exec_id, "exec_id") or "",
        **numbers,
    )


def _tradable(order: Order, command: SettleOrder) -> None:
    if (command.quantity or ZERO) > order.leaves_quantity:
        raise Refusal(
            422,
            "quantity_too_large",
            "quantity exceeds the order's leaves quantity",
            found=str(command.quantity),
            limit=str(order.leaves_quantity),
            order_id=order.order_id,
        )


async def _settle(hosts: Hosts, order: Order, command: SettleOrder) -> None:
    try:
        landed = await hosts.of(order.account).perform(command)
    except Unavailable as trouble:
        raise unavailable(trouble, unknown=trouble.unknown) from trouble
    _check_settled(order, landed.events)


def _check_settled(order: Order, events: Sequence[OrderEvent]) -> None:
    """Check that the order allows its settlement. Refusal 409."""
    if any(isinstance(event, TransitionRefused) for event in events):
        raise Refusal(
            409,
            "illegal_transition",
            "only an order in doubt can be settled; route_id is required if the route is ambiguous",
            state=order.status,
            order_id=order.order_id,
        )
