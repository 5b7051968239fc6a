"""Names of the market's objects: market/<kind>/venue=<venue>/day=<day>/epoch=<epoch>-n=<first>-<last>.parquet."""

import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

ROOT: Final = "market"
_NAME: Final = re.compile(r"epoch=([0-9]{1,19})-n=([0-9]{9,18})-([0-9]{9,18})\.parquet", re.ASCII)


class MarketRange(NamedTuple):
    """The messages of one part and epoch from `first` to `last`, both included."""

    kind: str
    venue: str
    day: str
    epoch: int
    first: int
    last: int

    @property
    def part(self) -> str:
        return f"{self.kind}.{self.venue}"

    @property
    def name(self) -> str:
        return f"{folder(self.kind, self.venue, self.day)}/epoch={self.epoch}-n={self.first:09d}-{self.last:09d}.parquet"


def folder(kind: str, venue: str, day: str) -> str:
    """Return the folder of one venue's day. What a folder's name cannot have is escaped."""
    return f"{ROOT}/{kind}/venue={quote(venue, safe='')}/day={day}"


def range_of_name(name: str) -> MarketRange | None:
    """Return what an object of the market holds; None if its name has no range."""
    parts = name.split("/")
    found = _NAME.fullmatch(parts[-1])
    if found is None or len(parts) != 5 or not parts[2].startswith("venue=") or not parts[3].startswith("day="):
        return None
    epoch, first, last = map(int, found.groups())
    return MarketRange(parts[1], unquote(parts[2].removeprefix("venue=")), parts[3].removeprefix("day="), epoch, first, last)
