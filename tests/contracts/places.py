"""What every place promises, as scenes that run on any of them: delivered twice, split anywhere, killed anywhere, two at once.

A test module makes a `Shelf` of its place (storage that outlives the processes which write it) and runs `check_all`, or one scene.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.clock import SystemClock
from adapters.memory_places import MemoryDeadLetters
from apps.sink.pipeline import FlushBounds, Pipeline
from domain.archive.checkpoint import Checkpoint, Message
from domain.archive.ports import ArchiveRow, Place, Rows
from domain.ports import Fenced

DEADLINE_S = 120.0
FAILPOINTS = ("before_rows", "after_rows", "after_checkpoint")

Fails = Callable[[str], None]


class Killed(BaseException):
    """The process is gone at this place: no handler of the product may catch it."""


def kills_at(name: str, times: int) -> Fails:
    """A failpoint that ends the pipeline at the n-th pass of a place."""
    left = [times]

    def fails(reached: str) -> None:
        if reached == name:
            left[0] -= 1
            if not left[0]:
                raise Killed(name)

    return fails


def never(_: str) -> None: ...


class ListSource:
    """A log in memory. `again` repeats this many of the last messages before each batch of `size`; `behind` is exact."""

    def __init__(self, messages: Sequence[Message[Any]], *, size: int = 3, again: int = 0) -> None:
        self.log = list(messages)
        self.behind = len(self.log)
        self.unread_percent = 0
        self.size = size
        self.again = again

    async def look(self, after: Checkpoint) -> None:
        self.behind = len(self.log) - (after.hint.seq if after.hint else 0)

    async def messages(self, after: Checkpoint) -> AsyncGenerator[Sequence[Message[Any]]]:
        position = after.hint.seq if after.hint else 0
        while True:
            await asyncio.sleep(0)
            batch = self.log[max(0, position - self.again) : position + self.size]
            position = min(len(self.log), position + self.size)
            self.behind = len(self.log) - position
            yield batch if self.again or batch else []


@dataclass
class Shelf:
    """A place under test. `open` gives a new process's access to the same storage.

    `identity` is what readers can see of a row, as a hashable; `held` counts these for all that they find. `held` may poll until everything
    written can be read.
    """

    open: Callable[[Fails], Place]
    held: Callable[[], Awaitable[Counter[Hashable]]]
    rows: Rows
    identity: Callable[[ArchiveRow], Hashable]
    messages: Sequence[Message[Any]]
    refusable: Message[Any] | None = None
    """A message whose row the place refuses; its part is none of the others. None: it refuses nothing."""
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    planted: Rows | None = None
    """Rows with a planted bug, which the pipeline uses in place of `rows`."""

    def expected(self) -> Counter[Hashable]:
        return Counter({self.identity(row) for message in self.messages for row in self.rows(message)})


def numbered(messages: Sequence[Message[Any]]) -> list[Message[Any]]:
    """The same messages with the sequences of a stream that holds them."""
    return [
        Message(part=one.part, epoch=one.epoch, n=one.n, body=one.body, seq=seq, chain=one.chain) for seq, one in enumerate(messages, 1)
    ]


async def moved(shelf: Shelf, source: ListSource, *, fails: Fails = never, flush_rows: int = 5) -> Checkpoint:
    """Run a pipeline until the place says that it has all of the source. Raises Killed if it ends before."""
    place = shelf.open(fails)
    bounds = FlushBounds(rows=flush_rows, wait_s=0.0)
    rows = shelf.planted or shelf.rows
    pipeline = Pipeline("under test", source, rows, place, shelf.letters, SystemClock(), bounds=bounds, fails=fails)
    running = asyncio.create_task(_to_its_end(pipeline))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not running.done() and not (pipeline.starts and _all(pipeline, source)):
                await asyncio.sleep(0.001)
        if running.done() and (killed := await running):
            raise killed
        return await place.checkpoint()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Fenced):
            await running
        await place.close()


async def _to_its_end(pipeline: Pipeline) -> Killed | None:
    """Run it. Killed is returned: asyncio lets a BaseException that is raised in a task end the whole loop."""
    try:
        await pipeline.run()
    except Killed as killed:
        return killed
    return None


def _all(pipeline: Pipeline, source: ListSource) -> bool:
    return all(pipeline.checkpoint.holds(one.part, one.epoch, one.n) for one in source.log)


async def check_once_each(shelf: Shelf) -> None:
    """The place holds each row once, with exactly its values, and nothing else."""
    held, expected = await shelf.held(), shelf.expected()
    assert held - expected == Counter(), "rows that no message has, or rows held twice"
    assert expected - held == Counter(), "rows are missing"


async def check_delivered_twice(shelf: Shelf) -> None:
    """Every message comes again, behind later ones, to the same process and to the next one."""
    log = numbered(shelf.messages)
    for _ in range(2):
        reached = await moved(shelf, ListSource(log, again=2))
        assert all(reached.holds(one.part, one.epoch, one.n) for one in log)
    await check_once_each(shelf)


async def check_split(shelf: Shelf, sizes: Sequence[int] = (1, 2, 5)) -> None:
    """However the log is cut into batches and writes, a second and third process change nothing."""
    log = numbered(shelf.messages)
    for size in sizes:
        await moved(shelf, ListSource(log[: len(log) // 2 + size], size=size), flush_rows=size)
    await moved(shelf, ListSource(log, size=sizes[0]), flush_rows=sizes[-1])
    await check_once_each(shelf)


async def check_killed(shelf: Shelf, failpoint: str, times: int = 2) -> None:
    """MARKETDATA 4: crash between write and checkpoint. Killed there, the next process ends with each row once."""
    source = ListSource(numbered(shelf.messages))
    killed = False
    try:
        await moved(shelf, source, fails=kills_at(failpoint, times))
    except Killed:
        killed = True
    assert killed, f"{failpoint} was never reached {times} times"
    await check_never_ahead(shelf)
    await moved(shelf, source)
    await check_once_each(shelf)


async def check_never_ahead(shelf: Shelf) -> None:
    """The place has every row of the messages that its checkpoint holds: it never says more than it has."""
    place = shelf.open(never)
    reached, held = await place.checkpoint(), await shelf.held()
    await place.close()
    for message in shelf.messages:
        if reached.holds(message.part, message.epoch, message.n):
            for row in shelf.rows(message):
                assert shelf.identity(row) in held, f"the checkpoint is ahead: {row.origin} is not in the place"


async def check_two_at_once(shelf: Shelf) -> None:
    """MARKETDATA 4: two sinks at once. The one that claimed the place before is fenced, and nothing is there twice."""
    log = numbered(shelf.messages)
    first, second = shelf.open(never), shelf.open(never)
    await first.claim()
    await second.claim()
    await _refused(first, shelf, log[:1])
    await second.close()
    await moved(shelf, ListSource(log))
    await _refused(first, shelf, log[:1])
    await first.close()
    await check_once_each(shelf)


async def _refused(place: Place, shelf: Shelf, log: Sequence[Message[Any]]) -> None:
    fenced = False
    try:
        await place.write([row for message in log for row in shelf.rows(message)], Checkpoint())
    except Fenced:
        fenced = True
    assert fenced, "a sink whose place was claimed by another one still writes"


async def check_refused_goes_aside(shelf: Shelf) -> None:
    """MARKETDATA 4: schema refused by a place. That record goes aside with its reason, once, and the rest is written."""
    assert shelf.refusable is not None
    half = len(shelf.messages) // 2
    log = numbered([*shelf.messages[:half], shelf.refusable, *shelf.messages[half:]])
    for _ in range(2):
        await moved(shelf, ListSource(log, again=2))
    await check_once_each(shelf)
    letters = shelf.letters.newest(10)
    assert [(letter.part, letter.epoch, letter.n) for letter in letters] == [
        (shelf.refusable.part, shelf.refusable.epoch, shelf.refusable.n)
    ]
    assert letters[0].reason


async def check_any_history(shelf: Shelf, seed: int, lives_max: int = 12) -> None:
    """Lives that end at any failpoint, with any cuts and repeats: the place is never behind its own word, and ends with each row once."""
    chance, log = random.Random(seed), numbered(shelf.messages)
    for life in range(lives_max):
        source = ListSource(log, size=chance.randint(1, 6), again=chance.randint(0, 3))
        fails = kills_at(chance.choice(FAILPOINTS), chance.randint(1, 3)) if life < lives_max - 1 else never
        with contextlib.suppress(Killed):
            await moved(shelf, source, fails=fails, flush_rows=chance.randint(1, 8))
        await check_never_ahead(shelf)
    await check_once_each(shelf)
