"""OpenAPI documents of `POST /orders`, which a raw handler serves (a test compares them with SubmitBody), and of other responses."""

from typing import Annotated, Any, Final

from fastapi import Path, Query

from apps.http.problem import ECHO_MAX, problem_doc
from apps.http.query import MOMENT_FORMS
from apps.http.schema import CLIENT_ORDER_ID_PATTERN, ID_PATTERN, schema_of
from apps.oms.replace import ReplaceBody
from apps.oms.submit_body import SubmitBody
from domain.order.index import STATUSES
from domain.values import SYMBOL

Documented = dict[int | str, dict[str, Any]]

LIST_MAX: Final = 1000
_SYMBOL_PATTERN: Final = f"^{SYMBOL.pattern}$"

AccountPath = Annotated[str, Path(pattern=ID_PATTERN, description="The account.")]
AccountQuery = Annotated[str, Query(pattern=ID_PATTERN, description="Only orders of this account.")]
SymbolQuery = Annotated[str, Query(pattern=_SYMBOL_PATTERN, description="Only this instrument.")]
ClientOrderIdQuery = Annotated[str, Query(pattern=CLIENT_ORDER_ID_PATTERN, description="Only orders with this client_order_id.")]
GroupIdQuery = Annotated[str, Query(pattern="^[0-9a-f]{32}$", description="Only orders of this list.")]

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

SUBMIT_SCHEMA: Final[dict[str, Any]] = schema_of(
    SubmitBody, example={"symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 45000, "type": "limit"}
)

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
    "schema": {"type": "string", "pattern": CLIENT_ORDER_ID_PATTERN},
}

EVENT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One event; the fields of its own type come in addition.",
    "required": ["seq", "at", "type", "status", "description"],
    "properties": {
        "seq": {"type": "integer", "description": "Journal sequence of its commit."},
        "at": {"type": "string", "format": "date-time"},
        "type": {"type": "string"},
        "status": {"type": "string", "description": "The order's state after it."},
        "description": {"type": "string", "description": "The event as a sentence, with the reason."},
        "by": {"type": "string", "description": "Key id of the client that asked; `local`: a program of this machine, without a key."},
        "owner": {"type": "string", "description": "Owner of that key, if known."},
    },
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
DRAWING_DOC: Final[Documented] = {200: {"content": {"text/plain": {}, "image/svg+xml": {}, "application/json": {}}}}
TIMELINE_DOC: Final[Documented] = {
    200: {
        "description": "The events, in the order of the journal.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["order_id", "events"],
                    "properties": {
                        "order_id": {"type": "string"},
                        "events": {"type": "array", "items": EVENT_SCHEMA},
                    },
                }
            }
        },
    },
    **NOT_FOUND,
    **UNAVAILABLE,
}
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

REPLACE_SCHEMA: Final[dict[str, Any]] = schema_of(ReplaceBody, example={"quantity": 0.2, "price": 45100})
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
