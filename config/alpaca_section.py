"""The settings of the facade that speaks Alpaca's trading API."""

from typing import Annotated, Final

from pydantic import Field

from config.kinds import Section

ALPACA_BASE: Final = "/alpaca"


class AlpacaSection(Section):
    """Whether oms answers as Alpaca does, below `base`. A key is always needed there."""

    enabled: bool = True
    base: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_-]+){1,4}$")] = ALPACA_BASE
