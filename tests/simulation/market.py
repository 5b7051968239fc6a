"""A small market: one symbol whose price stands still, so that what an account has at stake can be told from the journal alone."""

import random
from collections.abc import Iterator
from decimal import Decimal

from config.catalogue import VenueSettings
from domain.execution.order_rules import OrderRules
from domain.instruments import Instrument
from domain.market.prints import Print
from domain.market.quotes import Listed, Quote
from domain.paper.rules import PLAIN, PaperRules
from domain.risk.limits import ORDER_SIZE_LIMIT, POSITION_LIMIT, SHORT_RESTRICTION, Limits
from domain.values import Side

SYMBOL = "BTCUSDT"
BID, MID, ASK = Decimal("99.99"), Decimal("100.00"), Decimal("100.01")
QUOTE_EVERY_S = 0.4
POSITION_MAX = Decimal(3_500)
SHORT = "bob"
"""Who may sell what it does not hold: its positions flip, under reduce-only orders too."""

INSTRUMENTS = {
    SYMBOL: Instrument(
        symbol=SYMBOL, tick=Decimal("0.01"), lot=Decimal("0.1"), quantity_max=Decimal(1000), notional_min=Decimal(1), currency="USDT"
    )
}
CURRENCIES = {"USDT": Decimal(1)}

LIMITS = Limits(
    enabled=frozenset({POSITION_LIMIT, ORDER_SIZE_LIMIT, SHORT_RESTRICTION}),
    order_notional_max=Decimal(1_500),
    position_notional_max=POSITION_MAX,
    short_accounts=frozenset({SHORT}),
    quote_age_max_ns=10_000_000_000,
)


def _venue(name: str, latency_ms: float, rules: PaperRules = PLAIN) -> VenueSettings:
    return VenueSettings(name, Decimal(1), Decimal(10), 0, Decimal(1), latency_ms, frozenset({SYMBOL}), "full", rules=rules)


VENUES = {"PAPER_A": _venue("PAPER_A", 1), "PAPER_B": _venue("PAPER_B", 2, PaperRules(estimated=True))}

RULES = OrderRules(INSTRUMENTS, lambda account: True)
LISTED = Listed(INSTRUMENTS.keys(), {name: venue.symbols for name, venue in VENUES.items()})


def quotes(chance: random.Random) -> Iterator[Quote]:
    """Always the same prices; sizes small enough that some orders wait for the next quote."""
    while True:
        sizes = [Decimal(chance.randint(5, 80)) / 10 for _ in range(2)]
        yield Quote(symbol=SYMBOL, venue="", bid=BID, bid_size=sizes[0], ask=ASK, ask_size=sizes[1], at=0)


def prints(chance: random.Random) -> Iterator[tuple[Print, Print]]:
    """What others trade at the touch: some of it less than a lot."""
    while True:
        sizes = [Decimal(chance.randint(1, 400)) / 100 for _ in range(2)]
        yield Print(BID, sizes[0], Side.SELL), Print(ASK, sizes[1], Side.BUY)
