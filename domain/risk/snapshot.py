"""The part of the exposure that a restart needs, from the journal.

Sums and worst cases follow from it; reservations are not included.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from domain.order.algo import Parent
from domain.order.events import OrderSubmitted
from domain.order.order import Order
from domain.risk.exposure import Account, Exposure, Open
from domain.values import ZERO, Side

VERSION: Final = 1
"""To be raised when the fields stay and their meaning changes: older states are then not read."""


class OpenRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an order may still trade, and its price in USD."""

    order_id: str
    quantity: Decimal
    price: Decimal


class HeldRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A leg that waits to be released, with the price in USD at which it counts.

    It counts for what its entry has traded, which it is to close: all of `traded` for the exit of a bracket; for another leg the share of
    its first quantity (`asked`) that `traded` is of the entry's (`whole`).
    """

    terms: OrderSubmitted
    price: Decimal
    entry: str
    asked: Decimal
    whole: Decimal
    traded: Decimal = ZERO


class PooledRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An open order of a pool, and whether it is in doubt."""

    order_id: str
    open: Open
    doubtful: bool


class HoldingState(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    quantity: Decimal = ZERO
    last_price: Decimal = ZERO
    buys: tuple[OpenRow, ...] = ()
    sells: tuple[OpenRow, ...] = ()


class AccountState(msgspec.Struct, frozen=True, gc=False):
    """One account. `moved` is what trades and fees did to the cash; its start is configuration, which may have changed."""

    name: str
    moved: Decimal
    holdings: tuple[HoldingState, ...]


class RiskState(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The state. `rates` are those of the catalogue it was counted with; `earlier` are trades (venue, id) booked at other rates.

    `growing` are the orders of the lists that claim room for their legs: see list_growth.py.
    """

    seq: int
    rates: dict[str, Decimal]
    accounts: tuple[AccountState, ...]
    submitted: tuple[OrderSubmitted, ...]
    earlier: tuple[tuple[str, str, Decimal], ...] = ()
    held: tuple[HeldRow, ...] = ()
    pooled: tuple[PooledRow, ...] = ()
    growing: tuple[Order, ...] = ()
    parents: tuple[Parent, ...] = ()
    children: tuple[tuple[str, str], ...] = ()
    """The parent of each child."""


def accounts_of(exposure: Exposure) -> tuple[AccountState, ...]:
    """Return account states, sorted and without empty accounts and holdings, so that equal exposures have equal states."""
    rows = _rows(exposure.orders)
    states = (_account(account, rows.get(account.name, {}), exposure.initial) for _, account in sorted(exposure.accounts.items()))
    return tuple(state for state in states if state.moved or state.holdings)


def _rows(orders: dict[str, Open]) -> dict[str, dict[str, tuple[list[OpenRow], list[OpenRow]]]]:
    """Return open buys and open sells, by account and symbol."""
    found: dict[str, dict[str, tuple[list[OpenRow], list[OpenRow]]]] = {}
    for order_id, open_ in sorted(orders.items()):
        if open_.pool:
            continue
        sides = found.setdefault(open_.account, {}).setdefault(open_.symbol, ([], []))
        sides[open_.side is Side.SELL].append(OpenRow(order_id, open_.quantity, open_.price))
    return found


def pooled_of(exposure: Exposure) -> tuple[PooledRow, ...]:
    """Return the open orders of pools, sorted. They are opened one by one, because only the largest of a pool counts."""
    pools = sorted(exposure.pools.items())
    return tuple(
        PooledRow(order_id, pool.orders[order_id], order_id in pool.doubtful) for _, pool in pools for order_id in sorted(pool.orders)
    )


def _account(account: Account, rows: dict[str, tuple[list[OpenRow], list[OpenRow]]], initial: Decimal) -> AccountState:
    holdings = []
    for symbol, holding in sorted(account.holdings.items()):
        buys, sells = rows.get(symbol, ([], []))
        if holding.quantity or buys or sells:
            last_price = holding.last_price if holding.quantity else ZERO  # not read for a flat holding
            holdings.append(HoldingState(symbol, holding.quantity, last_price, tuple(buys), tuple(sells)))
    return AccountState(account.name, account.cash - initial, tuple(holdings))


def restore(exposure: Exposure, accounts: Iterable[AccountState], pooled: Iterable[PooledRow] = ()) -> None:
    """Restore accounts into an empty exposure: the orders as they were, every sum recounted."""
    assert not exposure.accounts, "a state is restored into an empty exposure"
    for state in accounts:
        account = exposure.account(state.name)
        account.cash += state.moved
        for held in state.holdings:
            holding = account.holding(held.symbol)
            holding.last_price = held.last_price
            holding.buy_quantity, holding.buy_notional = _opened(exposure.orders, state.name, held.symbol, Side.BUY, held.buys)
            holding.sell_quantity, holding.sell_notional = _opened(exposure.orders, state.name, held.symbol, Side.SELL, held.sells)
            account.orders += len(held.buys) + len(held.sells)
            account.value_at(holding, held.quantity, exposure.marks.mids.get(held.symbol, held.last_price))
    for row in pooled:
        exposure.opened(row.order_id, row.open)
        exposure.doubted(row.order_id, doubtful=row.doubtful)


def _opened(orders: dict[str, Open], account: str, symbol: str, side: Side, rows: Iterable[OpenRow]) -> tuple[Decimal, Decimal]:
    """Restore the open orders of one side; return their quantity and notional."""
    quantity = notional = ZERO
    for row in rows:
        orders[row.order_id] = Open(account, symbol, side, row.quantity, row.price)
        quantity += row.quantity
        notional += row.quantity * row.price
    return quantity, notional
