"""Parse the body of `POST /check` into terms, or report the first error."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from apps.http.body import identifier, read_struct
from apps.http.order_body import OrderBody, terms_of
from apps.http.schema import described, schema_of
from domain.instruments import Instrument
from domain.order.commands import Terms


class CheckBody(OrderBody, forbid_unknown_fields=True, kw_only=True):
    """The order to check."""

    order_id: Annotated[str | UnsetType | None, described("With an order_id the check reserves. Without one it is a dry check.")] = UNSET


CHECK_SCHEMA: Final = schema_of(CheckBody)
_DECODER: Final = msgspec.json.Decoder(CheckBody)


def read_order(body: bytes, instruments: Mapping[str, Instrument], own: str) -> Terms:
    """Parse the order to check, by default of the account `own`. Refusal 400 when it is malformed, 422 when it cannot trade."""
    read = read_struct(_DECODER, body)
    return terms_of(read, instruments, own, order_id=identifier(read.order_id or None, "order_id") or "")
