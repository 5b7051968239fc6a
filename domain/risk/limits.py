"""The limits that every order is checked against. All money is USD; rates are fractions, not percent."""

from decimal import Decimal
from typing import Final

import msgspec

from domain.risk.var import Method

POSITION_LIMIT: Final = "position_limit"
ORDER_SIZE_LIMIT: Final = "order_size_limit"
BUYING_POWER: Final = "buying_power"
VAR_LIMIT: Final = "var_limit"
CONCENTRATION_LIMIT: Final = "concentration_limit"
SHORT_RESTRICTION: Final = "short_restriction"

SWITCHES: Final = (POSITION_LIMIT, ORDER_SIZE_LIMIT, BUYING_POWER, VAR_LIMIT, CONCENTRATION_LIMIT, SHORT_RESTRICTION)
"""The checks that a configuration enables by name. Others are always on, or on if their own limit below is not None."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the limits. The numbers are the user's; docs/risk.md defines what each is compared with."""

    version: int = 1
    set_by: str = "configuration"
    enabled: frozenset[str] = frozenset(SWITCHES)
    order_notional_max: Decimal = Decimal(100_000)
    order_quantity_max: Decimal = Decimal(10_000)
    position_notional_max: Decimal = Decimal(1_000_000)
    concentration_max: Decimal = Decimal("0.25")
    buying_power_initial: Decimal = Decimal(100_000)
    margin_rate: Decimal = Decimal("0.5")
    market_buffer: Decimal = Decimal("0.01")
    short_accounts: frozenset[str] = frozenset()
    var_max: Decimal = Decimal(50_000)
    var_method: Method = Method(Decimal("0.99"))
    quote_age_max_ns: int = 10_000_000_000
    price_collar: Decimal | None = Decimal("0.2")
    open_orders_max: int | None = None
    order_rate_max: int | None = None
    duplicate_window_ns: int | None = None
    repeated_orders_max: int | None = None
    repeated_window_ns: int = 60_000_000_000
    algo_notional_max: Decimal | None = None
    """The order size limit of a parent's full quantity; None: that of orders. Each of its children has the limit of orders."""
