"""Options of a trailing stop."""

from typing import Annotated

import typer

from apps.cli.options import number, price_of
from domain.order.trail import TrailTrigger

_HELP = "Trailing stops"

TrailAmount = Annotated[
    str | None, typer.Option(metavar="NUMBER", rich_help_panel=_HELP, help="How far the stop price stays behind the best price.")
]
TrailPercent = Annotated[
    str | None, typer.Option(metavar="NUMBER", rich_help_panel=_HELP, help="The same as a share of the best price: 0.01 to 50.")
]
TrailTriggerOption = Annotated[TrailTrigger | None, typer.Option(rich_help_panel=_HELP, help="The price to follow. By default touch.")]
LimitOffset = Annotated[
    str | None, typer.Option(metavar="NUMBER", rich_help_panel=_HELP, help="Become a limit order, so far behind the stop price.")
]
ActivationPrice = Annotated[
    str | None, typer.Option(metavar="NUMBER", rich_help_panel=_HELP, help="Follow the market once it has been here.")
]


def distance(amount: str | None, percent: str | None) -> dict[str, str | None]:
    """Return the fields of how far a stop trails. WrongUsage."""
    return {"trail_amount": number(amount, "--trail-amount"), "trail_percent": number(percent, "--trail-percent")}


def trail(
    amount: str | None, percent: str | None, trigger: TrailTrigger | None, offset: str | None, activation: str | None
) -> dict[str, str | None]:
    """Return the fields of a trailing stop. WrongUsage."""
    return {
        **distance(amount, percent),
        "trail_trigger": trigger,
        "limit_offset": number(offset, "--limit-offset"),
        "activation_price": price_of(activation, "--activation-price"),
    }
