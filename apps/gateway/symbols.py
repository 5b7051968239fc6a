"""What a venue is asked for, and what the venue's own list of instruments says of it."""

from collections.abc import Mapping

from domain.market.venues.feed import Opening
from domain.market.venues.instruments import ListedSymbol


class Listing:
    """What a venue is asked for: our symbols, its names, and how deep its books are wanted. It does not change."""

    def __init__(self, kind: str, symbols: Mapping[str, str], depth: int) -> None:
        self.kind = kind
        self.symbols = symbols
        """Our name -> the venue's."""
        self.depth = depth

    def opening(self, url: str, steps: Mapping[str, tuple[str, str]]) -> Opening:
        names = {name: ours for ours, name in self.symbols.items()}
        return Opening(
            kind=self.kind, url=url, symbols=names, depth=self.depth, steps={name: steps[name] for name in names if name in steps}
        )

    def plus(self, symbol: str, name: str) -> "Listing":
        """Return a listing with one symbol more. The depth stays: all books of a connection have the same."""
        return Listing(self.kind, {**self.symbols, symbol: name}, self.depth)

    def minus(self, symbol: str) -> "Listing":
        return Listing(self.kind, {ours: name for ours, name in self.symbols.items() if ours != symbol}, self.depth)


class Instruments:
    """The state of the venue's list, over all connections. By the venue's name."""

    def __init__(self) -> None:
        self.listed: dict[str, ListedSymbol] = {}
        self.gone: dict[str, str] = {}
        """Our symbols, with the venue's names, that are wanted and not in the venue's list."""
        self.checked_at: dict[str, int] = {}
        """When a symbol was last asked for, by our steady clock, nanoseconds."""

    def steps(self) -> Mapping[str, tuple[str, str]]:
        return {name: listed.steps for name, listed in self.listed.items()}
