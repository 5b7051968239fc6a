"""Ids of the facade: UUIDs with dashes. They are derived, so that every process gives a thing the same id."""

import re
from typing import Final

from domain.order.generations import generation_id
from domain.values import derived_id

_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DASHED: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def dashed(order_id: str) -> str:
    """Return 32 hexadecimal digits as a UUID is written."""
    return f"{order_id[:8]}-{order_id[8:12]}-{order_id[12:16]}-{order_id[16:20]}-{order_id[20:]}"


def undashed(text: str) -> str | None:
    """Return the 32 digits of an id, written with or without dashes and in any case; None if it is no id."""
    text = text.lower()
    if _DASHED.fullmatch(text):
        text = text.replace("-", "")
    return text if _ID.fullmatch(text) else None


def shown_id(order_id: str, generation: int = 0) -> str:
    """Return the id by which a client knows one generation of an order's terms: the order's own for the first, numbered 0."""
    return dashed(generation_id(order_id, generation) if generation else order_id)


def account_id(account: str) -> str:
    return dashed(derived_id("account", account))


def asset_id(symbol: str) -> str:
    return dashed(derived_id("asset", symbol))


def execution_id(venue: str, exec_id: str) -> str:
    """Return the id of a trade."""
    return dashed(derived_id("execution", venue, exec_id))
