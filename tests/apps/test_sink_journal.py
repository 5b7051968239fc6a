"""The journal as a source: every commit reaches the place once, and a journal that went back does not pass for the same one."""

import asyncio
from collections import Counter
from collections.abc import Hashable
from typing import Any

import msgspec
import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, Decoded
from adapters.memory import MemoryJournal
from adapters.memory_places import MemoryDeadLetters, MemoryPlace, MemoryShelf
from apps.sink.journal_source import JournalSource
from apps.sink.pipeline import FlushBounds, Pipeline
from domain.archive.checkpoint import Checkpoint, Hint, Message
from domain.archive.ports import ArchiveRow
from domain.ports import Corrupt, Head
from tests.contracts.facts import filled, queued, submitted
from tests.contracts.places import never


async def journal(*commits: list[Any]) -> MemoryJournal:
    made, head = MemoryJournal(), Head()
    for n, events in enumerate(commits, 1):
        head = await made.append(ORDER_COMMITS.encode(0, n, events), head)
    return made


def rows(message: Message[Decoded[Any]]) -> list[ArchiveRow]:
    events = message.body.commit.events
    return [ArchiveRow("order_events", message.part, message.epoch, message.n, i, event) for i, event in enumerate(events)]


async def test_each_event_of_the_journal_is_a_row_once_and_the_next_process_begins_at_the_hint() -> None:
    written = await journal([submitted("O1"), queued("O1")], [filled("E1")], [queued("O2")])
    stored = MemoryShelf()
    for start in (1, 2):
        place = MemoryPlace(stored, never)
        source = JournalSource(written, ORDER_COMMITS, "orders.0")
        bounds = FlushBounds(rows=2, wait_s=0)
        pipeline = Pipeline("orders", source, rows, place, MemoryDeadLetters(), SystemClock(), bounds=bounds)
        running = asyncio.create_task(pipeline.run())
        async with asyncio.timeout(60):
            while not pipeline.checkpoint.holds("orders.0", 0, 3):
                await asyncio.sleep(0.001)
        running.cancel()
        assert pipeline.rows == (4 if start == 1 else 0)
    found: Counter[Hashable] = Counter((row.n, row.i, type(row.value).__name__) for row in stored.rows.values())
    assert found == Counter({(1, 0, "OrderSubmitted"): 1, (1, 1, "OrderQueued"): 1, (2, 0, "OrderFilled"): 1, (3, 0, "OrderQueued"): 1})
    assert stored.checkpoint.hint == Hint(3, "orders.0", 0, 3, (await written.head()).chain)


async def test_a_journal_with_another_commit_there_is_corrupt() -> None:
    written = await journal([submitted("O1")], [filled("E1")])
    head = await written.head()
    other = msgspec.structs.replace(head, chain="0" * len(head.chain))
    source = JournalSource(written, ORDER_COMMITS, "orders.0")
    with pytest.raises(Corrupt, match="another commit"):
        await anext(source.messages(Checkpoint(hint=Hint(1, "orders.0", 0, 1, other.chain))))
