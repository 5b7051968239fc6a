"""Routing rules, built from the routing section and the venues together."""

from collections.abc import Mapping

from apps.exeq.router import RoutingRules
from config.routing_section import RoutingSection
from config.text import ConfigError
from domain.execution.routing import RoutedVenue


def routing_rules(section: RoutingSection, venues: Mapping[str, RoutedVenue]) -> RoutingRules:
    """Build the routing rules. Raises ConfigError when the two configuration files contradict each other."""
    pin = section.pinned_venue
    if section.policy == "pinned" and pin not in venues:
        raise ConfigError(f"routing.pinned_venue: {pin or 'is missing'}; the policy pinned needs one of {', '.join(sorted(venues))}")
    alone = [name for name, venue in venues.items() if venue.plain]
    if alone and len(venues) > 1 and (section.policy != "pinned" or [pin] != alone):
        raise ConfigError(
            f"routing.policy: {alone[0]} has session: plain, so its program takes every order: make it the only venue, "
            f"or set policy: pinned and pinned_venue: {alone[0]}; the other venues then only supply quotes"
        )
    return RoutingRules(
        section.policy,
        int(section.max_quote_age_sec * 1e9),
        pin,
        hold=section.no_venue == "hold",
        health=section.venue_health == "counted",
        away_wait_ns=int(section.venue_away_wait_sec * 1e9),
    )
