"""Limits of one account, or of one of its symbols, applied over the configuration's; the narrower over the wider."""

from decimal import Decimal
from typing import Final

import msgspec

from domain.risk.controls import Controls, LimitsChanged, LimitSet, LimitsProposed
from domain.risk.limits import Limits

NUMBERS: Final = ("order_notional_max", "order_quantity_max", "position_notional_max", "concentration_max", "var_max")
PER_ACCOUNT: Final = ("var_max", "short_allowed")
"""Limits that cannot be set for one symbol alone."""
SIZES: Final = ("order_notional_max", "position_notional_max", "var_max")
"""The limits in USD. They bound what the others let through, whatever those are."""


class Overrides:
    """The limits in force for an order. `of` costs nothing while no account has limits of its own."""

    def __init__(self, base: Limits, controls: Controls) -> None:
        self._base = base
        self._controls = controls
        self._known: dict[tuple[str, str], Limits] = {}
        self._version = controls.limits_version

    def of(self, account: str, symbol: str = "") -> Limits:
        """Return the limits for an order. Their version is that of the latest change among those they come from."""
        controls = self._controls
        if not controls.limits:
            return self._base
        if controls.limits_version != self._version:
            self._known.clear()
            self._version = controls.limits_version
        wide, narrow = controls.limits.get((account, "")), controls.limits.get((account, symbol)) if symbol else None
        if wide is None and narrow is None:
            return self._base
        found = self._known.get((account, symbol))
        if found is None:
            found = self._known[account, symbol] = _laid(_laid(self._base, wide), narrow)
        return found

    def with_change(self, change: LimitsProposed | LimitsChanged) -> Limits:
        """Return the limits of the account, or of its symbol, as they would be with the change in force."""
        wide = self._controls.limits.get((change.account, "")) if change.symbol else None
        return _laid(_laid(self._base, wide), change)


def raised_above(before: Limits, after: Limits, size: Decimal) -> bool:
    """Return whether a limit in USD grows, to more than `size`."""
    return any(getattr(after, name) > max(getattr(before, name), size) for name in SIZES)


def _laid(limits: Limits, change: LimitsProposed | LimitsChanged | None) -> Limits:
    if change is None:
        return limits
    numbers = {name: value for name in NUMBERS if (value := getattr(change.new, name)) is not None}
    shorts = limits.short_accounts
    if change.new.short_allowed is not None:
        shorts = shorts | {change.account} if change.new.short_allowed else shorts - {change.account}
    newer = change.version > limits.version
    version, who = (change.version, change.who) if newer else (limits.version, limits.set_by)
    return msgspec.structs.replace(limits, version=version, set_by=who, short_accounts=shorts, **numbers)


def own(controls: Controls, account: str, symbol: str = "") -> LimitSet:
    """Return what was set for exactly this account and symbol."""
    found = controls.limits.get((account, symbol))
    return found.new if found is not None else LimitSet()
