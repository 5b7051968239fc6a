"""`trade prices load` with files as people have them: what was stored, and what is said about it."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.price_history import SqlitePrices
from apps.cli.main import app

CATALOGUE = """
currencies: {USD: 1}
groups:
  - {symbols: [BRK.B, BTC/USD], tick: 0.01, lot: 1, quantity_max: 1000000, notional_min: 1, currency: USD}
"""


def load(directory: Path, file: bytes, *options: str) -> Result:
    """Into SQLite, without a running stack."""
    (directory / "closes.csv").write_bytes(file)
    (directory / "instruments.yaml").write_text(CATALOGUE)
    environment = {
        "TRADE_FILLS": "sqlite",
        "TRADE_DATA_DIR": str(directory / "stack"),
        "TRADE_NATS_URL": "nats://127.0.0.1:1",
        "TRADE_INSTRUMENTS": str(directory / "instruments.yaml"),
    }
    return CliRunner(env=environment).invoke(app, ["prices", "load", str(directory / "closes.csv"), *options])


def stored(directory: Path, symbol: str) -> list[Decimal]:
    return [close.price for close in asyncio.run(SqlitePrices(directory / "stack").recent([symbol], 9))]


def test_a_file_of_excel_is_stored(tmp_path: Path) -> None:
    done = load(tmp_path, b"\xef\xbb\xbfdate,symbol,close\r\n2026-01-05,BRK.B,500.10\r\n2026-01-06,BTC/USD,1e5\r\n")
    assert done.exit_code == 0, done.stderr
    assert (stored(tmp_path, "BRK.B"), stored(tmp_path, "BTC/USD")) == ([Decimal("500.1")], [Decimal(100_000)])


def test_rounding_is_reported(tmp_path: Path) -> None:
    done = load(tmp_path, b"date,symbol,close\n2026-01-05 00:00:00-05:00,BRK.B,270.1199951171875\n")
    assert done.exit_code == 0, done.stderr
    assert stored(tmp_path, "BRK.B") == [Decimal("270.119995117188")]
    assert "1 closes have more than 12 places and are rounded." in done.stdout


def test_columns_by_other_names(tmp_path: Path) -> None:
    file = b"Date,Open,High,Low,Close,Volume\n2026-01-05,499,501,498,500.1,1200\n"
    assert load(tmp_path, file, "--columns", "date=Date,close=Close,symbol=@BRK.B").exit_code == 0
    assert stored(tmp_path, "BRK.B") == [Decimal("500.1")]
    wrong = load(tmp_path, file)
    assert (wrong.exit_code, wrong.stderr.splitlines()[0].split("; ")[1][:26]) == (1, "there is no column 'symbol")
    assert load(tmp_path, file, "--columns", "day=Date").exit_code == 2


@pytest.mark.parametrize(
    "file", [b"date,symbol,close\n2026-01-05,BRK.B,1e50\n", "date,symbol,close\n2026-01-05,BRK.B,1\n".encode("utf-16")]
)
def test_a_file_that_cannot_be_read_stores_nothing(tmp_path: Path, file: bytes) -> None:
    done = load(tmp_path, file)
    assert done.exit_code == 1
    assert str(tmp_path / "closes.csv") in done.stderr
    assert not (tmp_path / "stack" / "prices.db").exists()
