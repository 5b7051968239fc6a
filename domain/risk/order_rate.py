"""An account's order rate: orders per second, and repeats of the same order. Kept only if a limit needs it; not part of the journal."""

from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from domain.order.commands import Terms
from domain.risk.limits import Limits

SECOND: Final = 1_000_000_000
SAME_KEPT_MAX: Final = 256
"""How many different orders are remembered for one account; the least recently used are dropped first."""

Form = tuple[str, str, str, Decimal, Decimal | None, Decimal | None]


def form_of(terms: Terms) -> Form:
    """Return the fields by which two orders of an account are the same one."""
    return terms.symbol, terms.side, terms.order_type, terms.quantity, terms.price, terms.stop_price


class Same(msgspec.Struct, gc=False):
    """Orders of one form: when the last one passed, and how many since `began_ns`."""

    began_ns: int
    last_ns: int
    count: int = 0
    stopped: bool = False


class OrderRateCount(NamedTuple):
    """The counts that an order is checked against, including the order itself."""

    in_a_second: int = 1
    repeats: int = 1
    doubled: bool = False


NO_ORDERS_COUNTED: Final = OrderRateCount()


class OrderRate:
    """One account. `seen` changes nothing; `passed` records every approved order."""

    def __init__(self) -> None:
        self._paid_until_ns = 0
        self._same: dict[Form, Same] = {}

    def seen(self, terms: Terms, limits: Limits, now_ns: int) -> OrderRateCount:
        rate = limits.order_rate_max
        in_a_second = 1 if rate is None else self.in_a_second(rate, now_ns)
        return OrderRateCount(in_a_second, self.repeats(terms, limits, now_ns), self.doubled(terms, limits, now_ns))

    def in_a_second(self, rate: int, now_ns: int) -> int:
        """Return how many of `rate` orders a second are used up, including one more."""
        interval = SECOND // rate
        return (max(self._paid_until_ns - now_ns, 0) + interval - 1) // interval + 1

    def asked(self, rate: int, now_ns: int) -> None:
        """Count one more order that did not exceed the rate."""
        self._paid_until_ns = max(self._paid_until_ns, now_ns) + SECOND // rate

    def same(self, terms: Terms) -> Same | None:
        return self._same.get(form_of(terms))

    def repeats(self, terms: Terms, limits: Limits, now_ns: int) -> int:
        """Count orders of this form within the window, including this one. Once above the limit it stays so."""
        same, most = self.same(terms), limits.repeated_orders_max
        if same is None or most is None:
            return 1
        if same.stopped:
            return max(same.count, most) + 1
        return same.count + 1 if now_ns - same.began_ns < limits.repeated_window_ns else 1

    def doubled(self, terms: Terms, limits: Limits, now_ns: int) -> bool:
        """Return whether the same order passed within the duplicate window."""
        same, window = self.same(terms), limits.duplicate_window_ns
        return same is not None and window is not None and now_ns - same.last_ns < window

    def passed(self, terms: Terms, limits: Limits, now_ns: int) -> None:
        form = form_of(terms)
        same = self._same.pop(form, None)
        if same is None or (not same.stopped and now_ns - same.began_ns >= limits.repeated_window_ns):
            same = Same(now_ns, now_ns)
        same.count += 1
        same.last_ns = now_ns
        self._same[form] = same
        if len(self._same) > SAME_KEPT_MAX:
            del self._same[next(iter(self._same))]

    def stop(self, terms: Terms) -> None:
        """Refuse this form until an operator enables it again."""
        if same := self.same(terms):
            same.stopped = True

    def enable(self) -> int:
        """Let all stopped forms pass again; return how many there were."""
        stopped = [form for form, same in self._same.items() if same.stopped]
        for form in stopped:
            del self._same[form]
        return len(stopped)
