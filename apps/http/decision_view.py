"""The record of a decision in a response: each check with its headroom, each price with its age."""

from typing import Any

from domain.risk.decision_record import read


def record_view(line: str) -> dict[str, Any]:
    """Return `checks`, and `prices` and `closes_to` if the record has them."""
    record = read(line)
    checks = [{"name": c.name, "found": c.found, "limit": c.limit, "headroom": c.headroom} for c in record.checks]
    prices = [{"name": p.name, "price": p.price, "age_ms": p.age_ms} for p in record.prices]
    view: dict[str, Any] = {"checks": checks}
    if prices:
        view["prices"] = prices
    if record.closes_to:
        view["closes_to"] = record.closes_to
    return view
