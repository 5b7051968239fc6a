"""How a refusal looks on the wire: RFC 9457 problem details, with a stable `code`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

CONTENT_TYPE: Final = b"application/problem+json"


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
