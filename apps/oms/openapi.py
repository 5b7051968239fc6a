"""What OpenAPI says of `POST /orders`, which a raw handler serves (a test holds it equal to SubmitBody), and of others' answers."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import Path, Query

from apps.http.problem import ECHO_MAX, problem_doc
from apps.http.query import MOMENT_FORMS
from domain.order.commands import Outcome
from domain.order.index import STATUSES
from domain.values import IDENTIFIER, SYMBOL, WRITTEN, OrderType, Side, TimeInForce

Documented = dict[int | str, dict[str, Any]]

LIST_MAX: Final = 1000
_ID_PATTERN: Final = f"^{IDENTIFIER.pattern}$"
_SYMBOL_PATTERN: Final = f"^{SYMBOL.pattern}$"

AccountPath = Annotated[str, Path(pattern=_ID_PATTERN, description="Whose.")]
AccountQuery = Annotated[str, Query(pattern=_ID_PATTERN, description="Of this account.")]
SymbolQuery = Annotated[str, Query(pattern=_SYMBOL_PATTERN, description="In this instrument.")]
ClientOrderIdQuery = Annotated[str, Query(pattern=_ID_PATTERN, description="With this client_order_id.")]

StatusQuery = Annotated[
    str,
    Query(
        pattern=f"^({'|'.join(STATUSES)})$",
        description="In this state; `open` and `closed` are all of those before and after the end of an order's life.",
    ),
]
_FORMS: Final = f"Times are {MOMENT_FORMS}."
SinceQuery = Annotated[str, Query(max_length=ECHO_MAX, description=f"Not before this moment, which is included. {_FORMS}")]
UntilQuery = Annotated[str, Query(max_length=ECHO_MAX, description=f"Before this moment, which is not included. {_FORMS}")]
LimitQuery = Annotated[int, Query(ge=1, le=LIST_MAX, description="Rows on a page, at most.")]
FillsCursorQuery = Annotated[str, Query(pattern="^[A-Za-z0-9_-]{1,1024}$", description="`next` of the page before.")]
CursorQuery = Annotated[str, Query(pattern="^[0-9]{1,19}-[0-9a-f]{32}$", description="`next` of the page before.")]

_EXACTLY: Final = {
    "description": "A JSON number or a decimal string, read exactly: at most 18 digits before the point and 12 behind it, no sign."
}
_NUMBERS: Final = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{WRITTEN.pattern}$"}]
_PRICES: Final = [{"type": "number"}, {"type": "string", "pattern": f"^-?{WRITTEN.pattern}$"}, {"type": "null"}]
_PRICE: Final = {
    "oneOf": _PRICES,
    "description": "A JSON number or a decimal string, read exactly: at most 18 digits before the point and 12 behind it. "
    "Zero or a minus only where the instrument has negative_prices.",
}
_NUMBER: Final = {"oneOf": _NUMBERS, **_EXACTLY}
_OPTIONAL_NUMBER: Final = {"oneOf": [*_NUMBERS, {"type": "null"}], **_EXACTLY}
_ID: Final = {"type": ["string", "null"], "pattern": _ID_PATTERN}


def _one_of(words: Iterable[StrEnum]) -> dict[str, Any]:
    return {"type": ["string", "null"], "enum": [*(str(word) for word in words), None]}


SUBMIT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["symbol", "side", "quantity"],
    "properties": {
        "symbol": {"type": "string"},
        "side": {"type": "string", "enum": [str(side) for side in Side]},
        "quantity": _NUMBER,
        "account": _ID,
        "client_order_id": {**_ID, "description": "Names this order for ever: asked again, it is answered again. Made up when absent."},
        "type": {**_one_of(OrderType), "description": "limit when a price is given, else market."},
        "price": _PRICE,
        "stop_price": _PRICE,
        "time_in_force": {**_one_of(TimeInForce), "description": "gtc when absent."},
        "expire_at": {"type": ["string", "null"], "format": "date-time", "description": "With gtd, and only then."},
        "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
        "post_only": {"type": ["boolean", "null"], "description": "Refused by the venue where it would trade at once."},
        "reduce_only": {
            "type": ["boolean", "null"],
            "description": "Never does more than close a position: refused, later cut or cancelled where it could. "
            "No size limit, no least notional.",
        },
    },
    "example": {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 45000, "type": "limit"},
}

ANSWER_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["status", "order_id", "client_order_id", "seq"],
    "properties": {
        "status": {"enum": ["submitted", "rejected"]},
        "order_id": {"type": "string"},
        "client_order_id": {"type": "string"},
        "reason": {"type": "string", "description": "Of a rejection: its stable code."},
        "detail": {"type": "object", "description": "found, limit and unit as text."},
        "seq": {"type": "integer", "description": "Where in the journal the order begins."},
        "replayed": {"const": True, "description": "This client_order_id was answered before; this is that answer."},
    },
}

_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same as client_order_id.",
    "schema": {"type": "string", "pattern": _ID_PATTERN},
}

NOT_FOUND: Final[Documented] = {404: problem_doc("`order_not_found`")}
NOT_REACHED: Final[Documented] = {422: problem_doc("`seq_not_reached`: the journal is not there yet; `as_of_seq` says where it stands")}
VERIFY_DOC: Final[Documented] = {
    200: {"description": "The report: `ok`, `first_difference`, and each of the `checks`."},
    403: problem_doc("`admin_disabled`: the configuration does not allow it"),
    409: problem_doc("`verify_running`: one at a time"),
    503: problem_doc("`verify_timeout`, `verify_unavailable`: no report could be made"),
}
UNAVAILABLE: Final[Documented] = {503: problem_doc("The journal, or what is read, is away for now; Retry-After")}
DRAWING_DOC: Final[Documented] = {200: {"content": {"text/plain": {}, "image/svg+xml": {}}}}
CANCEL_ALL_DOC: Final[Documented] = {
    200: {"description": "How many were cancelled at once, and how many wait for their venue."},
    422: problem_doc("`unknown_symbol`: neither the catalogue nor an open order of the account has it"),
    **UNAVAILABLE,
}
CANCEL_DOC: Final[Documented] = {
    200: {"description": "The order, cancelled."},
    202: {"description": "The order, `pending_cancel`: the venue must answer first."},
    409: problem_doc("`illegal_transition`, with the `state` that does not allow it"),
    **NOT_FOUND,
    **UNAVAILABLE,
}

REPLACE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"quantity": _OPTIONAL_NUMBER, "price": _PRICE, "stop_price": _PRICE},
    "example": {"quantity": 0.2, "price": 45100},
}
REPLACE_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": REPLACE_SCHEMA}}}},
    "responses": {
        200: {"description": "The order, with these terms."},
        202: {"description": "The order, `pending_replace`: the venue must answer first, for the order itself too if it has not yet."},
        400: problem_doc("`malformed`, with a pointer to the field"),
        409: problem_doc("`illegal_transition`, with the `state` and the `reason` that do not allow it"),
        422: problem_doc("The new terms cannot trade, or risk would not have them"),
        **NOT_FOUND,
        **UNAVAILABLE,
    },
}

_SETTLE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["outcome", "who", "reason"],
    "properties": {
        "outcome": {"enum": [str(outcome) for outcome in Outcome]},
        "who": {"type": "string", "minLength": 1, "maxLength": 200},
        "reason": {"type": "string", "minLength": 1, "maxLength": 200},
        "route_id": {**_ID, "description": "Which leg, where several may be meant."},
        "venue_order_id": {**_ID, "description": "With working: the venue's own number."},
        "exec_id": {**_ID, "description": "With filled: the venue's id of the trade."},
        "quantity": _OPTIONAL_NUMBER,
        "price": _PRICE,
        "fee": _OPTIONAL_NUMBER,
    },
    "example": {"outcome": "never_arrived", "who": "ann", "reason": "the venue's desk has no such order"},
}
SETTLE_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": _SETTLE_SCHEMA}}}},
    "responses": {
        200: {"description": "The order, settled."},
        400: problem_doc("`malformed`, with a pointer to the field"),
        409: problem_doc("`illegal_transition`: it is not in doubt, or its leg must be named"),
        422: problem_doc("`quantity_too_large`: more than the order has left"),
        **NOT_FOUND,
        **UNAVAILABLE,
    },
}

SUBMIT_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"parameters": [_KEY], "requestBody": {"required": True, "content": {"application/json": {"schema": SUBMIT_SCHEMA}}}},
    "responses": {
        200: {
            "description": "Journaled: `submitted`, or `rejected` by risk. `replayed` when this client_order_id was answered before.",
            "content": {"application/json": {"schema": ANSWER_SCHEMA}},
        },
        400: problem_doc("`malformed`, with a pointer to the field"),
        413: problem_doc("`body_too_large`"),
        422: problem_doc("Well formed but not tradable, or `client_order_id_reused`"),
        429: problem_doc("`overloaded`, with Retry-After"),
        503: problem_doc("`outcome`: `not_accepted` or `unknown`; ask again with the same client_order_id"),
    },
}
