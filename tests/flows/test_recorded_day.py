"""A day of real quotes: hundreds of orders on the running stack, and the obvious matcher says what each of them must have become."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import yaml

from tests.flows.lived_day import LivedDay
from tests.flows.obvious_matcher import Fill, Holding, ObviousMarket, Order, Steps, Terms
from tests.flows.random_day import ACCOUNTS, EARLY, TYPES, RandomDay, read_rows
from tests.stack import CHECKOUT, LiveStack

DATA: Final = CHECKOUT / "tests" / "data"
DAYS: Final = [
    pytest.param("quotes_crypto_2018-04-04.csv", "questdb", 24, {"PAPER_B"}, id="crypto"),
    pytest.param("quotes_equity_2013-10-04.csv", "sqlite", 20, {"PAPER_A", "PAPER_B"}, id="equity"),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("file", "fills", "stops", "venues"), DAYS)
async def test_a_day_of_real_quotes_fills_what_it_must(tmp_path: Path, file: str, fills: str, stops: int, venues: set[str]) -> None:
    steps = steps_of_instruments()
    rows = read_rows(DATA / file)
    day = RandomDay(rows, ObviousMarket(shipped_venues(), steps), steps, seed=2026, stops_of_the_day=stops, orders_each=5)
    plan = day.plan()
    it_is_a_full_day(day, venues)

    quotes = ("--quotes", str(DATA / file), "--quotes-speed", "stepped", "--config-dir", str(DATA / "config_recorded_day"))
    with started(LiveStack(tmp_path / "data", "--fills", fills, *quotes)) as stack:
        async with LivedDay.on(stack, steps) as lived:
            seq = await lived.through(plan)
            wanted = {symbol for _, symbol in day.market.holdings}
            for account in (*ACCOUNTS, EARLY):
                assert await lived.orders(account) == {o.client_order_id: as_told(o) for o in day.orders if o.account == account}
            found = [row for account in (*ACCOUNTS, EARLY) for row in await lived.fills(account, count(day, account))]
            assert_fills(found, day.market.fills)
            for account in (*ACCOUNTS, EARLY):
                pass
