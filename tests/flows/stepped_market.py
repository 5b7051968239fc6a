"""One venue whose quotes a test shows row by row, for scenes on a whole stack."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

OIL: Final = """currencies: {USD: 1}
groups:
  - {symbols: [OIL], tick: 0.01, lot: 1, quantity_max: 100000, notional_min: 0, currency: USD, shortable: true}
"""
VENUES: Final = "venues:\n  PAPER_A:\n    fees: {maker_bps: 2, taker_bps: 10}\n"
HEADER: Final = "time,symbol,bid,bid_size,ask,ask_size"
SERVICES: Final = {
    "oms": "risk_service: {timeout_sec: 1}",
    "risk": "risk_checks: {enabled: [position_limit, order_size_limit], quote_age_max_sec: 600}",
    "exeq": "routing: {max_quote_age_sec: 600, venue_away_wait_sec: 120}",
}


def stepped(home: Path, rows: list[str], instruments: str = OIL, services: Mapping[str, str] = SERVICES) -> tuple[str, ...]:
    """Write the configuration and the quotes of these rows. Return the options of `trade up`."""
    config = home / "config"
    for service, text in services.items():
        (config / service).mkdir(parents=True)
        (config / service / "config.yaml").write_text(text)
    (config / "instruments.yaml").write_text(instruments)
    (config / "venues.yaml").write_text(VENUES)
    (home / "quotes.csv").write_text("\n".join([HEADER, *rows]))
    return ("--config-dir", str(config), "--quotes", str(home / "quotes.csv"), "--quotes-speed", "stepped")
