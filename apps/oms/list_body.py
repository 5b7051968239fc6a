"""Parse the body of `POST /order-lists` into a list and the terms of its orders, or report the first error with its leg."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import client_order_id_of, exact_number, identifier, moment, read_object, read_struct, unreadable
from apps.http.caller import account_not_yours
from apps.http.problem import Refusal, malformed
from apps.http.schema import CLIENT_ORDER_ID_PATTERN, DISPLAY_QUANTITY, ID, ID_PATTERN, OPTIONAL_NUMBER, PRICE, described
from apps.http.trail_body import TrailNumber, TrailPrice, TrailWord, read_trail, type_of
from apps.oms.submit_body import Priority, TermsReader
from domain.access.scopes import EVERY_ACCOUNT
from domain.instruments import Denial
from domain.order.commands import Terms
from domain.order.group import ListTerms, ListType, Role, Trigger, list_id_of
from domain.order.trail import Trail
from domain.values import OrderType, Side, TimeInForce, derived_id, opposite

LEGS_MAX: Final = 50
"""Orders of a basket; the other types have at most six."""
EXITS: Final = (Role.TAKE_PROFIT, Role.STOP_LOSS)


class ListBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of `POST /order-lists`."""

    type: ListType
    orders: Annotated[list[msgspec.Raw], described("The orders, the entry first: see `LegBody` in docs/lists.md.")]
    account: Annotated[str | UnsetType | None, ID] = UNSET
    client_list_id: Annotated[
        str | UnsetType | None,
        described("Idempotency key, never reused. A repeated request returns the first result. Generated if absent.", pattern=ID_PATTERN),
    ] = UNSET
    trigger: Annotated[Trigger | UnsetType | None, described("Of oto and bracket. Defaults to partial.")] = UNSET
    exclusive: Annotated[
        str | UnsetType | None, described("Of a bracket: strict or fast. Defaults to strict.", enum=["strict", "fast"])
    ] = UNSET
    reduce: Annotated[bool | UnsetType | None, described("Of oco. Defaults to true if sides and symbols are equal.")] = UNSET


class LegBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One order of a list. An exit of a bracket has its entry's symbol and quantity, and the other side: it need not name them."""

    role: Role | UnsetType | None = UNSET
    client_order_id: Annotated[str | UnsetType | None, described(pattern=CLIENT_ORDER_ID_PATTERN)] = UNSET
    symbol: str | UnsetType | None = UNSET
    side: Side | UnsetType | None = UNSET
    type: OrderType | UnsetType | None = UNSET
    quantity: Annotated[msgspec.Raw | UnsetType, OPTIONAL_NUMBER] = UNSET
    price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    stop_price: Annotated[msgspec.Raw | UnsetType, PRICE] = UNSET
    time_in_force: TimeInForce | UnsetType | None = UNSET
    expire_at: Annotated[str | UnsetType | None, described(format="date-time")] = UNSET
    priority: Priority | UnsetType | None = UNSET
    post_only: bool | UnsetType | None = UNSET
    reduce_only: bool | UnsetType | None = UNSET
    display_quantity: Annotated[msgspec.Raw | UnsetType, DISPLAY_QUANTITY] = UNSET
    trail_amount: TrailNumber = UNSET
    trail_percent: TrailNumber = UNSET
    trail_trigger: TrailWord = UNSET
    limit_offset: TrailNumber = UNSET
    activation_price: TrailPrice = UNSET


_LIST: Final = msgspec.json.Decoder(ListBody)
_LEG: Final = msgspec.json.Decoder(LegBody)
_FIELDS: Final = ListBody.__struct_fields__


def of_leg(refusal: Refusal, leg: int) -> Refusal:
    """Return the refusal with the number of its leg, and a pointer into the list."""
    pointer = refusal.extra.get("pointer", "")
    extra = refusal.extra | {"leg": leg, "pointer": f"/orders/{leg}{pointer}"}
    return Refusal(refusal.status, refusal.code, refusal.detail, headers=refusal.headers, **extra)


def first_denial(reader: TermsReader, legs: Sequence[Terms], now_ns: int) -> tuple[int, Denial] | None:
    """Return the first leg that cannot trade now, and why."""
    found = ((number, reader.denial(terms, now_ns)) for number, terms in enumerate(legs))
    return next(((number, denial) for number, denial in found if denial is not None), None)


class ListReader:
    """Reads lists with the rules of single orders, and the rules of their type."""

    def __init__(self, terms: TermsReader) -> None:
        self._terms = terms

    def read(self, body: bytes, own: str, generated: str) -> tuple[ListTerms, list[Terms]]:
        """Return the list and its orders' terms, tradable or not.

        `own`: the account of the caller's key; `generated`: the client_list_id if the body has none. Refusal 400; 403; 422.
        """
        read_object(body, _FIELDS)  # refuses duplicate keys, at any depth
        found = _list(body)
        account = identifier(found.account, "account") or self._terms.account_of(own)
        if own not in (account, EVERY_ACCOUNT):
            raise account_not_yours()
        client_list_id = identifier(found.client_list_id, "client_list_id") or generated
        legs = [_leg(raw, number) for number, raw in enumerate(found.orders)]
        _check_roles(found.type, legs)
        list_id = self._terms.shards.placed(account, list_id_of(account, client_list_id))
        made = [self._leg_terms(leg, number, legs[0], found, (account, list_id)) for number, leg in enumerate(legs)]
        _check_options(found, made)
        return _list_terms(found, account, client_list_id, list_id, made), _finished(found, made)

    def _leg_terms(self, leg: LegBody, number: int, entry: LegBody, found: ListBody, of: tuple[str, str]) -> Terms:
        try:
            return self._terms_of(leg, number, entry, found, of)
        except Refusal as refusal:
            raise of_leg(refusal, number) from None

    def _terms_of(self, leg: LegBody, number: int, entry: LegBody, found: ListBody, of: tuple[str, str]) -> Terms:
        account, list_id = of
        follows = found.type is ListType.BRACKET and number > 0
        source = entry if follows else leg
        symbol, side = _required(source.symbol, "symbol"), _required(source.side, "side")
        negative = self._terms.may_be_negative(symbol)
        quantity = _required(exact_number(source.quantity, "quantity"), "quantity")
        if follows:
            _as_its_entry(leg, symbol, opposite(side), quantity)
        price = exact_number(leg.price, "price", negative=negative)
        stop_price = exact_number(leg.stop_price, "stop_price", negative=negative)
        trail = read_trail(leg, negative=negative)
        client_order_id = client_order_id_of(leg.client_order_id) or derived_id("leg", list_id, str(number))
        return Terms(
            order_id=self._terms.shards.order_id(account, client_order_id),
            account=account,
            client_order_id=client_order_id,
            symbol=symbol,
            side=opposite(side) if follows else side,
            order_type=leg.type or _type_of(price, stop_price, trail),
            quantity=quantity,
            price=price,
            stop_price=stop_price,
            time_in_force=leg.time_in_force or TimeInForce.GTC,
            expire_at=moment(leg.expire_at, "expire_at") if isinstance(leg.expire_at, str) else None,
            priority=leg.priority or 0,
            post_only=leg.post_only is True,
            reduce_only=leg.reduce_only is True,
            group_id=list_id,
            role=str(_role(found.type, leg, number)),
            display_quantity=exact_number(leg.display_quantity, "display_quantity"),
            trail=trail,
        )


def _list(body: bytes) -> ListBody:
    try:
        return _LIST.decode(body)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error)) from None


def _leg(raw: msgspec.Raw, number: int) -> LegBody:
    try:
        return read_struct(_LEG, bytes(raw))
    except Refusal as refusal:
        raise of_leg(refusal, number) from None


def _type_of(price: Decimal | None, stop_price: Decimal | None, trail: Trail | None) -> OrderType:
    if stop_price is not None and trail is None:
        return OrderType.STOP if price is None else OrderType.STOP_LIMIT
    return type_of(price, trail)


def _required(value: Any, field: str) -> Any:
    if value is None or value is UNSET:
        raise malformed(f"{field} is required", f"/{field}")
    return value


def no_list(detail: str, pointer: str) -> Refusal:
    """Return Refusal 422 for orders that are no list of their type."""
    return Refusal(422, "not_a_list", detail, pointer=pointer)


def _as_its_entry(leg: LegBody, symbol: str, side: Side, quantity: Decimal) -> None:
    """Check what an exit says of itself though it follows from its entry. Refusal 422."""
    said = {"symbol": (leg.symbol, symbol), "side": (leg.side, side), "quantity": (exact_number(leg.quantity, "quantity"), quantity)}
    for field, (own, follows) in said.items():
        if own not in (UNSET, None, follows):
            raise no_list("an exit has its entry's symbol and quantity, and the other side", f"/{field}")


def _role(kind: ListType, leg: LegBody, number: int) -> Role:
    if kind in (ListType.OCO, ListType.NONE):
        return Role.LEG
    if number == 0:
        return Role.ENTRY
    return leg.role if kind is ListType.BRACKET and isinstance(leg.role, Role) else Role.HELD


def _check_roles(kind: ListType, legs: Sequence[LegBody]) -> None:
    """Check how many orders there are, and which roles they name. Refusal 422."""
    least, most = {ListType.OCO: (2, 5), ListType.OTO: (2, 6), ListType.BRACKET: (2, 3), ListType.NONE: (2, LEGS_MAX)}[kind]
    if not least <= len(legs) <= most:
        raise no_list(f"a list of type {kind} has {least} to {most} orders", "/orders")
    allowed: dict[ListType, tuple[Role, ...]] = {ListType.OTO: (Role.HELD,), ListType.BRACKET: EXITS}
    for number, leg in enumerate(legs):
        wanted = (Role.LEG,) if kind not in allowed else (Role.ENTRY,) if number == 0 else allowed[kind]
        if leg.role in (UNSET, None) and (kind is not ListType.BRACKET or number == 0):
            continue
        if leg.role not in wanted:
            raise of_leg(no_list(f"the role must be {' or '.join(wanted)}", "/role"), number)
    exits = [leg.role for leg in legs[1:]]
    if kind is ListType.BRACKET and len(set(exits)) != len(exits):
        raise no_list("a bracket has at most one take_profit and one stop_loss", "/orders")


def _check_options(found: ListBody, made: Sequence[Terms]) -> None:
    """Check options that only some types have, and what no leg of a type may be. Refusal 422."""
    follows = found.type in (ListType.OTO, ListType.BRACKET)
    given = {"trigger": follows, "exclusive": found.type is ListType.BRACKET, "reduce": found.type is ListType.OCO}
    for field, allowed in given.items():
        if not allowed and getattr(found, field) not in (UNSET, None):
            raise no_list(f"{field} is not allowed in a list of type {found.type}", f"/{field}")
    if found.exclusive not in (UNSET, None, "strict", "fast"):
        raise malformed("exclusive must be strict or fast", "/exclusive")
    if found.reduce is True and not _alike(made):
        raise no_list("reduce needs orders of one symbol and side", "/reduce")
    if len({terms.order_id for terms in made}) != len(made):
        raise no_list("the orders of a list need different client_order_ids", "/orders")
    for number, terms in enumerate(made):
        if terms.reduce_only and found.type is not ListType.NONE:
            raise of_leg(no_list(f"reduce_only is not allowed in a list of type {found.type}", "/reduce_only"), number)
        needs_stop = terms.role == Role.STOP_LOSS
        if terms.role in EXITS and needs_stop != (terms.stop_price is not None or terms.trail is not None):
            name = "a stop_loss needs a stop_price, or a trail" if needs_stop else "a take_profit has no stop_price, and no trail"
            raise of_leg(no_list(name, "/stop_price"), number)


def _alike(made: Sequence[Terms]) -> bool:
    return len({(terms.symbol, terms.side) for terms in made}) == 1


def _reduces(found: ListBody, made: Sequence[Terms]) -> bool:
    return found.type is ListType.OCO and (_alike(made) if found.reduce in (UNSET, None) else found.reduce is True)


def _strict(found: ListBody) -> bool:
    return found.type is ListType.BRACKET and found.exclusive != "fast"


def _finished(found: ListBody, made: Sequence[Terms]) -> list[Terms]:
    """Return the terms with what follows from the whole list: which stops are exclusive, which orders are alternatives."""
    reduces, strict = _reduces(found, made), _strict(found) and len(made) > 2
    opened, roles = made[0].quantity, [terms.role for terms in made]
    for number, terms in enumerate(made):
        if reduces:
            roles[number] = Role.ALTERNATIVE
        elif terms.role == Role.HELD and _closes(terms, made[0]) and terms.quantity <= opened:
            roles[number], opened = Role.CLOSING, opened - terms.quantity
    return [
        msgspec.structs.replace(terms, role=str(role), exclusive=strict and role == Role.STOP_LOSS)
        for terms, role in zip(made, roles, strict=True)
    ]


def _closes(leg: Terms, entry: Terms) -> bool:
    return leg.symbol == entry.symbol and leg.side is not entry.side


def _list_terms(found: ListBody, account: str, client_list_id: str, list_id: str, made: Sequence[Terms]) -> ListTerms:
    return ListTerms(
        list_id=list_id,
        account=account,
        client_list_id=client_list_id,
        kind=found.type,
        trigger=found.trigger or Trigger.PARTIAL,
        strict=_strict(found) and len(made) > 2,
        reduce=_reduces(found, made),
    )
