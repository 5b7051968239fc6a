"""What every store of daily closes promises: exact, idempotent, the last word on a day counts."""

from decimal import Decimal
from pathlib import Path

import pytest

from adapters.price_history import QuestDbPrices, SqlitePrices
from domain.market.price_history import SIMULATED, DailyClose
from domain.ports import Prices, Unavailable
from tests.live import LiveServer

CLOSES = [
    DailyClose(day, symbol, Decimal(f"{day}.000000000001"), "file.csv") for symbol in ("AAPL", "BTC/USD") for day in range(15_000, 15_005)
]


@pytest.fixture(params=["sqlite", "questdb"])
async def prices(request: pytest.FixtureRequest, tmp_path: Path) -> Prices:
    """An empty, prepared store."""
    if request.param == "sqlite":
        found: Prices = SqlitePrices(tmp_path)
    else:
        server: LiveServer = request.getfixturevalue("fresh_questdb")
        found = QuestDbPrices(server.pg_url)
    await found.prepare()
    return found


def ordered(closes: list[DailyClose]) -> list[DailyClose]:
    return sorted(closes, key=lambda close: (close.symbol, close.day))


async def test_closes_come_back_exactly_however_often_they_are_written(prices: Prices) -> None:
    assert await prices.recent(["AAPL"], 10) == []
    for _ in range(2):
        await prices.prepare()
        await prices.write(CLOSES)
        assert ordered(await prices.recent(["AAPL", "BTC/USD", "NOPE"], 10)) == CLOSES
    assert ordered(await prices.recent(["AAPL"], 2)) == CLOSES[3:5]
    await prices.ping()


async def test_the_last_word_on_a_day_counts(prices: Prices) -> None:
    await prices.write([DailyClose(15_000, "AAPL", Decimal(1), SIMULATED)])
    corrected = DailyClose(15_000, "AAPL", Decimal("1.5"), "file.csv")
    await prices.write([corrected])
    assert await prices.recent(["AAPL"], 10) == [corrected]


async def test_simulated_closes_do_not_take_the_place_of_older_real_ones(prices: Prices) -> None:
    made_up = [DailyClose(day, "AAPL", Decimal(1), SIMULATED) for day in range(16_000, 16_009)]
    await prices.write([*CLOSES, *made_up])
    found = ordered(await prices.recent(["AAPL"], 2))
    assert found == [*CLOSES[3:5], *made_up[-2:]]


async def test_closes_can_be_taken_back_by_symbol_source_and_days(prices: Prices) -> None:
    other = [DailyClose(day, "AAPL", Decimal(7), "other.csv") for day in (15_010, 15_011)]
    made_up = DailyClose(15_012, "AAPL", Decimal(1), SIMULATED)
    await prices.write([*CLOSES, *other, made_up])
    assert await prices.forget("AAPL", "file.csv", 15_003, 15_011) == 2
    assert ordered(await prices.recent(["AAPL"], 10)) == [*CLOSES[:3], *other, made_up]
    assert await prices.forget("AAPL", None, 15_010, 15_010) == 1
    assert await prices.forget("AAPL", None, 0, 100_000) == 4
    assert await prices.forget("AAPL", None, 0, 100_000) == 0, "the simulated market keeps its own"
    assert ordered(await prices.recent(["AAPL", "BTC/USD"], 10)) == [made_up, *CLOSES[5:]]
    await prices.write(CLOSES[:2])
    assert ordered(await prices.recent(["AAPL"], 10)) == [*CLOSES[:2], made_up], "and they can be loaded again"


async def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "prices.db").write_bytes(b"this is no database" * 100)
    for lost in (SqlitePrices(tmp_path), QuestDbPrices("postgresql://admin:quest@127.0.0.1:1/qdb")):
        with pytest.raises(Unavailable):
            await lost.prepare()
        with pytest.raises(Unavailable):
            await lost.recent(["AAPL"], 1)
