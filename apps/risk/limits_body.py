"""Parse the body of `PUT /risk/limits/{account}` into limits, or report the first error. Nothing is changed here."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from apps.connections.controls import SIGNED, reason_of, token_of, who_of
from apps.http.body import Number, read_object
from apps.http.caller import Caller
from apps.http.problem import Refusal, malformed
from domain.instruments import Instrument
from domain.risk.controls import LimitSet
from domain.risk.overrides import PER_ACCOUNT
from domain.values import IDENTIFIER, NUMBER_RULE, exact

FIELD_OF: Final = {
    "max_order_size_usd": "order_notional_max",
    "max_order_size_shares": "order_quantity_max",
    "max_position_size_usd": "position_notional_max",
    "max_concentration_pct": "concentration_max",
    "max_portfolio_var_usd": "var_max",
}
"""Names in the API and the configuration, and the internal names."""
PERCENT_MAX: Final = Decimal(1000)


FIELDS: Final = ("version", "symbol", *SIGNED, "token", "short_allowed", *FIELD_OF)
_LIMIT_DOC: Final = {
    "type": ["number", "string", "null"],
    "description": "a JSON number or decimal string, not below 0; absent or null: the default limit applies",
}
DOCUMENTED: Final[Mapping[str, Mapping[str, object]]] = {
    "version": {"type": "integer", "minimum": 1, "description": "the version returned by GET /risk/limits that the change is based on"},
    "symbol": {"type": ["string", "null"], "description": "limits for this symbol of the account only"},
    "short_allowed": {"type": ["boolean", "null"]},
    "token": {"type": ["string", "null"], "description": "token from the 202 response to the same change by another person; confirms it"},
    **dict.fromkeys(FIELD_OF, _LIMIT_DOC),
}


class AskedLimits(NamedTuple):
    version: int
    symbol: str
    who: str
    reason: str
    limits: LimitSet
    token: str | None = None


def read_limits(body: bytes, account: str, instruments: Mapping[str, Instrument], caller: Caller) -> AskedLimits:
    """Parse all limits that differ from the configuration; an absent or null one keeps the default. Refusal 400, 403, 422."""
    fields = read_object(body, FIELDS)
    if not IDENTIFIER.fullmatch(account):
        raise malformed("the account must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
    symbol = fields.get("symbol")
    if symbol is not None and (type(symbol) is not str or symbol not in instruments):
        raise Refusal(422, "unknown_symbol", "unknown instrument", pointer="/symbol")
    numbers = {inside: value for name, inside in FIELD_OF.items() if (value := _limit(fields, name)) is not None}
    found = LimitSet(short_allowed=_truth(fields, "short_allowed"), **numbers)
    if symbol is not None and (wide := next((name for name in PER_ACCOUNT if getattr(found, name) is not None), None)):
        name = next((outside for outside, inside in FIELD_OF.items() if inside == wide), wide)
        raise Refusal(422, "limit_not_per_symbol", f"{name} applies to the whole account, not to a symbol", pointer=f"/{name}")
    return AskedLimits(_version(fields), symbol or "", who_of(fields, caller), reason_of(fields), found, token_of(fields))


def _version(fields: Mapping[str, object]) -> int:
    """Read the version that the change is based on, so that concurrent changes of the same limits are detected."""
    text = fields.get("version")
    if not isinstance(text, Number) or not text.isdecimal() or len(text) > 18:
        raise malformed("version is required: the whole number returned by GET /risk/limits", "/version")
    return int(text)


def _limit(fields: Mapping[str, object], name: str) -> Decimal | None:
    text = fields.get(name)
    if text is None:
        return None
    number = exact(text) if isinstance(text, str) else None
    if number is None:
        raise malformed(f"{name} must be {NUMBER_RULE}", f"/{name}")
    if not name.endswith("_pct"):
        return number
    if number > PERCENT_MAX:
        raise Refusal(
            422,
            "limit_out_of_range",
            f"{name} must be at most {PERCENT_MAX}",
            found=str(number),
            limit=str(PERCENT_MAX),
            pointer=f"/{name}",
        )
    return number.scaleb(-2)


def _truth(fields: Mapping[str, object], name: str) -> bool | None:
    found = fields.get(name)
    if found is not None and type(found) is not bool:
        raise malformed(f"{name} must be true or false", f"/{name}")
    return found
