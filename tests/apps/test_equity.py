"""What accounts were worth: the native route, Alpaca's portfolio history, and the equity at the last midnight."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest

from adapters.memory_equity import MemoryEquity
from apps.http.alpaca_words import AlpacaRefusal
from apps.http.app import encoded_in_turns
from apps.http.caller import LOCAL_CALLER
from apps.http.problem import Refusal
from apps.oms import bounded_reads, equity
from apps.oms.alpaca.portfolio_history import EquityHistory
from apps.oms.alpaca.requests import AlpacaRequest
from apps.oms.bounded_reads import AT_ONCE_MAX, WAITING_MAX, BoundedReads, RowPace
from apps.oms.equity import ASK_AGAIN_NS, EquityReads
from domain.ports import Unavailable
from domain.position.equity import MINUTE_NS, STEPS, EquitySample
from tests.apps.alpaca_house import trading
from tests.apps.callers import ERIN
from tests.apps.oms_house import living

DAY_NS: Final = STEPS["1d"]
MIDNIGHT: Final = 20_780 * DAY_NS
"""2026-11-23T00:00:00Z."""
SECOND: Final = 10**9


def sample(at: int, worth: str, account: str = "alice") -> EquitySample:
    return EquitySample(at, account, Decimal(worth), Decimal(worth) - 10, Decimal(15), Decimal(-5))


class House:
    """The reads on a clock that the test moves: now is noon of a day."""

    def __init__(self) -> None:
        self.samples, self.now, self.asked = MemoryEquity(), MIDNIGHT + DAY_NS // 2, 0
        self.reads = EquityReads(self.samples, BoundedReads(), self)
        self.history = EquityHistory(self.reads, self)

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now

    async def has(self, *samples: EquitySample) -> None:
        await self.samples.write(samples)

    async def show(self, **query: str) -> dict[str, Any]:
        caller = msgspec.structs.replace(LOCAL_CALLER, account="alice")
        answer = await self.history.show(AlpacaRequest(caller, "", query, b""))
        found: dict[str, Any] = json.loads(answer.body)
        return found


async def test_the_history_of_a_day_is_relative_to_the_last_equity_of_the_day_before() -> None:
    house = House()
    await house.has(sample(MIDNIGHT - MINUTE_NS, "100"), sample(MIDNIGHT, "101"), sample(MIDNIGHT + 2 * MINUTE_NS, "99.5"))
    assert await house.show(period="1D", timeframe="1Min", start="2026-11-23") == {
        "timestamp": [MIDNIGHT // SECOND, MIDNIGHT // SECOND + 120],
        "equity": [101, 99.5],
        "profit_loss": [1, -0.5],
        "profit_loss_pct": [0.01, -0.005],
        "base_value": 100,
        "base_value_asof": "2026-11-22",
        "timeframe": "1Min",
    }


async def test_profit_starts_again_each_day_unless_the_client_wants_no_reset() -> None:
    house = House()
    yesterday = MIDNIGHT - DAY_NS
    await house.has(sample(yesterday, "50"), sample(yesterday + MINUTE_NS, "60"), sample(MIDNIGHT, "66"))
    assert (await house.show(period="2D"))["profit_loss"] == [0, 10, 6]
    assert (await house.show(period="2D", pnl_reset="no_reset"))["profit_loss"] == [0, 10, 16]
    daily = await house.show()
    assert daily == {
        "timestamp": [yesterday // SECOND, MIDNIGHT // SECOND],
        "equity": [60, 66],
        "profit_loss": [0, 6],
        "profit_loss_pct": [0, 0.1],
        "base_value": 60,
        "timeframe": "1D",
    }


async def test_an_account_without_a_sample_has_an_empty_history() -> None:
    nothing: dict[str, Any] = {
        "timestamp": [],
        "equity": [],
        "profit_loss": [],
        "profit_loss_pct": [],
        "base_value": None,
        "timeframe": "1D",
    }
    assert await House().show() == nothing


async def test_a_base_that_is_not_positive_has_no_percentage() -> None:
    house = House()
    await house.has(sample(MIDNIGHT, "-5"), sample(MIDNIGHT + MINUTE_NS, "5"))
    shown = await house.show(period="1D")
    assert (shown["profit_loss"], shown["profit_loss_pct"]) == ([0, 10], [None, None])


@pytest.mark.parametrize(
    ("query", "timeframe", "first"),
    [
        ({}, "1D", "2026-10-24T00:00:00"),
        ({"period": "6D"}, "1Min", "2026-11-17T12:00:00"),
        ({"period": "1W"}, "15Min", "2026-11-16T12:00:00"),
        ({"period": "1a"}, "1D", "2025-11-23T00:00:00"),
        ({"period": "30D", "timeframe": "1h"}, "1H", "2026-10-24T12:00:00"),
        ({"start": "2026-11-22T23:59:59Z", "timeframe": "5Min"}, "5Min", "2026-11-22T23:55:00"),
        ({"end": "2026-11-20", "period": "1D"}, "1Min", "2026-11-19T00:00:00"),
        ({"date_end": "2026-11-20", "period": "1D"}, "1Min", "2026-11-20T00:00:00"),
        ({"date_start": "2026-11-20", "date_end": "2026-11-21"}, "1Min", "2026-11-20T00:00:00"),
        ({"end": "2031-01-01", "period": "1D", "extended_hours": "true"}, "1Min", "2026-11-22T12:00:00"),
    ],
)
async def test_periods_and_timeframes_follow_from_each_other(query: dict[str, str], timeframe: str, first: str) -> None:
    house = House()
    begin = int(seconds_of(first)) * SECOND
    await house.has(sample(begin - 1, "1"), sample(begin, "2"))
    shown = await house.show(**query)
    assert (shown["timeframe"], shown["timestamp"][0]) == (timeframe, begin // SECOND)


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"period": "1Y"}, "period: '1Y' is not a number and one of D, W, M, A, as in 1M"),
        ({"period": "1D", "start": "2026-11-01", "end": "2026-11-02"}, "period: cannot be combined with both start and end"),
        ({"timeframe": "2Min"}, "timeframe: '2Min' is not one of 1Min, 5Min, 15Min, 1H, 1D"),
        ({"timeframe": "1H", "period": "31D"}, "timeframe: a period of more than 30 days has the timeframe 1D only"),
        ({"timeframe": "1Min", "period": "8D"}, "timeframe: 1Min would give more than 10080 points: choose a coarser one"),
        ({"period": "20A"}, "period: a history has at most 3660 days"),
        ({"start": "2027-01-01"}, "start: must be before end, and before now"),
        ({"start": "yesterday"}, "start: is not a readable moment"),
        ({"pnl_reset": "never"}, "pnl_reset: 'never' is not one of per_day, no_reset"),
        ({"intraday_reporting": "x"}, "intraday_reporting: 'x' is not one of market_hours, extended_hours, continuous"),
    ],
)
async def test_what_no_history_can_have_is_refused_by_name(query: dict[str, str], message: str) -> None:
    with pytest.raises(AlpacaRefusal) as refused:
        await House().show(**query)
    assert (refused.value.status, refused.value.code) == (422, 40010001)
    assert refused.value.message.startswith(message)


async def test_a_long_history_is_read_in_parts_and_nothing_is_lost_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equity, "AT_ONCE_MAX", 7)
    house = House()
    minutes = [minute for minute in range(60) if minute % 9]
    await house.has(*(sample(MIDNIGHT + minute * MINUTE_NS, str(minute)) for minute in minutes))
    assert (await house.show(start="2026-11-23", timeframe="1Min"))["equity"] == minutes


async def test_the_equity_at_midnight_is_asked_once_a_day() -> None:
    house = House()
    assert await house.reads.at_midnight("alice") is None
    await house.has(sample(MIDNIGHT - 3 * DAY_NS, "70"), sample(MIDNIGHT - MINUTE_NS, "71.5"), sample(MIDNIGHT, "99"))
    assert await house.reads.at_midnight("alice") is None, "an account without one is asked again after a while"
    house.now += ASK_AGAIN_NS
    assert await house.reads.at_midnight("alice") == Decimal("71.5")
    house.samples.down = True
    assert await house.reads.at_midnight("alice") == Decimal("71.5")
    house.now += DAY_NS
    assert await house.reads.at_midnight("alice") is None, "the store is away, and yesterday's is not today's"


async def test_a_slow_store_delays_an_account_by_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equity, "MIDNIGHT_WAIT_S", 0.01)
    house, asked = House(), 0

    async def never(account: str, until_ns: int) -> EquitySample | None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(house.samples, "last_before", never)
    for _ in range(3):
        assert await house.reads.at_midnight("alice") is None
    assert asked == 1, "it is asked again after a while"


async def test_a_request_that_is_refused_does_not_hide_what_another_one_found_meanwhile() -> None:
    house, answers = House(), [asyncio.Event(), asyncio.Event()]
    await house.has(sample(MIDNIGHT - MINUTE_NS, "71.5"))
    found, waiting = house.samples.last_before, iter(answers)

    async def when_let(account: str, until_ns: int) -> EquitySample | None:
        await next(waiting).wait()
        return await found(account, until_ns)

    house.samples.last_before = when_let  # type: ignore[method-assign]
    first, second = (asyncio.create_task(house.reads.at_midnight("alice")) for _ in answers)
    await asyncio.sleep(0)
    answers[0].set()
    assert await first == Decimal("71.5")
    house.samples.down = True
    answers[1].set()
    assert await second == Decimal("71.5")
    assert await house.reads.at_midnight("alice") == Decimal("71.5")


async def test_few_reads_are_in_progress_and_few_wait() -> None:
    reads, let = BoundedReads(), asyncio.Event()
    running = 0

    async def slow() -> None:
        nonlocal running
        running += 1
        await let.wait()

    begun = [asyncio.create_task(reads.read("x", slow)) for _ in range(AT_ONCE_MAX + WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Refusal) as refused:
        await reads.read("x", slow)
    assert (refused.value.status, refused.value.code, running) == (429, "overloaded", AT_ONCE_MAX)
    let.set()
    await asyncio.gather(*begun)
    await reads.read("x", slow)


async def test_other_work_comes_between_the_items_of_a_long_answer() -> None:
    shown, seen = list[int](), list[int]()

    def view(item: int) -> int:
        shown.append(item)
        return item

    async def look() -> None:
        while len(shown) < 120:
            seen.append(len(shown))
            await asyncio.sleep(0)

    encoded, _ = await asyncio.gather(encoded_in_turns(range(120), view), look())
    assert [bytes(each) for each in encoded] == [str(item).encode() for item in range(120)]
    assert {50, 100} <= set(seen)


async def test_rows_of_all_readers_together_keep_to_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, waits = asyncio.get_running_loop(), list[float]()
    now = 50.0

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(loop, "time", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    pace = RowPace(rows_a_second=64)
    await pace.spend(32)
    await pace.spend(16)
    assert waits == [0.5, 0.75], "the second reader waits behind the first"
    now = 60.0
    await pace.spend(32)
    assert waits[2] == 0.5, "what was not read before is not made up for"


async def test_a_store_that_is_away_or_slow_is_reported_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_reads, "DEADLINE_S", 0.01)

    async def away() -> None:
        raise Unavailable("QuestDB: gone")

    for reading, detail in ((away, "QuestDB: gone"), (asyncio.Event().wait, "the store did not answer within 0.01 s")):
        with pytest.raises(Refusal) as refused:
            await BoundedReads().read("equity_unavailable", reading)
        assert (refused.value.status, refused.value.code, refused.value.detail) == (503, "equity_unavailable", detail)


async def test_the_native_route_pages_backwards_over_gaps() -> None:
    async with living() as (house, client):
        days = [MIDNIGHT + day * DAY_NS for day in (0, 1, 2, 40, 41)]
        await house.samples.write([sample(at, str(at // DAY_NS)) for at in days] + [sample(MIDNIGHT + DAY_NS + MINUTE_NS, "7")])

        async def page(**query: Any) -> Any:
            asked: dict[str, Any] = {"until": "2027-02-01", "limit": 2} | query
            answer = await client.get("/equity/alice", params=asked)
            assert answer.status_code == 200, answer.text
            return answer.json()

        house.clock.now_ns = lambda: MIDNIGHT + 60 * DAY_NS  # type: ignore[method-assign]
        first = await page(interval="1d")
        assert (first["interval"], first["currency"], first["samples"], first["next"]) == ("1d", "USD", [], "2027-01-04T00:00:00.000000Z")
        seen, cursor = [], first["next"]
        while cursor:
            following = await page(interval="1d", cursor=cursor)
            seen += following["samples"]
            cursor = following["next"]
        assert [row["equity"] for row in seen] == [20_821, 20_820, 20_782, 7, 20_780]
        assert seen[3] == {"timestamp": "2026-11-24T00:00:00.000000Z", "equity": 7, "cash": -3, "long": 15, "short": -5}
        assert (await page(interval="1d", since="2027-01-03", limit=100))["next"] is None
        assert [row["equity"] for row in (await page(since="2026-11-24", until="2026-11-25"))["samples"]] == []
        assert [row["equity"] for row in (await page(since="2026-11-24", until="2026-11-24T00:02:00Z"))["samples"]] == [7, 20_781]
        house.samples.down = True
        away = await client.get("/equity/alice")
        assert (away.status_code, away.json()["code"]) == (503, "equity_unavailable")


async def test_another_account_s_equity_is_not_shown() -> None:
    async with living() as (house, _), house.http(msgspec.structs.replace(ERIN, account="bob")) as client:
        assert (await client.get("/equity/bob")).status_code == 200
        assert (await client.get("/equity/alice")).status_code == 404
        assert (await client.get("/equity/alice", params={"interval": "2m"})).status_code == 400


async def test_a_client_of_alpaca_sees_its_history_and_last_equity() -> None:
    async with trading() as (house, client):
        assert (await client.get("/v2/account")).json()["last_equity"] == "100000"
        now = house.oms.clock.now_ns()
        await house.oms.samples.write([sample(now - 3 * DAY_NS, "99000.50"), sample(now - 2 * DAY_NS, "1", "bob")])
        history = (await client.get("/v2/account/portfolio/history", params={"period": "1W", "timeframe": "1D"})).json()
        assert history["equity"] == [99000.5]
        house.oms.equity._known.clear()
        assert (await client.get("/v2/account")).json()["last_equity"] == "99000.5"
        house.oms.samples.down = True
        away = await client.get("/v2/account/portfolio/history")
        assert (away.status_code, away.json()["code"], away.json()["reason"]) == (503, 50310000, "equity_unavailable")
