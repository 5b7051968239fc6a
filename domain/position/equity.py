"""Samples of what accounts are worth, one for each account and interval. They need live marks, so no journal can give them again."""

from decimal import Decimal
from typing import Final

import msgspec

EQUITY_PLACES: Final = 36
"""Places behind the point of a stored amount: what quantity x price x rate needs."""
MINUTE_NS: Final = 60 * 10**9
STEPS: Final = {"1m": MINUTE_NS, "5m": 5 * MINUTE_NS, "15m": 15 * MINUTE_NS, "1h": 60 * MINUTE_NS, "1d": 1440 * MINUTE_NS}
"""The intervals in which a history is read, nanoseconds. All begin at whole multiples since the epoch, UTC."""


class EquitySample(msgspec.Struct, frozen=True, gc=False):
    """One account at one moment, in USD: `equity` = `cash` + `long` + `short`, the last one negative. `at`: nanoseconds UTC.

    In a history of longer intervals `at` is the begin of the interval, and the amounts are those of its last sample.
    """

    at: int
    account: str
    equity: Decimal
    cash: Decimal
    long: Decimal
    short: Decimal


class Worth(msgspec.Struct, frozen=True, gc=False):
    """What risk published last about an account, as of `updated_at`, nanoseconds UTC."""

    updated_at: int
    equity: Decimal
    cash: Decimal
    long: Decimal
    short: Decimal
