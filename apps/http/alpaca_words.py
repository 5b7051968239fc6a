"""Refusals in the words of Alpaca's API: `{"code": int, "message": str}`. Clients decide by these numbers and texts what they do next."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from apps.http.problem import Refusal

UNAUTHORIZED: Final = 40110000
FORBIDDEN: Final = 40310000
NOT_FOUND: Final = 40410000
MALFORMED: Final = 40010001
UNPROCESSABLE: Final = 42210000
TOO_MANY: Final = 42910000
UNAVAILABLE: Final = 50310000

NOT_AUTHORIZED: Final = "request is not authorized"
FORBIDDEN_TEXT: Final = "forbidden."
RATE_LIMIT: Final = "rate limit exceeded"
NOT_UNIQUE: Final = "client_order_id must be unique"
RETRY_AFTER: Final = {"Retry-After": "1"}

_DROPPED: Final = ("pointer", "within", "allow")
"""Fields of problem details that have no meaning here: the message names the field."""


class AlpacaRefusal(Exception):
    """A refusal as Alpaca words it. `extra` fields stand beside code and message, which clients ignore."""

    def __init__(self, status: int, code: int, message: str, *, headers: Mapping[str, str] | None = None, **extra: object) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self) -> bytes:
        return msgspec.json.encode({"code": self.code, "message": self.message, **self.extra})


def malformed_field(field: str, detail: str) -> AlpacaRefusal:
    """Return the refusal of a field that cannot be read; the message begins with its name."""
    return AlpacaRefusal(422, MALFORMED, detail if detail.startswith(field) else f"{field}: {detail}")


def not_served(method: str, path: str) -> AlpacaRefusal:
    return AlpacaRefusal(404, NOT_FOUND, f"{method} {path} is not served here")


def in_alpaca_words(refusal: Refusal) -> AlpacaRefusal:
    """Return one of our refusals in Alpaca's words. Whatever it is, no status is 500 or 504: a client would send an order again."""
    if (written := _BY_CODE.get(refusal.code)) is not None:
        return written(refusal)
    if refusal.status >= 500:
        return _unavailable(refusal)
    status = 422 if refusal.status == 400 else refusal.status
    return AlpacaRefusal(status, _NUMBERS.get(status, UNPROCESSABLE), refusal.detail, headers=refusal.headers, **_extra(refusal))


_NUMBERS: Final = {401: UNAUTHORIZED, 403: FORBIDDEN, 404: NOT_FOUND, 422: UNPROCESSABLE, 429: TOO_MANY}


def _extra(refusal: Refusal) -> dict[str, Any]:
    own = {name: value for name, value in refusal.extra.items() if name not in _DROPPED}
    return {"reason": refusal.code, **own, **_order_id(refusal)}


def _order_id(refusal: Refusal) -> dict[str, Any]:
    """Return the id of the order that a refusal names, written as clients know it: a UUID with dashes."""
    return {"order_id": str(UUID(str(refusal.extra["order_id"])))} if "order_id" in refusal.extra else {}


def _unauthorized(refusal: Refusal) -> AlpacaRefusal:
    return AlpacaRefusal(401, UNAUTHORIZED, NOT_AUTHORIZED)


def _forbidden(refusal: Refusal) -> AlpacaRefusal:
    rate = {name: value for name, value in refusal.headers.items() if name.startswith("x-ratelimit-")}
    needs: dict[str, Any] = {"needs": refusal.extra["needs"]} if "needs" in refusal.extra else {}
    return AlpacaRefusal(403, FORBIDDEN, FORBIDDEN_TEXT, headers=rate, **needs)


def _malformed(refusal: Refusal) -> AlpacaRefusal:
    field = str(refusal.extra.get("pointer", "")).strip("/?")
    return malformed_field(field, refusal.detail) if field else AlpacaRefusal(422, MALFORMED, refusal.detail)


def _too_many(refusal: Refusal) -> AlpacaRefusal:
    return AlpacaRefusal(429, TOO_MANY, RATE_LIMIT, headers={**RETRY_AFTER, **refusal.headers})


def _not_unique(refusal: Refusal) -> AlpacaRefusal:
    return AlpacaRefusal(422, MALFORMED, NOT_UNIQUE, **_order_id(refusal))


def _follows(refusal: Refusal) -> AlpacaRefusal:
    """Word it as what cannot be done to this order: clients take a 409 for trouble of the network."""
    return AlpacaRefusal(422, UNPROCESSABLE, "qty of a leg follows the other orders of its order_class", **_extra(refusal))


def _unavailable(refusal: Refusal) -> AlpacaRefusal:
    outcome = refusal.extra.get("outcome", "unknown")
    said = (
        "nothing was accepted" if outcome == "not_accepted" else "it may have happened: ask orders:by_client_order_id before you repeat it"
    )
    message = f"{refusal.detail}; {said}" if "outcome" in refusal.extra else refusal.detail
    return AlpacaRefusal(503, UNAVAILABLE, message, headers={**RETRY_AFTER, **refusal.headers}, **_extra(refusal))


def _closed_account(refusal: Refusal) -> AlpacaRefusal:
    return AlpacaRefusal(403, FORBIDDEN, "new orders are rejected by user request: the account is closed", reason=refusal.code)


_BY_CODE: Final[Mapping[str, Callable[[Refusal], AlpacaRefusal]]] = {
    "unauthorized": _unauthorized,
    "scope_missing": _forbidden,
    "account_not_yours": _forbidden,
    "malformed": _malformed,
    "rate_limited": _too_many,
    "overloaded": _too_many,
    "client_order_id_reused": _not_unique,
    "client_list_id_reused": _not_unique,
    "not_a_list": _malformed,
    "quantity_follows_entry": _follows,
    "account_closed": _closed_account,
}
