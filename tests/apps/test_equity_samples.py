"""Samples of equity: one of each account at each interval, from what risk published, whatever is away in the meantime."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from adapters.memory_equity import MemoryEquity
from apps.projector import equity
from apps.projector.equity import AGE_MAX_NS, EquitySampler, sample_of
from domain.ports import Unavailable
from domain.position.equity import MINUTE_NS, EquitySample, Worth

BEGIN = 28_000_000 * MINUTE_NS


class Published:
    """Stands for Valkey: what risk wrote last, or nothing at all."""

    def __init__(self) -> None:
        self.found: dict[str, Worth] = {}
        self.down = False

    async def read(self, accounts: Sequence[str]) -> list[Worth | None]:
        if self.down:
            raise Unavailable("Valkey is away")
        return [self.found.get(account) for account in accounts]


class House:
    """A sampler on a clock that the test moves."""

    def __init__(self) -> None:
        self.published, self.store = Published(), MemoryEquity()
        self.accounts = {"alice"}
        self.now = BEGIN
        self.sampler = EquitySampler(self.published, lambda: self.accounts, self.store, self, 60, keep_days=2)

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now

    def risk_says(self, equity: str, *, cash: str = "0", long: str = "0", short: str = "0", account: str = "alice") -> None:
        self.published.found[account] = Worth(self.now, *map(Decimal, (equity, cash, long, short)))

    async def at(self, minute: int, seconds: int = 0) -> None:
        self.now = BEGIN + minute * MINUTE_NS + seconds * 10**9
        await self.sampler.round()

    def rows(self) -> list[tuple[int, str, str]]:
        return [((sample.at - BEGIN) // MINUTE_NS, sample.account, str(sample.equity)) for _, sample in sorted(self.store.rows.items())]


async def test_every_account_that_traded_has_one_row_a_minute() -> None:
    house = House()
    house.accounts = {"alice", "bob", "never-published"}
    house.risk_says("100", cash="40", long="70", short="-10")
    house.risk_says("7.5", cash="7.5", account="bob")
    await house.at(0)
    house.risk_says("101", cash="101")
    await house.at(1)
    await house.at(1, seconds=30)  # a restart within the minute
    shown = [(minute, account, Decimal(amount)) for minute, account, amount in house.rows()]
    assert shown == [(0, "alice", 100), (0, "bob", Decimal("7.5")), (1, "alice", 101), (1, "bob", Decimal("7.5"))]
    first = house.store.rows[BEGIN, "alice"]
    assert first == EquitySample(BEGIN, "alice", Decimal(100), Decimal(40), Decimal(70), Decimal(-10))
    assert house.sampler.stats() == {"rows": 6, "waiting": 0, "dropped": 0, "left_out": 3}


async def test_a_timer_that_ends_before_its_time_takes_no_sample_of_the_minute_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop counts milliseconds: nine of ten waits for a full minute ended before it."""
    house = House()

    async def ends_early(seconds: float) -> None:
        house.now += max(round(seconds * 10**9) - 400_000, 10**6)
        house.risk_says(str(house.now - BEGIN))
        if house.now > BEGIN + 3 * MINUTE_NS:
            raise EOFError

    house.now += 30 * 10**9
    monkeypatch.setattr(asyncio, "sleep", ends_early)
    with pytest.raises(EOFError):
        await house.sampler.run()
    assert [(minute, int(Decimal(amount)) // MINUTE_NS) for minute, _, amount in house.rows()] == [(1, 1), (2, 2)]


async def test_a_minute_in_which_risk_was_silent_stays_a_gap() -> None:
    house = House()
    house.risk_says("100", cash="100")
    await house.at(0)
    await house.at(1)
    house.published.down = True
    await house.at(2)
    house.published.down = False
    await house.at(3)  # what risk said at 0 is too old by now
    house.risk_says("103", cash="103")
    await house.at(4)
    assert [minute for minute, _, _ in house.rows()] == [0, 1, 4]
    assert AGE_MAX_NS == MINUTE_NS


async def test_samples_wait_for_the_store_and_are_written_when_it_is_back() -> None:
    house = House()
    house.store.down = True
    for minute in range(3):
        house.risk_says(str(minute), cash=str(minute))
        await house.at(minute)
    assert (house.rows(), house.sampler.stats()["waiting"]) == ([], 3)
    house.store.down = False
    house.risk_says("3", cash="3")
    await house.at(3)
    assert [minute for minute, _, _ in house.rows()] == [0, 1, 2, 3]
    assert house.sampler.stats() == {"rows": 4, "waiting": 0, "dropped": 0, "left_out": 0}


async def test_samples_are_removed_when_they_are_too_old() -> None:
    house, day = House(), 1440
    for minute in (0, day, 2 * day, 3 * day):
        await house.at(minute)  # the clock of what risk says
        house.risk_says("1", cash="1")
        await house.at(minute)
    assert [minute for minute, _, _ in house.rows()] == [day, 2 * day, 3 * day]


async def test_what_waits_is_bounded_and_the_oldest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equity, "WAITING_MAX", 2)
    house = House()
    house.store.down = True
    for minute in range(4):
        house.risk_says("1", cash="1")
        await house.at(minute)
    house.store.down = False
    house.risk_says("1", cash="1")
    await house.at(4)
    assert [minute for minute, _, _ in house.rows()] == [2, 3, 4]
    assert house.sampler.stats()["dropped"] == 2


async def test_accounts_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equity, "ACCOUNTS_MAX", 2)
    house = House()
    house.accounts = {"a", "b", "c"}
    for account in house.accounts:
        house.risk_says("1", cash="1", account=account)
    await house.at(0)
    assert ([account for _, account, _ in house.rows()], house.sampler.left_out) == (["a", "b"], 1)


def test_an_amount_with_more_places_than_the_store_has_is_rounded_and_the_sum_stays_exact() -> None:
    third = Decimal("0.3333333333333333333333333333333333333333333333")
    sample = sample_of(0, "alice", Worth(0, third, third - 2 * third, 3 * third, -third))
    assert sample.equity == Decimal("0.333333333333333333333333333333333333")
    assert sample.cash + sample.long + sample.short == sample.equity
