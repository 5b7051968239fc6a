"""How a refusal looks on the wire: RFC 9457 problem details, with a stable `code`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

CONTENT_TYPE: Final = b"application/problem+json"

ECHO_MAX: Final = 64
"""Characters of a request's own text that a refusal repeats."""
DETAIL_MAX: Final = 200

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable: what programs read."},
        "detail": {"type": "string", "description": "For people."},
        "pointer": {"type": "string", "description": "The field that is meant, as a JSON pointer; `?name` for a parameter of the query."},
        "outcome": {"enum": ["not_accepted", "unknown"], "description": "Of a 503: whether what was asked may have happened all the same."},
    },
}


def problem_doc(description: str) -> dict[str, Any]:
    """What OpenAPI says of an answer that is a problem."""
    return {"description": description, "content": {CONTENT_TYPE.decode(): {"schema": PROBLEM_SCHEMA}}}


class Refusal(Exception):
    """Raised anywhere in a handler, answered as problem details. `extra` fields (pointer, outcome, state ...) go beside the detail."""

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
    """`type` is about:blank, so `title` is the status's own phrase; programs read `code`."""
    fields = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    return msgspec.json.encode({**fields, **extra})


def malformed(detail: str, pointer: str = "") -> Refusal:
    """400 of a body, with a JSON pointer to the field where there is one."""
    return Refusal(400, "malformed", detail, pointer=pointer) if pointer else Refusal(400, "malformed", detail)
