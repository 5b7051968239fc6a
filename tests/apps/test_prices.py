"""Closes on their way: from a file by `trade prices load`, from the simulated market, and into what risk measures by."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from adapters.price_history import SqlitePrices
from apps.cli.main import app
from apps.live_gateway.simulated_closes import DAY_NS, DAYS, keep_closes
from apps.risk.engines import RiskEngines
from apps.risk.price_cache import PriceHistory
from apps.risk.views import portfolio_view
from domain.market.price_history import SIMULATED, DailyClose
from domain.market.simulated import SimulatedMarket
from domain.order.lifecycle import State
from domain.ports import Unavailable
from domain.risk.engine import Risk
from domain.risk.limits import VAR_LIMIT
from tests.domain.risk.scene import filled, instrument, new_risk, order

REAL = Path(__file__).parents[1] / "data" / "daily_closes.csv"
TODAY = 20_000


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command line sets up logging for its process, which here is ours."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class Shelf:
    """A store in memory that can be away."""

    def __init__(self, closes: Iterable[DailyClose] = ()) -> None:
        self.rows = {(close.day, close.symbol): close for close in closes}
        self.away = False
        self.writes = 0

    async def prepare(self) -> None:
        await self.ping()

    async def ping(self) -> None:
        if self.away:
            raise Unavailable("the store is away")

    async def write(self, closes: Sequence[DailyClose]) -> None:
        await self.ping()
        self.writes += 1
        self.rows |= {(close.day, close.symbol): close for close in closes}

    async def forget(self, symbol: str, source: str | None, first: int, last: int) -> int:
        await self.ping()
        loaded = [close for close in self.rows.values() if close.symbol == symbol and close.source != SIMULATED]
        taken_back = [close for close in loaded if source in (None, close.source) and first <= close.day <= last]
        for close in taken_back:
            del self.rows[close.day, symbol]
        return len(taken_back)

    async def recent(self, symbols: Iterable[str], days: int) -> list[DailyClose]:
        await self.ping()
        found = [
            [close for close in self.rows.values() if close.symbol == symbol and (close.source == SIMULATED) is made_up]
            for symbol in symbols
            for made_up in (False, True)
        ]
        return [close for of in found for close in sorted(of, key=lambda close: -close.day)[:days]]


class Day:
    """A clock that stands until it is set."""

    def __init__(self, today: int = TODAY) -> None:
        self.today = today

    def now_ns(self) -> int:
        return self.today * DAY_NS + 5

    def monotonic_ns(self) -> int:
        return 0


# From a file.


def prices(directory: Path, *words: str) -> Result:
    absent = {"TRADE_NATS_URL": "nats://127.0.0.1:1", "TRADE_RISK_URL": "http://127.0.0.1:1"}
    return CliRunner(env={"TRADE_FILLS": "sqlite", "TRADE_DATA_DIR": str(directory), **absent}).invoke(app, ["prices", *words])


def load(directory: Path, *words: str) -> Result:
    return prices(directory, "load", *words)


def test_real_closes_are_loaded_and_loading_them_again_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        result = load(tmp_path, str(REAL))
        assert result.exit_code == 0, result.output
        assert "SPY     504     2013-01-02  2014-12-31" in result.stdout
    store = SqlitePrices(tmp_path)
    assert len(asyncio.run(store.recent(["SPY", "BTCUSD"], 10_000))) == 504 + 590
    (newest,) = asyncio.run(store.recent(["SPY"], 1))
    assert newest == DailyClose(16_435, "SPY", Decimal("205.5"), "daily_closes.csv")


def test_a_wrong_line_stores_nothing(tmp_path: Path) -> None:
    file = tmp_path / "closes.csv"
    file.write_text("date,symbol,close\n2014-12-30,SPY,205\n2014-12-31,SPY,-1\n")
    result = load(tmp_path, str(file))
    assert (result.exit_code, "line 3" in result.stderr, "Nothing was stored" in result.stderr) == (1, True, True)
    assert not (tmp_path / "prices.db").exists()
    assert load(tmp_path, str(tmp_path / "nothing.csv")).exit_code == 1
    assert load(tmp_path, str(file), "--source", SIMULATED).exit_code == 2


def test_a_history_that_is_too_short_is_reported_at_the_load_and_can_be_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("date,symbol,close\n2014-12-31,SPY,205.5\n")
    loaded = load(tmp_path, str(file))
    assert (loaded.exit_code, loaded.stderr.count("\n")) == (0, 1)
    assert "SPY is short: 1 of the 31 real closes" in loaded.stderr
    assert "trade prices forget SPY --source one.csv" in loaded.stderr
    store = SqlitePrices(tmp_path)
    assert prices(tmp_path, "forget", "SPY", "--source", "two.csv").exit_code == 1
    assert prices(tmp_path, "forget", "SPY", "--from", "31.12.2014").exit_code == 2
    assert len(asyncio.run(store.recent(["SPY"], 9))) == 1
    taken_back = prices(tmp_path, "forget", "SPY", "--source", "one.csv")
    assert (taken_back.exit_code, taken_back.stdout) == (0, "Closes of SPY removed: 1\n")
    assert asyncio.run(store.recent(["SPY"], 9)) == []


def test_a_part_of_the_days_can_be_taken_back_and_a_whole_file_is_not_short(tmp_path: Path) -> None:
    assert load(tmp_path, str(REAL)).stderr == ""
    assert "removed: 2" in prices(tmp_path, "forget", "SPY", "--from", "2014-12-30").stdout
    assert "removed: 1" in prices(tmp_path, "forget", "SPY", "--to", "2013-01-02").stdout
    assert "removed: 501" in prices(tmp_path, "forget", "SPY").stdout


def test_the_source_of_each_close_is_listed(tmp_path: Path) -> None:
    store = SqlitePrices(tmp_path)
    asyncio.run(store.prepare())
    closes = [DailyClose(16_434, "SPY", Decimal(7), SIMULATED), DailyClose(16_435, "SPY", Decimal("205.50"), "bars:KRAKEN")]
    asyncio.run(store.write(closes))
    summary = prices(tmp_path, "list").stdout
    assert [line.split() for line in summary.splitlines()[1:]] == [
        ["SPY", "bars:KRAKEN", "1", "2014-12-31", "2014-12-31"],
        ["SPY", "simulated", "1", "2014-12-30", "2014-12-30"],
    ]
    each = prices(tmp_path, "list", "SPY").stdout
    assert [line.split() for line in each.splitlines()[1:]] == [["2014-12-31", "205.5", "bars:KRAKEN"], ["2014-12-30", "7", "simulated"]]


# From the simulated market.


async def kept(shelf: Shelf, day: Day, *, beside_market: bool = False) -> None:
    """One round of the simulated market's own closes."""
    markets = {s: SimulatedMarket(instrument(s), Decimal(100), Decimal(1), Decimal(1), 2, 2026) for s in ("MADE", "REAL")}
    told: list[int] = []

    async def tell() -> None:
        told.append(day.today)

    task = asyncio.create_task(keep_closes(markets, shelf, day, tell, beside_market=beside_market))
    while not told:
        await asyncio.sleep(0)
    task.cancel()


def made_up(shelf: Shelf, symbol: str) -> list[DailyClose]:
    return sorted((c for c in shelf.rows.values() if (c.symbol, c.source) == (symbol, SIMULATED)), key=lambda close: close.day)


async def test_the_simulated_market_brings_sixty_days_and_leaves_real_symbols_alone() -> None:
    shelf, day = Shelf(DailyClose(d, "REAL", Decimal(7), "file.csv") for d in range(TODAY - 300, TODAY - 300 + DAYS)), Day()
    await kept(shelf, day)
    made = made_up(shelf, "MADE")
    assert [close.day for close in made] == list(range(TODAY - DAYS, TODAY))
    assert all(99 <= close.price <= 101 for close in made)
    assert len({close.price for close in made}) > DAYS / 2
    assert len(shelf.rows) == DAYS + DAYS
    again = SimulatedMarket(instrument("MADE"), Decimal(100), Decimal(1), Decimal(1), 2, 2026)
    assert [again.close(close.day) for close in made] == [close.price for close in made]


async def test_a_few_real_closes_are_kept_and_take_none_of_the_simulated_ones() -> None:
    loaded = [DailyClose(d, "REAL", Decimal(7), "file.csv") for d in range(TODAY - 30, TODAY)]
    shelf, day = Shelf(loaded), Day()
    await kept(shelf, day)
    assert len(made_up(shelf, "REAL")) == DAYS
    assert [close for close in shelf.rows.values() if close.source != SIMULATED] == loaded
    for close in loaded:
        del shelf.rows[close.day, "REAL"]
    await kept(shelf, day)
    assert {close.day for close in made_up(shelf, "REAL")} >= set(range(TODAY - DAYS, TODAY)), "what was taken back is made up again"


async def test_beside_a_recorded_market_simulated_closes_end_where_its_closes_begin() -> None:
    # given a market that was recorded for three days, and not yesterday
    recorded = [DailyClose(d, "REAL", Decimal(7), "bars:KRAKEN") for d in range(TODAY - 4, TODAY - 1)]
    shelf, day = Shelf(recorded), Day()
    await kept(shelf, day, beside_market=True)
    assert [close.day for close in made_up(shelf, "REAL")] == list(range(TODAY - 4 - DAYS, TODAY - 4))
    assert [close.day for close in made_up(shelf, "MADE")] == list(range(TODAY - DAYS, TODAY))
    # when the recording has stopped for more than a week
    day.today += 7
    await kept(shelf, day, beside_market=True)
    assert made_up(shelf, "REAL")[-1].day == day.today - 1


# Into risk.


def history(risk: Risk, shelf: Shelf, day: Day) -> PriceHistory:
    return PriceHistory(RiskEngines([risk]), shelf, day, returns=30, age_max_days=7, refresh_s=1, ready=lambda _: None)


def penny(days: range) -> list[DailyClose]:
    return [DailyClose(day, "PENNY", Decimal(100 + day % 3), "test") for day in days]


async def test_closes_that_cannot_be_read_again_count_on_until_they_are_too_old() -> None:  # FAILURES 23
    risk, day = new_risk(enabled=frozenset({VAR_LIMIT})), Day()
    shelf = Shelf(penny(range(TODAY - 40, TODAY)))
    reader = history(risk, shelf, day)
    shelf.away = True
    await reader.refresh()
    assert not risk.exposure.var.groups
    shelf.away = False
    await reader.refresh()
    assert list(risk.exposure.var.group_of) == ["PENNY"]
    measured = risk.exposure.var
    shelf.away = True
    day.today += 6
    await reader.refresh()
    assert risk.exposure.var is measured
    day.today += 1
    await reader.refresh()
    assert (risk.exposure.var.history.unusable["PENNY"], list(risk.exposure.var.group_of)) == ("old", [])


async def test_it_is_ready_with_the_first_closes_and_looks_again_on_a_notice() -> None:
    risk, day, shelf, said = new_risk(enabled=frozenset({VAR_LIMIT})), Day(), Shelf(), list[bool]()
    reader = PriceHistory(RiskEngines([risk]), shelf, day, returns=30, age_max_days=7, refresh_s=60, ready=said.append)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0.05)
    assert said == []
    await shelf.write(penny(range(TODAY - 40, TODAY)))
    async with asyncio.timeout(120):
        while not said:
            await asyncio.sleep(0.02)
    assert reader.stats()["usable"] == ["PENNY"]
    task.cancel()


async def test_strange_closes_are_named_in_the_log_in_stats_and_in_the_portfolio() -> None:
    risk, day = new_risk(enabled=frozenset({VAR_LIMIT})), Day()
    halved = [*penny(range(TODAY - 40, TODAY - 1)), DailyClose(TODAY - 1, "PENNY", Decimal("50.5"), "test")]
    stopped = [DailyClose(d, "EURO", Decimal(7), "test") for d in range(TODAY - 45, TODAY - 3)]
    reader = history(risk, Shelf([*halved, *stopped]), day)
    with capture_logs() as lines:
        await reader.refresh()
        await reader.refresh()
    named = {"PENNY": ["split-like: from 100 to 50.5 on 2024-10-03"], "EURO": ["flat: 31 closes of 7 up to 2024-09-30"]}
    assert [line["remarks"] for line in lines if line["log_level"] == "warning"] == [named], "once"
    found = reader.stats()
    assert (found["remarks"], found["needed"]) == (named, 31)
    assert [group["symbols"] for group in found["groups"]] == [["EURO"], ["PENNY"]]
    risk.fold.apply(filled(order("alice", "o", "buy", "1", "PENNY", "@100"), "1", "100", "0", State.FILLED), 1)
    (holding,) = portfolio_view(risk, risk.exposure.look("alice"))["symbols"].values()
    assert holding["price_history"] == {"from": "2024-09-03", "to": "2024-10-03", "remarks": named["PENNY"], "unusable": None}


async def test_one_close_stops_no_symbol_and_taking_it_back_changes_nothing_either() -> None:
    """The rule for symbols without enough closes is the same before and after."""
    risk, day, shelf = new_risk(enabled=frozenset({VAR_LIMIT})), Day(), Shelf()
    await kept(shelf, day)
    for close in made_up(shelf, "MADE"):
        await shelf.write([DailyClose(close.day, "PENNY", close.price, SIMULATED)])
    reader = history(risk, shelf, day)
    await reader.refresh()
    before = risk.dry(order("alice", "o", "buy", "1", "PENNY", "@100"), 1)
    assert before.approved
    await shelf.write([DailyClose(TODAY - 1, "PENNY", Decimal(2500), "one.csv"), DailyClose(TODAY - 1, "EURO", Decimal(7), "one.csv")])
    await reader.refresh()
    assert risk.dry(order("alice", "o", "buy", "1", "PENNY", "@100"), 1).approved
    assert reader.stats()["remarks"]["PENNY"] == ["simulated: only 1 of the 31 real closes that are needed"]
    denied = risk.dry(order("alice", "o", "buy", "1", "EURO", "@100"), 1).denial
    assert denied is not None
    assert (denied.code, denied.found) == ("no_price_history", "EURO short"), "without a simulated market: missing before, short now"
