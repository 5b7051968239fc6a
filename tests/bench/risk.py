"""`python -m tests.bench.risk`: what risk does in one process without a wire: checks a second with all six on, and memory by accounts."""

import argparse
import gc
import json
import random
import resource
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psutil

from adapters.codec import encode
from apps.risk.check_handler import answered
from apps.runtime.service import YOUNG_MAX
from domain.instruments import Instrument
from domain.market.price_history import DailyClose, history_of
from domain.market.quotes import Quote
from domain.order import events as e
from domain.order.commands import Terms
from domain.order.lifecycle import State
from domain.risk.controls import Controls
from domain.risk.engine import Risk
from domain.risk.limits import Limits
from domain.values import Liquidity, OrderType, Side, use_exact_arithmetic

SYMBOLS = [f"SYM{number}" for number in range(20)]
INSTRUMENTS = {
    symbol: Instrument(
        symbol=symbol,
        tick=Decimal("0.01"),
        lot=Decimal("0.001"),
        quantity_max=Decimal(10**6),
        notional_min=Decimal(1),
        currency="USD",
        shortable=True,
    )
    for symbol in SYMBOLS
}
RETURNS = 30
NOW = 10**9
ONE = Decimal(1)
MIB = 2**20


def risk_with_history() -> Risk:
    """The shipped limits, but so wide that nothing is refused; thirty returns of twenty symbols."""
    wide = Decimal(10) ** 12
    limits = Limits(position_notional_max=wide, concentration_max=Decimal(1), buying_power_initial=wide, var_max=wide)
    risk = Risk(limits, INSTRUMENTS, {"USD": ONE}, Controls())
    chance = random.Random(7)
    closes = [
        DailyClose(day, symbol, Decimal(chance.randint(9_000, 11_000)).scaleb(-2), "bench")
        for symbol in SYMBOLS
        for day in range(RETURNS + 1)
    ]
    risk.learn(history_of(closes, SYMBOLS, RETURNS + 1, returns=RETURNS, age_max_days=7))
    for symbol in SYMBOLS:
        quote(risk, symbol, Decimal("100.05"))
    return risk


def quote(risk: Risk, symbol: str, bid: Decimal) -> None:
    made = Quote(symbol=symbol, venue="A", bid=bid, bid_size=ONE, ask=bid + Decimal("0.1"), ask_size=ONE, at=0)
    risk.marks.update(made, NOW)


def fill(account: str, symbol: str, number: int) -> e.OrderFilled:
    return e.OrderFilled(
        order_id=f"f{number}",
        at=0,
        status=State.FILLED,
        account=account,
        client_order_id="c",
        symbol=symbol,
        side=Side.BUY,
        quantity=Decimal(1 + number % 9).scaleb(-1),
        price=Decimal(9_000 + number % 2_000).scaleb(-2),
        fee=Decimal("0.01"),
        liquidity=Liquidity.TAKER,
        exec_id="x",
        venue="A",
        route_id="R1",
        report_seq=1,
    )


def held(accounts: int) -> Risk:
    """Every account holds every symbol."""
    risk = risk_with_history()
    for number in range(accounts * len(SYMBOLS)):
        risk.fold.apply(fill(f"account-{number // len(SYMBOLS)}", SYMBOLS[number % len(SYMBOLS)], number), number + 1)
    for number in range(accounts):
        risk.exposure.look(f"account-{number}")
    return risk


def orders(count: int, accounts: int) -> list[Terms]:
    return [
        Terms(
            order_id=f"o{number}",
            account=f"account-{number % accounts}",
            client_order_id="",
            symbol=SYMBOLS[number % 7],
            side=Side.SELL if number % 3 == 2 else Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=Decimal("0.125"),
            price=Decimal("100.10"),
        )
        for number in range(count)
    ]


def rate(work: Callable[[Terms], object], asked: list[Terms]) -> float:
    """Orders a second of this process's CPU: what other programs take of the machine does not count."""
    gc.collect()
    began = time.process_time()
    for terms in asked:
        work(terms)
    return len(asked) / (time.process_time() - began)


def ways(risk: Risk) -> dict[str, Callable[[Terms], object]]:
    return {
        "checks a second": lambda terms: risk.dry(terms, NOW),
        "and told on the wire": lambda terms: encode(answered(risk.dry(terms, NOW))),
        "checked and reserved": lambda terms: risk.decide(terms, NOW),
    }


def speeds(count: int, accounts: int, repeats: int) -> dict[str, float]:
    """The best of several passes. Marks move before each."""
    found: dict[str, float] = {}
    for turn in range(repeats):
        risk = held(accounts)
        asked = orders(count, accounts)
        for symbol in SYMBOLS:
            quote(risk, symbol, Decimal(10_000 + turn).scaleb(-2))
        for name, work in ways(risk).items():
            found[name] = max(found.get(name, 0.0), rate(work, asked))
        assert all(risk.exposure.reservations[terms.order_id].decision.approved for terms in asked)
        began = time.process_time()
        risk.exposure.release_before(NOW + 1)
        found["released"] = max(found.get("released", 0.0), count / (time.process_time() - began))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--accounts", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory", type=int, metavar="ACCOUNTS", help="only the memory with this many accounts of 20 symbols each")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    use_exact_arithmetic()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 20)  # as a service does
    if arguments.memory:
        began = time.process_time()
        kept = held(arguments.memory)
        seconds = time.process_time() - began
        rss = psutil.Process().memory_info().rss / MIB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found = {
            "accounts": float(len(kept.exposure.accounts)),
            "rss_mib": rss,
            "peak_mib": peak,
            "fills_a_second": arguments.memory * 20 / seconds,
        }
    else:
        found = speeds(arguments.orders, arguments.accounts, arguments.repeats)
    for name, number in found.items():
        print(f"{name:<22} {number:12,.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
