"""Whose quotes the core uses: those of simulated markets, or also those of real ones."""

from typing import Literal

from config.kinds import Section
from domain.market.quotes import MarketRule


class MarketSection(Section):
    """Whose quotes count. `simulated`: only those of the venues that orders go to. `config`: also those of the market's venues.

    `replay`: also those of a recorded day. `inexact`: whether quotes that passed through binary floating point may be used.
    """

    mode: Literal["simulated", "config", "replay"] = "simulated"
    inexact: bool = False

    def rule(self) -> MarketRule | None:
        """Return which quotes of market venues are used; None: none."""
        return None if self.mode == "simulated" else MarketRule(replayed=self.mode == "replay", inexact=self.inexact)
