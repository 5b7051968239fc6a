"""Parse the body of `POST /check` into terms, or report the first error."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import exact_number, identifier, read_struct
from apps.http.order_body import OrderBody, terms_of
from apps.http.problem import malformed
from apps.http.schema import NUMBER, described, schema_of
from domain.execution.order_rules import OrderRules
from domain.order.commands import Terms
from domain.values import Side

ENTRY: Final = described(
    "An exit of a list is checked as if its entry had traded: {side, quantity}. Only without an order_id.", type="object"
)


class EntryBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An order of the same account and symbol that the checked one exits."""

    side: Side
    quantity: Annotated[msgspec.Raw, NUMBER]


class CheckBody(OrderBody, forbid_unknown_fields=True, kw_only=True):
    """The order to check."""

    order_id: Annotated[str | UnsetType | None, described("With an order_id the check reserves. Without one it is a dry check.")] = UNSET
    entry: Annotated[msgspec.Raw | UnsetType, ENTRY] = UNSET


CHECK_SCHEMA: Final = schema_of(CheckBody)
_DECODER: Final = msgspec.json.Decoder(CheckBody)
_ENTRY: Final = msgspec.json.Decoder(EntryBody)


def read_order(body: bytes, rules: OrderRules, own: str, now_ns: int) -> tuple[Terms, Terms | None]:
    """Parse the order to check, by default of the account `own`, and the entry that counts as traded.

    Refusal 400 when they are malformed, 422 when a submit would refuse the order now.
    """
    read = read_struct(_DECODER, body)
    terms = terms_of(read, rules, own, now_ns, identifier(read.order_id or None, "order_id") or "")
    return terms, None if isinstance(read.entry, UnsetType) or bytes(read.entry) == b"null" else _entry(bytes(read.entry), terms)


def _entry(body: bytes, terms: Terms) -> Terms:
    """Return the entry. Refusal 400."""
    read = read_struct(_ENTRY, body)
    if terms.order_id:
        raise malformed("an entry is only of a dry check: leave out the order_id", "/entry")
    quantity = exact_number(read.quantity, "entry/quantity")
    if quantity is None or quantity <= 0:
        raise malformed("entry/quantity must be above zero", "/entry/quantity")
    return msgspec.structs.replace(terms, side=read.side, quantity=quantity)
