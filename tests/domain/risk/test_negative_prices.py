"""What risk makes of prices at zero and below: the size of the price is at stake, differences of closes are measured."""

from decimal import Decimal
from inspect import cleandoc

import pytest

from domain.market.close_remarks import remarks_on
from domain.market.price_history import DailyClose, Series, history_of
from tests.domain.risk.scene import Scene

D = Decimal


def check(text: str) -> None:
    Scene().run(cleandoc(text))


def test_what_is_at_stake_is_the_size_of_the_price() -> None:
    """In EUR at 1.25 USD."""
    check(
        """quote CRUDE -40.01 -39.99
           alice o1 buy 100 CRUDE @-40
           > approved
             order_size_limit 5000 100000
             order_size_limit 100 10000
             position_limit 5000 1000000
             concentration_limit 5000 25000
             buying_power 2500 100000
           fill o1 100 @-40 fee=4
           = alice equity 99995, gross_exposure 5000, worst_case_exposure 5000, margin_in_use 2500, buying_power 97495
           quote CRUDE -50.01 -49.99
           = alice equity 98745, gross_exposure 6250, margin_in_use 3125
           quote CRUDE 9.99 10.01
           = alice equity 106245, gross_exposure 1250
           quote CRUDE -0.01 0.01
           = alice equity 104995, gross_exposure 0, margin_in_use 0
           alice o2 sell 100 CRUDE @0
           > approved
           fill o2 100 @0
           = alice equity 104995, gross_exposure 0, open_orders 0"""
    )


def test_limits_hold_below_zero_as_above() -> None:
    check(
        """quote CRUDE -40.01 -39.99
           alice o1 buy 2001 CRUDE @-40
           > order_size_limit 100050 100000 USD
           alice o2 sell 501 CRUDE @-40
           > concentration_limit 25050 25000 USD
           alice o3 sell 500 CRUDE @-40
           > approved
           alice o4 sell 1 CRUDE @-40
           > concentration_limit 25050 25000 USD
           fill o3 500 @-40
           = alice equity 100000, gross_exposure 25000, worst_case_exposure 25000
           alice o5 buy 500 CRUDE @-30
           > approved
           = alice worst_case_exposure 25000, reservations 0
           alice o6 buy 100 CRUDE @-40
           > approved
           = alice worst_case_exposure 25000"""
    )


def test_a_market_order_counts_at_the_larger_size_of_touch_and_stop() -> None:
    check(
        """quote CRUDE -40 -38
           alice o1 buy 1 CRUDE market
           > approved reference=-38.38
           alice o2 sell 1 CRUDE market
           > approved reference=-40.4
           alice o3 sell 1 CRUDE stop -50
           > approved reference=-50.5
           alice o4 buy 1 CRUDE stop 10
           > approved reference=-38.38"""
    )


def test_the_collar_is_a_share_of_the_size_and_a_hundred_ticks_at_least() -> None:
    check(
        """limits price_collar=0.2
           quote CRUDE -40.01 -39.99
           alice o1 buy 1 CRUDE @-32
           > approved
           alice o2 buy 1 CRUDE @-31.99
           > price_collar 10.0125 10 USD
           alice o3 sell 1 CRUDE @-48.01
           > price_collar 10.0125 10 USD
           quote CRUDE -0.01 0.01
           alice o4 buy 1 CRUDE @1
           > approved
           alice o5 buy 1 CRUDE @1.01
           > price_collar 1.2625 1.25 USD
           alice o6 sell 1 CRUDE @-1
           > approved
           alice o7 buy 1 CRUDE stop 0 @-1.01
           > price_collar 1.2625 1.25 USD"""
    )


def test_a_replace_counts_at_the_worse_size() -> None:
    check(
        """quote CRUDE -40.01 -39.99
           alice o1 buy 100 CRUDE @-40
           = alice reservations 2500
           fill o1 40 @-40
           bust o1 40 @-40
           = alice reservations 2500, margin_in_use 0"""
    )


def test_value_at_risk_is_measured_by_differences() -> None:
    """The prices fell by 48 EUR on the worst day, which is 60 USD a unit; the rise of 47 is 58.75 USD for a short."""
    check(
        """limits enabled=var_limit var_max=6000
           closes CRUDE 10 -38 9 0 -1
           alice o1 buy 100 CRUDE @-40
           > approved
             var_limit 6000 6000
           alice o2 buy 1 CRUDE @0
           > var_limit 6060 6000 USD
           bob o3 sell 100 CRUDE @0
           > approved
             var_limit 5875 6000
           fill o1 100 @-40
           = alice var 6000, gross_exposure 5000
           quote CRUDE 0 0
           = alice var 6000, gross_exposure 0
           alice o4 sell 250 CRUDE @0
           > var_limit 8812.5 6000 USD
           alice o5 sell 100 CRUDE @0
           > approved"""
    )


def test_differences_and_returns_of_the_same_days_meet_in_one_scenario() -> None:
    """A fall of CRUDE by 10 EUR (12.5 USD) on the day on which PENNY rose by a tenth: 80 x 12.5 against 100 x 100 x 0.1."""
    check(
        """limits enabled=var_limit
           closes CRUDE 5 -5 0
           closes PENNY 100 110 110
           alice o1 buy 80 CRUDE @-1
           fill o1 80 @-1
           = alice var 1000
           alice o2 buy 100 PENNY @100
           fill o2 100 @100
           = alice var 0"""
    )


def test_what_is_held_at_a_price_of_zero_without_closes_is_not_measured() -> None:
    check(
        """limits enabled=var_limit
           closes PENNY 100 90 99
           recorded alice o1 buy 10 CRUDE @0
           fill o1 10 @0
           quote CRUDE 0 0
           alice o2 buy 1 PENNY @100
           > no_price_history CRUDE missing
           alice o3 sell 10 CRUDE @0
           > approved"""
    )


def test_value_at_risk_that_cannot_be_kept_apart_is_refused_and_not_wrong() -> None:
    with pytest.raises(OverflowError, match="not measured beyond"):
        check(
            """limits enabled=var_limit var_max=1000000000000000000000000000000
               closes CRUDE 0 -100000000000000000 0
               alice o1 buy 1 CRUDE @0"""
        )


def test_a_close_that_is_many_times_the_last_is_no_jump_where_ratios_mean_nothing() -> None:
    def history(symbol: str, *prices: str) -> object:
        closes = [DailyClose(day, symbol, D(price), "test") for day, price in enumerate(prices)]
        found = history_of(closes, [symbol], len(prices), returns=len(prices) - 1, age_max_days=9, by_difference=frozenset({"CL"}))
        return found.unusable or remarks_on(found) or found.series[symbol]

    assert history("PLAIN", "0.01", "5", "5.1") == {"PLAIN": "jump"}
    assert history("PLAIN", "1", "0", "1") == history("PLAIN", "1", "-1", "1") == {"PLAIN": "not_positive"}
    assert history("CL", "0.01", "-5", "5.1") == Series((0, 1, 2), (D("0.01"), D(-5), D("5.1")))
    assert history("CL", "20", "19", "18", "-37.63", "10", "11") == {"CL": ("jump: from -37.63 to 10 on 1970-01-05",)}
    assert history("CL", "-1", "-1", "-1", "-1", "-1") == {"CL": ("flat: 5 closes of -1 up to 1970-01-05",)}
