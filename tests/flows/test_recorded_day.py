"""A day of real quotes: hundreds of orders on the running stack, and the obvious matcher says what each of them must have become."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import yaml

from tests.flows.lived_day import Answer, LivedDay
from tests.flows.obvious_matcher import ZERO, Fill, Holding, ObviousMarket, Order, Steps, Terms, quotient
from tests.flows.random_day import ACCOUNTS, EARLY, TYPES, RandomDay, read_rows
from tests.stack import CHECKOUT, LiveStack

DATA: Final = CHECKOUT / "tests" / "data"
SEED: Final = 2026
ORDERS_EACH: Final = 6
DAYS: Final = [
    pytest.param("quotes_crypto_2018-04-04.csv", "questdb", 24, id="crypto"),
    pytest.param("quotes_equity_2013-10-04.csv", "sqlite", 20, id="equity"),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("file", "fills", "stops"), DAYS)
async def test_a_day_of_real_quotes_fills_what_it_must_at_the_price_it_must(tmp_path: Path, file: str, fills: str, stops: int) -> None:
    rows = read_rows(DATA / file)
    steps = steps_of({row.symbol for row in rows})
    day = RandomDay(rows, ObviousMarket(shipped_venues(), steps), steps, SEED, stops, ORDERS_EACH)
    plan = day.plan()
    much_happens_in(day)
    arguments = ("--fills", fills, "--quotes", str(DATA / file), "--quotes-speed", "stepped")
    with started(LiveStack(tmp_path / "data", *arguments, "--config-dir", str(DATA / "config_recorded_day"))) as stack:
        async with LivedDay.on(stack, steps) as lived:
            await lived.through(plan)
            await orders_became_what_they_must(lived, day.orders)
            await fills_are_what_they_must_be(lived, day.market.fills)
            await positions_agree_to_the_last_digit(lived, day.market)
        valkey_agrees_to_the_last_digit(stack, day.market)


async def orders_became_what_they_must(lived: LivedDay, orders: Sequence[Order]) -> None:
    for account in (*ACCOUNTS, EARLY):
        wanted = {order.client_order_id: order_as_told(order) for order in orders if order.account == account}
        assert {found["client_order_id"]: order_in(found) for found in await lived.orders(account)} == wanted


async def fills_are_what_they_must_be(lived: LivedDay, fills: Sequence[Fill]) -> None:
    """At each venue and in each symbol the same trades in the same order, numbered without holes."""
    counts = Counter(fill.account for fill in fills)
    rows = [row for account in (*ACCOUNTS, EARLY) for row in await lived.fills(account, counts[account])]
    rows.sort(key=number_of)
    for venue, symbol in sorted({(fill.venue, fill.symbol) for fill in fills}):
        found = [fill_in(row) for row in rows if (row["venue"], row["symbol"]) == (venue, symbol)]
        assert found == [fill for fill in fills if (fill.venue, fill.symbol) == (venue, symbol)]
    for venue in sorted({fill.venue for fill in fills}):
        there = [row for row in rows if row["venue"] == venue]
        assert [row["exec_id"] for row in there] == [f"{venue}-{n}" for n in range(1, len(there) + 1)]
        assert [row["seq"] for row in there] == sorted(row["seq"] for row in there)
    assert len(rows) == len(fills)


async def positions_agree_to_the_last_digit(lived: LivedDay, market: ObviousMarket) -> None:
    for account in (*ACCOUNTS, EARLY):
        held = {symbol: holding for (owner, symbol), holding in market.holdings.items() if owner == account}
        found = await lived.positions(account)
        wanted = {symbol: holding_as_told(h) | {"unrealised_pnl": h.unrealised(market.mark(symbol))} for symbol, h in held.items()}
        assert {symbol: {name: one[name] for name in wanted[symbol]} for symbol, one in found.items()} == wanted


def valkey_agrees_to_the_last_digit(stack: LiveStack, market: ObviousMarket) -> None:
    with redis.Redis.from_url(stack.url("valkey"), db=5, decode_responses=True) as valkey:
        assert set(valkey.scan_iter("position:*")) == {f"position:{account}:{symbol}" for account, symbol in market.holdings}
        for (account, symbol), holding in market.holdings.items():
            found: Any = valkey.hgetall(f"position:{account}:{symbol}")
            assert {name: Decimal(found[name]) for name in holding_as_told(holding)} == holding_as_told(holding)


def order_as_told(order: Order) -> Answer:
    """As `GET /orders` should tell it."""
    alive = "partially_filled" if order.filled else "routed"
    return {
        "status": alive if order.is_open else order.place,
        "reason": order.reason,
        "venue": order.venue,
        "cum_quantity": order.filled,
        "leaves_quantity": order.lacks if order.is_open else ZERO,
        "average_price": quotient(order.paid, order.filled) if order.filled else None,
        "fees": order.fees,
    }


def order_in(found: Answer) -> Answer:
    names = ("status", "reason", "cum_quantity", "leaves_quantity", "average_price", "fees")
    return {name: found[name] for name in names} | {"venue": found["routes"][0]["venue"]}


def fill_in(row: Answer) -> Fill:
    return Fill(**{name: row[name] for name in Fill.__dataclass_fields__})


def number_of(row: Answer) -> tuple[str, int]:
    venue, _, number = row["exec_id"].rpartition("-")
    return venue, int(number)


def holding_as_told(holding: Holding) -> dict[str, Decimal]:
    return {
        "quantity": holding.quantity,
        "average_price": holding.average_price,
        "last_price": holding.last_price,
        "realised_pnl": holding.realised,
        "fees": holding.fees,
    }


def much_happens_in(day: RandomDay) -> None:
    """A day on which nothing happens would agree with everything."""
    fills, orders = day.market.fills, day.orders
    assert {order.type for order in orders if order.filled} == set(TYPES)
    assert min(Counter(fill.liquidity for fill in fills).values()) > 50, "makers and takers"
    assert sum(order.triggered and bool(order.filled) for order in orders) > 30, "stops that trigger"
    assert sum(number > 1 for number in Counter(fill.client_order_id for fill in fills).values()) > 30, "filled in parts"
    assert sum(order.is_open and not order.filled for order in orders) > 30, "never filled"
    assert min(Counter(order.reason for order in orders).values()) > 15, "fok, ioc, requested"
    assert sum(holding.turned for holding in day.market.holdings.values()) > 5, "through zero"
    assert {fill.venue for fill in fills if fill.account == EARLY}, "before the first quote"


def shipped_venues() -> list[Terms]:
    found = yaml.safe_load((CHECKOUT / "config" / "venues.yaml").read_text())["venues"]
    return [
        Terms(name, number(one["fees"]["maker_bps"]), number(one["fees"]["taker_bps"]), one["spread_ticks"], number(one["depth_scale"]))
        for name, one in found.items()
    ]


def steps_of(symbols: set[str]) -> dict[str, Steps]:
    groups = yaml.safe_load((CHECKOUT / "config" / "instruments.yaml").read_text())["groups"]
    found = {symbol: Steps(number(group["tick"]), number(group["lot"])) for group in groups for symbol in group["symbols"]}
    return {symbol: found[symbol] for symbol in sorted(symbols)}


def number(found: float | int) -> Decimal:
    return Decimal(str(found))


@contextmanager
def started(stack: LiveStack) -> Iterator[LiveStack]:
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
