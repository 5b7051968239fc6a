"""Which terms can trade: presence, steps, size, and the order in which a refusal is found."""

from decimal import Decimal

import msgspec
import pytest

from domain.instruments import AssetClass, Denial, Instrument, described, price_denial, quantity_denial, terms_denial
from domain.values import OrderType

BTC = Instrument(
    symbol="BTCUSDT",
    tick=Decimal("0.01"),
    lot=Decimal("0.00001"),
    quantity_max=Decimal(100),
    notional_min=Decimal(5),
    currency="USDT",
)

# type quantity price stop > code found limit
TERMS = """
limit       0.1       45000     -       > -
market      0.1       -         -       > -
stop        0.1       -         44000   > -
stop_limit  0.1       45000     44000   > -
limit       0.1       -         -       > price_required
limit       0.1       45000     44000   > stop_price_not_allowed 44000
market      0.1       45000     -       > price_not_allowed 45000
market      0.1       -         44000   > stop_price_not_allowed 44000
stop        0.1       -         -       > stop_price_required
stop        0.1       45000     44000   > price_not_allowed 45000
stop_limit  0.1       -         44000   > price_required
stop_limit  0.1       45000     -       > stop_price_required
limit       0         45000     -       > quantity_not_positive 0 0
limit       -1        45000     -       > quantity_not_positive -1 0
limit       0.000001  45000     -       > quantity_off_lot 0.000001 0.00001
limit       100       45000     -       > -
limit       100.00001 45000     -       > quantity_too_large 100.00001 100
limit       0.1       0         -       > price_not_positive 0 0
limit       0.1       -0.01     -       > price_not_positive -0.01 0
limit       0.1       45000.001 -       > price_off_tick 45000.001 0.01
limit       0.1       45000.10  -       > -
stop        0.1       -         0       > stop_price_not_positive 0 0
stop        0.1       -         1.005   > stop_price_off_tick 1.005 0.01
limit       0.0001    50000     -       > -
limit       0.00009   50000     -       > notional_too_small 4.5 5 USDT
stop        0.00009   -         50000   > notional_too_small 4.5 5 USDT
market      0.00001   -         -       > -
limit       1.1       45000.001 1       > stop_price_not_allowed 1
limit       0.000001  45000.001 -       > quantity_off_lot 0.000001 0.00001
"""


@pytest.mark.parametrize("line", TERMS.strip().splitlines(), ids=lambda line: " ".join(line.split()))
def test_terms(line: str) -> None:
    asked, answer = line.split(">")
    type_, quantity, price, stop = asked.split()
    code, *numbers = answer.split()
    denial = terms_denial(BTC, OrderType(type_), Decimal(quantity), number(price), number(stop))
    assert denial == (None if code == "-" else Denial(code, *numbers))
    exit_denial = terms_denial(BTC, OrderType(type_), Decimal(quantity), number(price), number(stop), reduce_only=True)
    assert exit_denial == (None if code == "notional_too_small" else denial), "what may only reduce may be small, and nothing else"


def number(text: str) -> Decimal | None:
    return None if text == "-" else Decimal(text)


def test_trailing_zeros_are_no_smaller_steps() -> None:
    assert price_denial(BTC, Decimal("45000.010000"), "price") is None
    assert quantity_denial(BTC, Decimal("0.1000000000")) is None


def test_a_denial_prints_numbers_without_exponents() -> None:
    assert quantity_denial(BTC, Decimal("1E-7")) == Denial("quantity_off_lot", "0.0000001", "0.00001")
    assert quantity_denial(BTC, Decimal("1E+3")) == Denial("quantity_too_large", "1000", "100")


# symbol currency > class base quote exchange name pair
DESCRIBED = """
BTCUSDT USDT > crypto BTC USDT CRYPTO BTC/USDT BTC/USDT
BTC/USD USD > crypto BTC USD CRYPTO BTC/USD BTC/USD
SOL-USD USD > crypto SOL USD CRYPTO SOL/USD SOL/USD
AAPL USD > us_equity AAPL USD NASDAQ AAPL AAPL
BRK.B USD > us_equity BRK.B USD NASDAQ BRK.B BRK.B
USD USD > us_equity USD USD NASDAQ USD USD
"""


@pytest.mark.parametrize("line", DESCRIBED.strip().splitlines())
def test_an_instrument_that_says_nothing_of_itself_is_described_by_its_symbol(line: str) -> None:
    (symbol, currency), expected = (part.split() for part in line.split(" > "))
    found = described(msgspec.structs.replace(BTC, symbol=symbol, currency=currency))
    assert [found.asset_class, found.base, found.quote, found.exchange, found.name, found.pair] == expected


def test_what_an_instrument_says_of_itself_stays() -> None:
    said = {"asset_class": AssetClass.CRYPTO, "base": "BTC", "quote": "USD", "exchange": "OTC", "name": "Bitcoin"}
    told = msgspec.structs.replace(BTC, symbol="XBT", **said)
    assert (described(told), told.pair) == (told, "BTC/USD")


def test_what_may_trade_below_zero_is_neither_crypto_nor_equity() -> None:
    found = described(msgspec.structs.replace(BTC, symbol="CL", currency="USD", negative_prices=True))
    assert (found.asset_class, found.base, found.quote, found.exchange, found.name, found.pair) == (None, "CL", "USD", "", "CL", "CL")
