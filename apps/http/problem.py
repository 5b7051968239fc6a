"""Problem details (RFC 9457) with a stable `code`: the form of a refusal on the wire."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from domain.instruments import Denial

CONTENT_TYPE: Final = b"application/problem+json"

ECHO_MAX: Final = 64
"""Characters of a request's own text that a refusal repeats."""
DETAIL_MAX: Final = 200
DISPLAY_QUANTITY: Final = "display_quantity"
"""The field, and how the codes of its refusals begin."""

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable code for programs."},
        "detail": {"type": "string", "description": "Explanation for people; may change."},
        "pointer": {"type": "string", "description": "The field concerned, as a JSON pointer; `?name` for a query parameter."},
        "outcome": {
            "enum": ["not_accepted", "unknown"],
            "description": "Of a 503: whether the request may have taken effect nevertheless.",
        },
    },
}


def problem_doc(description: str) -> dict[str, Any]:
    """Return the OpenAPI description of a response with problem details."""
    return {"description": description, "content": {CONTENT_TYPE.decode(): {"schema": PROBLEM_SCHEMA}}}


class Refusal(Exception):
    """A refusal raised in a handler and sent as problem details. `extra` fields (pointer, outcome, state ...) are added to them."""

    def __init__(self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self) -> bytes:
        return problem_body(self.status, self.code, self.detail, **self.extra)


def problem_body(status: int, code: str, detail: str, **extra: object) -> bytes:
    """Encode problem details. `type` is about:blank, so `title` is the phrase of the status; programs read `code`."""
    fields = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    return msgspec.json.encode({**fields, **extra})


def not_offered(method: str, offered: Sequence[str]) -> Refusal:
    """Return 404 for an address without routes, or 405 for one at which these other methods are offered."""
    if not offered:
        return Refusal(404, "not_found", "no resource at this address; /docs lists all")
    return Refusal(405, "method_not_allowed", f"{method} is not allowed at this address", headers={"Allow": ", ".join(offered)})


def malformed(detail: str, pointer: str = "") -> Refusal:
    """Return Refusal 400 for a body, with a JSON pointer to the field if one is known."""
    return Refusal(400, "malformed", detail, pointer=pointer) if pointer else Refusal(400, "malformed", detail)


def untradable(denial: Denial) -> Refusal:
    """Return Refusal 422 with the number found and the limit that it broke; a display quantity has a pointer to it."""
    found = f": found {denial.found}" if denial.found is not None else ""
    limit = f", limit {denial.limit}" if denial.limit is not None else ""
    extra = {name: value for name in ("found", "limit", "unit") if (value := getattr(denial, name)) is not None}
    if denial.code.startswith(DISPLAY_QUANTITY):
        extra["pointer"] = f"/{DISPLAY_QUANTITY}"
    return Refusal(422, denial.code, denial.code.replace("_", " ") + found + limit, **extra)
