"""The clock and the network that all histories stand on."""

import asyncio
import contextvars
from typing import Any

import pytest

from tests.simulation.bus import Message, Network, matches
from tests.simulation.loop import OWNER, Deadlock, VirtualLoop, run_virtually
from tests.simulation.world import Weather, World


def test_an_hour_passes_at_once_and_in_order() -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time()))

    async def main(loop: VirtualLoop) -> None:
        await asyncio.gather(sleeper("b", 3600), sleeper("a", 0.25), sleeper("c", 3600))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.Event().wait()

    run_virtually(main)
    assert seen == [("a", 0.25), ("b", 3600), ("c", 3600)]


def test_waiting_for_nothing_is_an_error_and_so_is_never_waiting() -> None:
    async def endless(loop: VirtualLoop) -> None:
        await asyncio.Event().wait()

    async def always(loop: VirtualLoop) -> None:
        while True:
            await asyncio.sleep(0)

    for main in (endless, always):
        with pytest.raises(Deadlock):
            run_virtually(main)


class Stoppable:
    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []
        self.frozen = False


def test_a_stopped_process_does_nothing_and_continues_later() -> None:
    owner, seen = Stoppable(), []

    async def count() -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(asyncio.get_running_loop().time())

    async def main(loop: VirtualLoop) -> None:
        context = contextvars.copy_context()
        context.run(OWNER.set, owner)
        counting = loop.create_task(count(), context=context)
        await asyncio.sleep(2.5)
        owner.frozen = True
        loop.look_again()
        await asyncio.sleep(5)
        owner.frozen = False
        loop.look_again()
        await asyncio.sleep(1.2)
        assert owner.tasks == [counting]
        counting.cancel()
        await asyncio.wait([counting])

    run_virtually(main)
    assert seen == [1, 2, 7.5, 8.5], "for who was stopped, the time has run on"


@pytest.mark.parametrize(
    ("pattern", "subject", "heard"),
    [
        ("fills.>", "fills.alice", True),
        ("fills.>", "fills", False),
        ("orders.*.*", "orders.alice.new", True),
        ("orders.*.*", "orders.alice", False),
        ("orders.*.*", "orders.alice.new.now", False),
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
    ],
)
def test_subjects_match_as_nats_matches_them(pattern: str, subject: str, heard: bool) -> None:
    assert matches(pattern, subject) is heard


def test_links_keep_their_order_until_the_weather_changes() -> None:
    calm = run_virtually(lambda loop: _sent(loop, Weather()))
    rough = run_virtually(lambda loop: _sent(loop, Weather(reorder=0.5)))
    assert calm == sorted(calm)
    assert sorted(rough) == calm != rough


async def _sent(loop: VirtualLoop, weather: Weather) -> list[int]:
    world = World(1, loop)
    world.weather = weather
    network, heard = Network(world), []

    async def hear(message: Message) -> None:
        heard.append(int(message.data))

    listener, speaker = network.connect("listener"), network.connect("speaker")
    await listener.subscribe("numbers", cb=hear)
    for number in range(50):
        await speaker.publish("numbers", str(number).encode())
    await asyncio.sleep(1)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    return heard
