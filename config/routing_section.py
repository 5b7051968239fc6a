"""The settings of routing in exeq."""

from typing import Annotated, Literal

from pydantic import Field

from config.kinds import Millis, Seconds, Section


class RoutingSection(Section):
    """How exeq routes. `no_venue`: what happens to an order that no venue may take now.

    `venue_health`: whether rejects and silence count against a venue. `stops`: where stop orders wait for their price; trailing stops
    always wait in exeq. `trail_every_ms`: the least time between two records of a trailing stop that follows the market.
    """

    policy: Literal["lowest_cost", "best_price", "split", "pinned"] = "lowest_cost"
    pinned_venue: str | None = None
    no_venue: Literal["reject", "hold"] = "reject"
    stops: Literal["venue", "exeq"] = "venue"
    venue_health: Literal["counted", "ignored"] = "counted"
    venue_away_wait_sec: Seconds = 5
    reconcile_venues_interval_sec: Seconds = 60
    route_batch_max: Annotated[int, Field(ge=1, le=10_000)] = 256
    max_quote_age_sec: Seconds = 10
    trail_every_ms: Millis = 250
