"""The settings of the facade that speaks Alpaca's trading API."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from config.kinds import Section

ALPACA_BASE: Final = "/alpaca"
NATIVE: Final = frozenset(
    (
        "access",
        "admin",
        "algos",
        "diagram",
        "docs",
        "equity",
        "fills",
        "health",
        "instruments",
        "openapi.json",
        "order-lists",
        "orders",
        "positions",
        "ready",
        "stats",
    )
)
"""How the paths of the native API begin: the facade must not cover them."""


def _free(base: str) -> str:
    if base.split("/")[1] in NATIVE:
        raise ValueError("must not begin like a path of the native API")
    return base


class AlpacaSection(Section):
    """Whether oms answers as Alpaca does, below `base`. A key is always needed there."""

    enabled: bool = True
    base: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_-]+){1,4}$"), AfterValidator(_free)] = ALPACA_BASE
