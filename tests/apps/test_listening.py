"""Is a venue's session there? Only silence for its whole deadline says that it is not, and nothing does while we are away ourselves."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from adapters import bus
from apps.exeq.venue_sessions import VenueSessionMonitor
from domain.execution.routing import RoutedVenue
from domain.ports import Unavailable
from tests.apps.owned import owned


class Wire:
    """Venues that answer, and our own connection. `is_connected` as the client has it."""

    def __init__(self) -> None:
        self.is_connected = True
        self.there = {"A", "B"}
        self.reading: set[str] = set()


def venue(name: str, **facts: Any) -> RoutedVenue:
    return RoutedVenue(name, Decimal(1), Decimal(1), frozenset(), answer_deadline_ns=50_000_000, **facts)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()

    async def request(client: Wire, subject: str, payload: bytes, timeout_s: float) -> bytes:
        if not client.is_connected or subject.split(".")[1] not in client.there:
            raise Unavailable("no answer")
        return b'{"ready":false}' if subject.split(".")[1] in client.reading else b'{"ready":true}'

    monkeypatch.setattr(bus, "request", request)
    return wire


async def test_a_venue_is_away_when_its_deadline_has_passed_and_back_when_it_answers(wire: Wire) -> None:
    # FAILURES 37
    sessions = VenueSessionMonitor(wire, {"A": venue("A"), "B": venue("B"), "P": venue("P", plain=True)}, owned())  # type: ignore[arg-type]
    assert await sessions.listen() == (set(), {"A", "B"}), "heard for the first time; a plain venue is not asked"
    wire.there = {"B"}
    assert await sessions.listen() == (set(), set()), "not yet"
    await asyncio.sleep(0.06)
    assert (await sessions.listen(), sessions.away) == (({"A"}, set()), {"A"})
    assert (await sessions.listen(), sessions.away) == ((set(), set()), {"A"}), "once"
    wire.there = {"A", "B"}
    assert (await sessions.listen(), sessions.away) == ((set(), {"A"}), set())


async def test_while_we_are_away_ourselves_nothing_is_known_of_any_venue(wire: Wire) -> None:
    sessions = VenueSessionMonitor(wire, {"A": venue("A")}, owned())  # type: ignore[arg-type]
    await sessions.listen()
    wire.is_connected = False
    await asyncio.sleep(0.06)
    assert (await sessions.listen(), sessions.away) == ((set(), set()), set())
    wire.is_connected = True
    wire.there = set()
    assert (await sessions.listen(), sessions.away) == ((set(), set()), set()), "its silence is counted from when we are there again"


async def test_one_lost_word_is_no_absence_whatever_the_deadline(wire: Wire) -> None:
    sessions = VenueSessionMonitor(wire, {"A": venue("A")}, owned())  # type: ignore[arg-type]
    await sessions.listen()
    await asyncio.sleep(0.06)
    wire.there = set()
    assert (await sessions.listen(), sessions.away, sessions.missed) == ((set(), set()), set(), {"A": 1})
    wire.there = {"A"}
    assert (await sessions.listen(), sessions.away, sessions.missed) == ((set(), set()), set(), {})


async def test_a_venue_that_still_reads_its_journal_is_not_ready_yet(wire: Wire) -> None:
    sessions = VenueSessionMonitor(wire, {"A": venue("A")}, owned())  # type: ignore[arg-type]
    wire.reading = {"A"}
    assert await sessions.listen() == (set(), set())
    wire.reading = set()
    assert await sessions.listen() == (set(), {"A"})
