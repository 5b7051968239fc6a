"""Health: published and requested, as of now, without too many requests."""

import asyncio

import structlog
from structlog.testing import capture_logs

from apps.runtime.health import Health
from domain.ports import Unavailable


class Dependency:
    """Something that is well until told otherwise, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.hangs = False

    async def probe(self) -> str | None:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.error:
            raise self.error
        return None


def health() -> Health:
    return Health("healthy", "unhealthy", structlog.get_logger())


async def test_nothing_known_is_nothing_wrong_and_the_first_trouble_is_named() -> None:
    state = health()
    assert await state.trouble() is None
    state.set("nats", False, "disconnected")
    state.set("valkey", False)
    assert await state.trouble() == "nats: disconnected"
    state.set("nats", True)
    assert await state.trouble() == "valkey: not well"


async def test_a_dependency_that_fails_in_a_known_way_says_why() -> None:
    for error, words in ((Unavailable("no route"), "db: no route"), (ConnectionRefusedError(), "db: ConnectionRefusedError")):
        state, dependency = health(), Dependency()
        state.depend("db", dependency.probe)
        dependency.error = error
        assert await state.trouble() == words


async def test_a_dependency_that_hangs_is_not_waited_for_and_does_not_hide_the_others() -> None:
    state, hanging, fine = health(), Dependency(), Dependency()
    hanging.hangs = True
    state.depend("db", hanging.probe)
    state.depend("cache", fine.probe)
    assert await asyncio.wait_for(state.trouble(), 120) == "db: no answer within 1 s"
    assert fine.asked == 1


async def test_a_hundred_who_ask_at_once_ask_the_dependency_once() -> None:
    state, dependency = health(), Dependency()
    state.depend("db", dependency.probe)
    assert set(await asyncio.gather(*(state.trouble() for _ in range(100)))) == {None}
    assert await state.trouble() is None
    assert dependency.asked == 1
    await asyncio.sleep(0.6)
    dependency.error = Unavailable("gone")
    assert await state.trouble() == "db: gone"


async def test_one_who_leaves_does_not_take_the_answer_from_the_others() -> None:
    state, dependency = health(), Dependency()
    dependency.hangs = True
    state.depend("db", dependency.probe)
    impatient = asyncio.create_task(state.trouble())
    patient = asyncio.create_task(state.trouble())
    await asyncio.sleep(0.1)
    impatient.cancel()
    assert await patient == "db: no answer within 1 s"


def test_changes_are_logged_once_and_starting_is_no_warning() -> None:
    with capture_logs() as events:
        state = health()
        state.set("service", False, "starting")
        state.set("service", True)
        state.set("nats", False, "disconnected")
        state.set("nats", False, "disconnected")
        state.set("nats", True)
    assert [(event["log_level"], event["event"]) for event in events] == [
        ("info", "This service is healthy"),
        ("warning", "This service is unhealthy"),
        ("info", "This service is healthy"),
    ]
