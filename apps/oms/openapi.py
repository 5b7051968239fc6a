"""OpenAPI documents of `POST /orders`, which a raw handler serves (a test compares them with SubmitBody), and of other responses."""

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

AccountPath = Annotated[str, Path(pattern=_ID_PATTERN, description="The account.")]
AccountQuery = Annotated[str, Query(pattern=_ID_PATTERN, description="Only orders of this account.")]
SymbolQuery = Annotated[str, Query(pattern=_SYMBOL_PATTERN, description="Only this instrument.")]
ClientOrderIdQuery = Annotated[str, Query(pattern=_ID_PATTERN, description="Only orders with this client_order_id.")]

StatusQuery = Annotated[
    str,
    Query(
        pattern=f"^({'|'.join(STATUSES)})$",
        description="Only orders in this state; `open` matches all non-terminal states, `closed` all terminal ones.",
    ),
]
_FORMS: Final = f"Times are {MOMENT_FORMS}."
SinceQuery = Annotated[str, Query(max_length=ECHO_MAX, description=f"Start of the time range, inclusive. {_FORMS}")]
UntilQuery = Annotated[str, Query(max_length=ECHO_MAX, description=f"End of the time range, exclusive. {_FORMS}")]
LimitQuery = Annotated[int, Query(ge=1, le=LIST_MAX, description="Maximum number of rows on a page.")]
FillsCursorQuery = Annotated[str, Query(pattern="^[A-Za-z0-9_-]{1,1024}$", description="`next` of the previous page.")]
CursorQuery = Annotated[str, Query(pattern="^[0-9]{1,19}-[0-9a-f]{32}$", description="`next` of the previous page.")]

_EXACTLY: Final = {
    "description": "A JSON number or a decimal string, read exactly: at most 18 digits before the decimal point and 12 after it, no sign."
}
_NUMBERS: Final = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{WRITTEN.pattern}$"}]
_PRICES: Final = [{"type": "number"}, {"type": "string", "pattern": f"^-?{WRITTEN.pattern}$"}, {"type": "null"}]
_PRICE: Final = {
    "oneOf": _PRICES,
    "description": "A JSON number or a decimal string, read exactly: at most 18 digits before the decimal point and 12 after it. "
    "Zero or negative only if the instrument has negative_prices.",
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
        "client_order_id": {
            **_ID,
            "description": "Idempotency key, never reused. A repeated request returns the first result. Generated if absent.",
        },
        "type": {**_one_of(OrderType), "description": "Defaults to limit if a price is given, else market."},
        "price": _PRICE,
        "stop_price": _PRICE,
        "time_in_force": {**_one_of(TimeInForce), "description": "Defaults to gtc."},
        "expire_at": {"type": ["string", "null"], "format": "date-time", "description": "Required with gtd, not allowed otherwise."},
        "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
        "post_only": {"type": ["boolean", "null"], "description": "The venue rejects the order if it would trade at once."},
        "reduce_only": {
            "type": ["boolean", "null"],
            "description": "Only reduces or closes a position. The order is refused, or later cut or cancelled, if it could do more. "
            "No size limit and no minimum notional apply.",
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
        "reason": {"type": "string", "description": "Stable code of a rejection."},
        "detail": {"type": "object", "description": "`found`, `limit` and `unit` as text."},
        "seq": {"type": "integer", "description": "Journal sequence of the order's first commit."},
        "replayed": {"const": True, "description": "This client_order_id is known; this is its first result."},
    },
}

_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Alternative to client_order_id; if both are given, they must be equal.",
    "schema": {"type": "string", "pattern": _ID_PATTERN},
}

NOT_FOUND: Final[Documented] = {404: problem_doc("`order_not_found`")}
NOT_REACHED: Final[Documented] = {
    422: problem_doc("`seq_not_reached`: the journal has not reached this sequence; `as_of_seq` is its current one")
}
VERIFY_DOC: Final[Documented] = {
    200: {"description": "The report: `ok`, `first_difference` and `checks`."},
    403: problem_doc("`admin_disabled`: not enabled in the configuration"),
    409: problem_doc("`verify_running`: only one verification runs at a time"),
    503: problem_doc("`verify_timeout`, `verify_unavailable`: no report was produced"),
}
UNAVAILABLE: Final[Documented] = {503: problem_doc("The journal or the store that is read is temporarily unavailable, with Retry-After")}
DRAWING_DOC: Final[Documented] = {200: {"content": {"text/plain": {}, "image/svg+xml": {}}}}
CANCEL_ALL_DOC: Final[Documented] = {
    200: {"description": "The number of orders cancelled at once, and the number that wait for their venue."},
    422: problem_doc("`unknown_symbol`: the symbol is neither in the catalogue nor in an open order of the account"),
    **UNAVAILABLE,
}
CANCEL_DOC: Final[Documented] = {
    200: {"description": "The order, cancelled."},
    202: {"description": "The order, `pending_cancel`: the venue has not answered yet."},
    409: problem_doc("`illegal_transition`, with the `state` that forbids it"),
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
        200: {"description": "The order, with the new terms."},
        202: {"description": "The order, `pending_replace`: the venue has not confirmed the replace yet, or not even the order itself."},
        400: problem_doc("`malformed`, with a pointer to the field"),
        409: problem_doc("`illegal_transition`, with the `state` and the `reason` that forbid it"),
        422: problem_doc("The new terms cannot trade, or risk denied them"),
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
        "route_id": {**_ID, "description": "The route; required if it is ambiguous."},
        "venue_order_id": {**_ID, "description": "With outcome working: the venue's order id."},
        "exec_id": {**_ID, "description": "With outcome filled: the venue's trade id."},
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
        409: problem_doc("`illegal_transition`: the order is not in doubt, or `route_id` is required"),
        422: problem_doc("`quantity_too_large`: more than the order's leaves quantity"),
        **NOT_FOUND,
        **UNAVAILABLE,
    },
}

SUBMIT_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"parameters": [_KEY], "requestBody": {"required": True, "content": {"application/json": {"schema": SUBMIT_SCHEMA}}}},
    "responses": {
        200: {
            "description": "Journaled: `submitted`, or `rejected` by risk. `replayed` marks the first result of a known client_order_id.",
            "content": {"application/json": {"schema": ANSWER_SCHEMA}},
        },
        400: problem_doc("`malformed`, with a pointer to the field"),
        413: problem_doc("`body_too_large`"),
        422: problem_doc("Well-formed but not tradable, or `client_order_id_reused`"),
        429: problem_doc("`overloaded`, with Retry-After"),
        503: problem_doc("`outcome`: `not_accepted` or `unknown`; retry with the same client_order_id"),
    },
}
