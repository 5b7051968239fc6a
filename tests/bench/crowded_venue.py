"""`python -m tests.bench.crowded_venue`: what a tick costs a paper venue in which very many orders rest."""

import json
import random
import statistics
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

from domain.instruments import Instrument
from domain.market.quotes import Quote
from domain.order.commands import VenueRequest
from domain.paper.rules import PaperRules
from domain.paper.venue import PaperVenue
from domain.values import OrderType, Side, TimeInForce, use_exact_arithmetic

ORDERS: Final = 100_000
TICKS: Final = 20_000
MID: Final = 1_000_000
"""Ticks of price; orders rest within a fifth of it, and the market goes about within a thousandth."""
SYMBOL: Final = "X"
INSTRUMENT: Final = Instrument(
    symbol=SYMBOL, tick=Decimal("0.01"), lot=Decimal("0.1"), quantity_max=Decimal(10**6), notional_min=Decimal(0), currency="USD"
)
RULES: Final = {"plain": PaperRules(), "five levels and a queue": PaperRules(levels=5, queue=True, self_trade="cancel_newest")}


def resting(number: int, chance: random.Random) -> VenueRequest:
    """Limits, and stops one in five, away from the market."""
    side = chance.choice(list(Side))
    below = (side is Side.BUY) is (number % 5 != 0)
    away = chance.randint(2_000, MID // 5)
    price = Decimal(MID - away if below else MID + away) * INSTRUMENT.tick
    stop = number % 5 == 0
    return VenueRequest(
        order_id=f"o{number}",
        route_id=f"r{number}",
        venue="V",
        account=f"a{number % 100}",
        symbol=SYMBOL,
        side=side,
        type=OrderType.STOP if stop else OrderType.LIMIT,
        quantity=Decimal(chance.randint(1, 100)) / 10,
        price=None if stop else price,
        stop_price=price if stop else None,
        time_in_force=chance.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.GTD)),
        expire_at=2**62,
    )


def quote(mid: int, chance: random.Random) -> Quote:
    sizes = [Decimal(chance.randint(1, 500)) / 10 for _ in range(2)]
    bid, ask = (Decimal(mid + half) * INSTRUMENT.tick for half in (-1, 1))
    return Quote(symbol=SYMBOL, venue="V", bid=bid, bid_size=sizes[0], ask=ask, ask_size=sizes[1], at=0)


def measured(rules: PaperRules) -> dict[str, float]:
    chance = random.Random(2026)
    venue = PaperVenue("V", {SYMBOL: INSTRUMENT}, Decimal(1), Decimal(5), rules)
    venue.take(quote(MID, chance), 0)
    began = time.perf_counter()
    for number in range(ORDERS):
        venue.take(resting(number, chance), number)
    placed = time.perf_counter() - began
    took, mid = [], MID
    for now in range(TICKS):
        mid = max(min(mid + chance.randint(-150, 150), MID + 3_000), MID - 3_000)
        shown = quote(mid, chance)
        began_ns = time.perf_counter_ns()
        venue.take(shown, ORDERS + now)
        took.append((time.perf_counter_ns() - began_ns) / 1000)
    took.sort()
    return {
        "open at the end": len(venue.open),
        "fills": venue.executions,
        "us an order placed": round(placed / ORDERS * 1e6, 1),
        "us a tick, mean": round(statistics.fmean(took), 1),
        "us a tick, P50": round(took[TICKS // 2], 1),
        "us a tick, P99": round(took[TICKS * 99 // 100], 1),
        "us a tick, largest": round(took[-1], 1),
    }


def main() -> None:
    use_exact_arithmetic()
    found = {name: measured(rules) for name, rules in RULES.items()}
    for name, figures in found.items():
        print(f"{ORDERS} orders rest, {TICKS} ticks, {name}")
        for what, figure in figures.items():
            print(f"  {what:<22}{figure:>12,}")
    Path("bench-crowded-venue.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
