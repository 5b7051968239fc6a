"""`python -m tests.bench.archive --orders 40000`: what the archive of the order journal costs, to a directory, and to verify it.

Orders' whole lives. Printed only: the aim is 20 us CPU an event and 10 000 events a second.
"""

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from adapters import subjects
from adapters.archive_place import ArchivePlace
from adapters.codec import ORDER_COMMITS
from adapters.commit_objects import packed, unpacked
from adapters.journalcopy import Copied
from adapters.parquet_events import tables_of, written
from apps.sink.archive import BATCH_MAX
from apps.tools.archive.check import ArchiveCopy
from domain.archive.checkpoint import Checkpoint
from domain.archive.ranges import RANGE, Span
from domain.order.events import OrderEvent
from domain.values import use_exact_arithmetic
from tests.archived import FakeStream, objects_in, rows
from tests.bench.crowd import crowd


def cpu_s() -> float:
    """User and system time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def journal_of(commits: Iterable[Sequence[OrderEvent]]) -> tuple[FakeStream, int]:
    """The journal of these commits, and how many events it has."""
    stream, events = FakeStream(), 0
    for n, commit in enumerate(commits, 1):
        stream.put(subjects.order_subject(0), ORDER_COMMITS.encode(0, n, commit))
        events += len(commit)
    return stream, events


def step(name: str, events: int, work: Callable[[], object]) -> None:
    began = cpu_s()
    work()
    print(f"{name:<34} {(cpu_s() - began) / events * 1e6:6.2f} us CPU an event")


async def written_to(directory: Path, stream: FakeStream, events: int) -> None:
    place = ArchivePlace(objects_in(directory), stream.stream, stream, lambda _: None)
    await place.claim()
    began, wall = cpu_s(), time.perf_counter()
    for start in range(0, len(stream.messages), BATCH_MAX):
        await place.write(rows(stream.messages[start : start + BATCH_MAX]), Checkpoint())
    used, took = cpu_s() - began, time.perf_counter() - wall
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    costs = f"{used / events * 1e6:6.2f} us CPU an event, {events / took:8.0f} events/s"
    print(f"archive, Parquet and commits       {costs}, {size / events:.0f} bytes each")
    began, wall = cpu_s(), time.perf_counter()
    await ArchiveCopy(objects_in(directory)).verified()
    used, took = cpu_s() - began, time.perf_counter() - wall
    print(f"verify, chains and rows            {used / events * 1e6:6.2f} us CPU an event, {events / took:8.0f} events/s")


def parts_of(messages: Sequence[Copied], events: int) -> None:
    """What of it the two formats cost."""
    tables = tables_of(messages)
    step("  rows and columns of events", events, lambda: tables_of(messages))
    step("  Parquet", events, lambda: [written(table) for table in tables.values()])
    step("  commits", events, lambda: packed(subjects.ORDER_STREAM, {}, messages, {}))
    data = packed(subjects.ORDER_STREAM, {}, messages, {})
    step("  commits read", events, lambda: unpacked(subjects.ORDER_STREAM, Span(1, len(messages)), data))


def measure(commits: Iterable[Sequence[OrderEvent]]) -> None:
    stream, events = journal_of(commits)
    print(f"{len(stream.messages)} commits, {events} events, {sum(len(each.data) for each in stream.messages) / events:.0f} bytes each")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(written_to(Path(directory), stream, events))
    first = stream.messages[:RANGE]
    parts_of(first, sum(table.num_rows for table in tables_of(first).values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=40_000)
    orders = parser.parse_args().orders
    use_exact_arithmetic()
    print("As under load: many events a commit")
    measure(crowd(orders))
    print("As when idle: one event a commit")
    measure([event] for commit in crowd(orders // 4) for event in commit)


if __name__ == "__main__":
    main()
