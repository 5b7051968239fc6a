"""Parents for tests: as the journal would have them after their submit."""

from decimal import Decimal
from typing import Any

import msgspec

from domain.groups.schedule import SECOND
from domain.order import algo as a
from domain.order.legs import Candidate
from domain.order.parent_fold import evolve

START = 1_800_000_000 * SECOND
ALGO_ID = "parent-1"


def parent(
    *,
    quantity: Decimal | int = 10,
    seconds: int | None = None,
    side: str = "buy",
    strategy: str = "twap",
    limit_price: Decimal | None = None,
    arrival: Candidate | None = None,
    **params: Any,
) -> a.Parent:
    """Return a parent that starts at START and ends after `seconds`."""
    return evolve(None, submitted(quantity, seconds, side, strategy, limit_price, arrival, **params))


def submitted(
    quantity: Decimal | int = 10,
    seconds: int | None = None,
    side: str = "buy",
    strategy: str = "twap",
    limit_price: Decimal | None = None,
    arrival: Candidate | None = None,
    **params: Any,
) -> a.AlgoSubmitted:
    terms = {
        "algo_id": ALGO_ID,
        "account": "alice",
        "client_algo_id": "t-1",
        "symbol": "BTCUSDT",
        "side": side,
        "quantity": Decimal(quantity),
        "strategy": strategy,
        "limit_price": limit_price,
        "end_at": None if seconds is None else START + seconds * SECOND,
        "params": {"seed": 0} | params,
    }
    return a.AlgoSubmitted(
        order_id=ALGO_ID, at=START, state=a.AlgoState.WORKING, terms=msgspec.convert(terms, a.AlgoTerms), arrival=arrival
    )
