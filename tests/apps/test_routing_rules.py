"""What the two configuration files say of venues together, and what they may not say."""

from decimal import Decimal

import pytest

from apps.exeq.routing_rules import routing_rules
from config.routing_section import RoutingSection
from config.text import ConfigError
from domain.execution.routing import RoutedVenue


def venues(*names: str, plain: str = "") -> dict[str, RoutedVenue]:
    return {name: RoutedVenue(name, Decimal(1), Decimal(1), frozenset(), plain=name == plain) for name in names}


def test_the_defaults_route_by_cost_and_refuse_what_no_venue_takes() -> None:
    rules = routing_rules(RoutingSection(), venues("A", "B"))
    assert (rules.policy, rules.pin, rules.hold, rules.health) == ("lowest_cost", None, False, True)
    held = routing_rules(RoutingSection(policy="split", no_venue="hold", venue_health="ignored"), venues("A"))
    assert (held.policy, held.hold, held.health) == ("split", True, False)


@pytest.mark.parametrize("pin", [None, "C"])
def test_a_pin_names_a_venue_that_there_is(pin: str | None) -> None:
    with pytest.raises(ConfigError, match=r"routing\.pinned_venue: .* needs one of A, B"):
        routing_rules(RoutingSection(policy="pinned", pinned_venue=pin), venues("A", "B"))
    assert routing_rules(RoutingSection(policy="pinned", pinned_venue="B"), venues("A", "B")).pin == "B"


def test_a_plain_venue_takes_every_order_so_it_is_alone_or_everything_is_pinned_to_it() -> None:
    routing_rules(RoutingSection(), venues("MINE", plain="MINE"))
    routing_rules(RoutingSection(policy="pinned", pinned_venue="MINE"), venues("A", "MINE", plain="MINE"))
    for section in (RoutingSection(), RoutingSection(policy="pinned", pinned_venue="A")):
        with pytest.raises(ConfigError, match="MINE has session: plain"):
            routing_rules(section, venues("A", "MINE", plain="MINE"))
