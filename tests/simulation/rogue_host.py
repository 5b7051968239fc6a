"""The host of a paper venue that misbehaves."""

from typing import Any

from apps.live_gateway.venue_host import VenueHost
from tests.simulation.rogue import RogueVenue


class RogueHost(VenueHost):
    """The host of a venue that misbehaves."""

    def __init__(self, ground: Any, *args: Any) -> None:
        self._ground = ground
        super().__init__(*args)

    def _new_venue(self) -> RogueVenue:
        settings, world = self.settings, self._ground.world
        chance = world.random(f"rogue {self.name} {world.loop.time()}")
        rules = settings.maker_bps, settings.taker_bps, settings.rules
        return RogueVenue(self.name, self.instruments, *rules, order_rate=lambda: self._ground.order_rate, chance=chance, fired=world.fired)
