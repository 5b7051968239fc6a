"""What every store of daily closes promises: exact, idempotent, the last word on a day counts."""

from decimal import Decimal
from pathlib import Path

import pytest

from adapters.price_history import QuestDbPrices, SqlitePrices
from domain.ports import Prices, Unavailable
from domain.risk.history import SIMULATED, DailyClose
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


async def test_the_last_word_on_a_day_counts_and_real_closes_are_known_from_simulated_ones(prices: Prices) -> None:
    await prices.write([DailyClose(15_000, "AAPL", Decimal(1), SIMULATED), DailyClose(15_000, "SPY", Decimal(1), SIMULATED)])
    assert await prices.real_symbols() == frozenset()
    corrected = DailyClose(15_000, "AAPL", Decimal("1.5"), "file.csv")
    await prices.write([corrected])
    assert await prices.recent(["AAPL"], 10) == [corrected]
    assert await prices.real_symbols() == {"AAPL"}


async def test_a_store_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "prices.db").write_bytes(b"this is no database" * 100)
    for lost in (SqlitePrices(tmp_path), QuestDbPrices("postgresql://admin:quest@127.0.0.1:1/qdb")):
        with pytest.raises(Unavailable):
            await lost.prepare()
        with pytest.raises(Unavailable):
            await lost.recent(["AAPL"], 1)
