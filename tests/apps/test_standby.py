"""Two processes of one service on a real server: one works, the other stands by, and takes over when the first is gone or asleep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from nats.aio.client import Client

from adapters import bus
from apps.runtime.standby import Turn
from domain.standby import LEASE_NS
from tests.live import LiveServer

WITHIN_S = 20.0


class Process:
    """One of them: its connection, its turn, and what it was told."""

    def __init__(self, client: Client, sender: str) -> None:
        self.client = client
        self.turn = Turn(client, "exeq", sender=sender)
        self.reasons: list[str] = []
        self.lost: list[str] = []
        self.tasks = [asyncio.create_task(self._live())]

    async def _live(self) -> None:
        await self.turn.wait(self.reasons.append)
        await self.turn.run(self.lost.append)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.client.close()


class House:
    def __init__(self, url: str, exits: AsyncExitStack) -> None:
        self.url = url
        self.exits = exits

    async def process(self, sender: str) -> Process:
        made = Process(await bus.connect(self.url, sender, closed=lambda: None), sender)
        self.exits.push_async_callback(made.end)
        return made


@pytest.fixture
async def house(fresh_nats: LiveServer) -> AsyncIterator[House]:
    async with living(fresh_nats) as made:
        yield made


@asynccontextmanager
async def living(nats: LiveServer) -> AsyncIterator[House]:
    async with AsyncExitStack() as exits:
        yield House(nats.url, exits)


async def until(*true: Process) -> None:
    """Until each of these works."""
    async with asyncio.timeout(WITHIN_S):
        while not all(one.turn.holds() for one in true):
            await asyncio.sleep(0.02)


async def stands_by(one: Process) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not one.reasons:
            await asyncio.sleep(0.02)
    assert not one.turn.holds()


async def test_the_second_stands_by_until_the_first_is_gone(house: House) -> None:
    first = await house.process("z")
    await until(first)
    assert not first.reasons, "where no other is there the start does not wait"
    second = await house.process("a")
    await stands_by(second)
    assert second.reasons == ["stands by: z works"]
    await first.end()
    await until(second)
    assert not second.lost


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
async def test_of_two_that_begin_at_once_one_works(house: House, names: tuple[str, str]) -> None:
    both = await asyncio.gather(*map(house.process, names))
    async with asyncio.timeout(WITHIN_S):
        while sum(one.turn.holds() for one in both) != 1 or not any(one.reasons or one.lost for one in both):
            await asyncio.sleep(0.02)


async def test_one_that_was_stopped_does_not_work_when_it_wakes_and_ends(house: House) -> None:
    # its loop stands still, as under SIGSTOP: what was sent to it waits, and time goes by
    sleeper = await house.process("a")
    await until(sleeper)
    other = await house.process("z")
    await stands_by(other)
    answer, sleeper.turn._on_question = sleeper.turn._listening, None  # type: ignore[method-assign, assignment]
    assert answer is not None
    await answer.unsubscribe()  # it is deaf: its subscription is gone, and its own question gets no answer
    await until(other)
    async with asyncio.timeout(LEASE_NS / 1e9 + WITHIN_S):
        while not sleeper.lost and sleeper.turn.holds():
            await asyncio.sleep(0.02)
    assert not sleeper.turn.holds()
    assert other.turn.holds()
