"""A bracket in its plainest form, without orders, events or messages: what was bought, what was sold again, what is left to sell."""

from decimal import Decimal

ZERO = Decimal(0)


class ObviousBracket:
    """The entry has bought so much, the exits have sold so much. At rest each exit that is still wanted works for the difference."""

    def __init__(self, quantity: Decimal) -> None:
        self.to_buy = quantity
        self.bought = ZERO
        self.sold = ZERO
        self.entry_works = True
        self.gone: set[str] = set()
        """Exits cancelled by hand."""

    def buy(self, quantity: Decimal) -> None:
        self.bought += quantity
        self.entry_works = self.bought < self.to_buy

    def sell(self, quantity: Decimal) -> None:
        self.sold += quantity

    def stop_buying(self) -> None:
        self.entry_works = False

    @property
    def sold_too_much(self) -> bool:
        return self.sold > self.bought

    @property
    def left(self) -> Decimal:
        return max(self.bought - self.sold, ZERO)

    def works_for(self, exit_: str) -> Decimal:
        """What an exit works for, once every venue has answered."""
        return ZERO if exit_ in self.gone else self.left

    def may_be_waiting(self, exit_: str) -> bool:
        """Whether an exit may still wait for the first trade: nothing was ever bought, and more may be."""
        return exit_ not in self.gone and not self.bought and self.entry_works
