"""risk begins with another catalogue: what was traded stays known and counted, whatever is delisted or rated otherwise."""

import signal
from pathlib import Path
from typing import Final

from nats.aio.client import Client

from domain.order.lifecycle import State
from tests.apps.test_risk_service import Make, Oms, ask, buy, client, make, oms
from tests.domain.risk.scene import checked, filled, order, submitted

__all__ = ["client", "make", "oms"]

RATES: Final = "USD: 1, USDT: 1, EUR: 1"


def catalogue(home: Path, *symbols: str, rates: str = RATES, delisted: str = "") -> str:
    """An instruments.yaml of these symbols; `SAP:EUR` is one in EUR, the others are in USDT."""
    lines = [f"currencies: {{{rates}}}", "groups:"]
    for symbol, _, currency in (each.partition(":") for each in symbols):
        lines.append(
            f"  - {{symbols: [{symbol}], tick: 0.01, lot: 0.001, quantity_max: 1000, notional_min: 0, currency: {currency or 'USDT'}}}"
        )
    file = home / "instruments.yaml"
    file.write_text("\n".join([*lines, f"delisted: {{{delisted}}}"]) + "\n")
    return str(file)


def venues(home: Path) -> str:
    file = home / "venues.yaml"
    file.write_text("venues:\n  PAPER_A:\n    fees: {maker_bps: 2, taker_bps: 10}\nsimulated_quotes: {}\n")
    return str(file)


async def test_what_was_traded_counts_on_when_its_symbol_is_gone_and_at_the_rates_of_its_time(
    client: Client, oms: Oms, make: Make, tmp_path: Path
) -> None:
    risk = make(TRADE_INSTRUMENTS=catalogue(tmp_path, "BTCUSDT", "SAP:EUR"), TRADE_VENUES=venues(tmp_path))
    await risk.start()
    bought, open_ = order("alice", "o1", "buy", "10", "SAP", "@100"), buy("o2")
    await oms.commit(submitted(bought), checked(bought, bought.price), filled(bought, "10", "100", "1", State.FILLED))
    await risk.until_portfolio(equity=99_999, rates={"EUR": 1})

    risk.end(signal.SIGKILL)
    catalogue(tmp_path, "BTCUSDT", rates="USD: 1, USDT: 1, EUR: 0.9")
    await risk.start()
    found = await risk.until_portfolio(equity=99_899, rates={"EUR": 0.9}, as_of_seq=1)
    assert found["symbols"]["SAP"]["value"] == 900, "paid 1001 USD, worth 900"
    assert "the catalogue no longer has symbols that it once listed" in risk.said()
    assert (await ask(client, open_))[0].approved, "what is listed trades on"
    answer = await risk.post("/check", {"account": "alice", "symbol": "SAP", "side": "sell", "quantity": 10, "price": 100})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_symbol")

    risk.end(signal.SIGKILL)
    catalogue(tmp_path, "BTCUSDT", rates="USD: 1, USDT: 1")
    await risk.start()
    await risk.until_portfolio(equity=99_899, rates={"EUR": 0.9}, as_of_seq=1)
    history = (await risk.get("/risk/controls/history")).json()["controls"]
    changes = [(each["listed"], each["delisted"], each["rates"]) for each in reversed(history) if each["type"] == "CatalogueChanged"]
    assert changes == [
        ({"BTCUSDT": "USDT", "SAP": "EUR"}, [], {"USD": 1, "USDT": 1, "EUR": 1}),
        ({}, ["SAP"], {"EUR": 0.9}),
    ], "each change once, and a start without one is none"


async def test_a_symbol_that_no_catalogue_had_can_be_listed_as_delisted(client: Client, oms: Oms, make: Make, tmp_path: Path) -> None:
    """A journal that is older than the record of catalogues."""
    bought = order("alice", "o1", "buy", "10", "SAP", "@100")
    await oms.commit(submitted(bought), checked(bought, bought.price), filled(bought, "10", "100", "1", State.FILLED))
    risk = make(TRADE_INSTRUMENTS=catalogue(tmp_path, "BTCUSDT"), TRADE_VENUES=venues(tmp_path))
    risk.launch()
    assert risk.wait_for_end() == 1
    assert "list it in instruments.yaml under delisted" in (risk.home / "risk.out").read_text()
    catalogue(tmp_path, "BTCUSDT", delisted="SAP: EUR")
    await risk.start()
    await risk.until_portfolio(equity=99_999, as_of_seq=1)
