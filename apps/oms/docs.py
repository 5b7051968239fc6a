"""What OpenAPI says of `POST /orders`, which a raw handler serves. A test holds it equal to SubmitBody."""

from typing import Any, Final

_NUMBER: Final = {
    "oneOf": [{"type": "number"}, {"type": "string", "pattern": r"^(0|[1-9]\d{0,17})(\.\d{1,12})?$"}],
    "description": "A JSON number or a decimal string, read exactly.",
}
_OPTIONAL_NUMBER: Final = {"oneOf": [*_NUMBER["oneOf"], {"type": "null"}], "description": _NUMBER["description"]}
_ID: Final = {"type": ["string", "null"], "pattern": r"^[A-Za-z0-9_-]{1,64}$"}

SUBMIT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["symbol", "side", "quantity"],
    "properties": {
        "symbol": {"type": "string"},
        "side": {"type": "string", "enum": ["buy", "sell"]},
        "quantity": _NUMBER,
        "account": _ID,
        "client_order_id": _ID,
        "type": {"type": ["string", "null"], "enum": ["market", "limit", "stop", "stop_limit", None]},
        "price": _OPTIONAL_NUMBER,
        "stop_price": _OPTIONAL_NUMBER,
        "time_in_force": {"type": ["string", "null"], "enum": ["gtc", "ioc", "fok", "gtd", None]},
        "expire_at": {"type": ["string", "null"], "format": "date-time"},
        "priority": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
    },
    "example": {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 45000, "type": "limit"},
}

_PROBLEM: Final = {"content": {"application/problem+json": {"schema": {"type": "object"}}}}

SUBMIT_DOC: Final[dict[str, Any]] = {
    "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": SUBMIT_SCHEMA}}}},
    "responses": {
        200: {
            "description": "Journaled: `submitted`, or `rejected` by risk. `replayed` when this client_order_id was answered before.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        400: {"description": "`malformed`, with a pointer to the field", **_PROBLEM},
        413: {"description": "`body_too_large`", **_PROBLEM},
        422: {"description": "Well formed but not tradable, or `client_order_id_reused`", **_PROBLEM},
        429: {"description": "`overloaded`, with Retry-After", **_PROBLEM},
        503: {"description": "`outcome`: `not_accepted` or `unknown`; ask again with the same client_order_id", **_PROBLEM},
    },
}
