"""What a configuration says of checks, as the limits that orders are held against."""

from decimal import Decimal
from pathlib import Path

from apps.risk.wiring import limits_of
from config.loading import load_risk
from domain.risk.limits import SWITCHES, Limits
from domain.risk.var import Method

CHECKOUT = Path(__file__).parents[2]


def test_the_users_own_file_becomes_the_users_own_limits() -> None:
    limits = limits_of(load_risk(CHECKOUT / "tests/data/user_config/risk.yaml", {}).risk_checks)
    assert limits == Limits(enabled=frozenset(SWITCHES))


def test_the_default_configuration_has_all_six() -> None:
    assert limits_of(load_risk(CHECKOUT / "config/backend/risk/config.yaml", {}).risk_checks) == Limits()


def test_what_an_operator_may_say_of_checks_arrives_in_the_limits(tmp_path: Path) -> None:
    file = tmp_path / "risk.yaml"
    file.write_text("""risk_checks:
  var_method: parametric
  price_collar_pct: null
  max_open_orders_per_account: 7
  max_orders_per_sec_per_account: 8
  duplicate_order_window_ms: 250
  repeated_orders_max: 9
  repeated_orders_window_sec: 10
""")
    limits = limits_of(load_risk(file, {}).risk_checks)
    assert limits.var_method == Method(Decimal("0.99"), Decimal("2.326347874041"))
    counts = (limits.price_collar, limits.open_orders_max, limits.order_rate_max, limits.repeated_orders_max)
    assert counts == (None, 7, 8, 9)
    assert (limits.duplicate_window_ns, limits.repeated_window_ns) == (250_000_000, 10_000_000_000)


def test_the_defaults_are_the_users_numbers() -> None:
    limits = Limits()
    sizes = (limits.order_notional_max, limits.order_quantity_max, limits.position_notional_max, limits.buying_power_initial)
    assert sizes == tuple(map(Decimal, (100_000, 10_000, 1_000_000, 100_000)))
    assert (limits.concentration_max, limits.margin_rate) == (Decimal("0.25"), Decimal("0.5"))
