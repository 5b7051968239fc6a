"""A bracket in its plainest form, without orders, events or messages: what was bought, what was sold again, what is left to sell."""

from decimal import Decimal

ZERO = Decimal(0)


class ObviousBracket:
    """The entry has bought so much, the exits have sold so much. At rest each exit that is still wanted works for the difference.

    `full`: the exits begin only once nothing more is bought.
    """

    def __init__(self, quantity: Decimal, *, full: bool = False) -> None:
        self.to_buy = quantity
        self.full = full
        self.bought = ZERO
        self.sold = ZERO
        self.entry_works = True
        self.gone: set[str] = set()
        """Exits cancelled by hand."""

    def buy(self, quantity: Decimal) -> None:
        self.bought += quantity
        self.entry_works = self.entry_works and self.bought < self.to_buy

    def take_back(self, quantity: Decimal) -> None:
        """A trade of the entry is busted. Exits that have begun stay, unless nothing is left of what was bought."""
        self.bought -= quantity
        self.entry_works = self.entry_works or not self.bought

    def sell(self, quantity: Decimal) -> None:
        self.sold += quantity

    def stop_buying(self) -> None:
        self.entry_works = False

    @property
    def sold_too_much(self) -> bool:
        return self.sold > self.bought

    @property
    def left(self) -> Decimal:
        return ZERO if self.full and self.entry_works else max(self.bought - self.sold, ZERO)

    def works_for(self, exit_: str) -> Decimal:
        """What an exit works for, once every venue has answered."""
        return ZERO if exit_ in self.gone else self.left

    def may_be_waiting(self, exit_: str) -> bool:
        """Whether an exit may still wait: there is nothing to sell yet, and more may be bought."""
        return exit_ not in self.gone and not self.left and self.entry_works
