"""Converts venues of the catalogue for routing."""

from config.catalogue import VenueSettings
from domain.execution.routing import RoutedVenue


def routed_venue(venue: VenueSettings) -> RoutedVenue:
    """Return a venue of the catalogue as routing needs it."""
    return RoutedVenue(
        venue.name,
        venue.maker_bps,
        venue.taker_bps,
        venue.symbols,
        venue.orders_per_sec,
        venue.burst,
        int(venue.answer_deadline_ms * 1e6),
        venue.session == "plain",
        venue.icebergs,
    )
