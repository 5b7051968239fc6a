"""Modes of access: open to the programs of this machine, or only to callers with a key."""

from typing import Final, Literal, get_args

Mode = Literal["open", "keys"]

OPEN: Final = "open"
"""Callers without a key may trade. For paper venues on loopback only."""
KEYS: Final = "keys"
"""Every request needs a key."""
ACCESS_MODES: Final[tuple[Mode, ...]] = get_args(Mode)
ACCESS_VARIABLE: Final = "TRADE_ACCESS"
