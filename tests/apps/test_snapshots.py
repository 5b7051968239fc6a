"""A restart from a snapshot and the tail is a restart from the whole journal, whatever happened to snapshot, disk or process."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import structlog.testing

from adapters.codec import ORDER_COMMITS
from adapters.memory import MemoryJournal, MemorySnapshots
from adapters.snapshots import NEWEST, PREVIOUS, FileSnapshots
from apps.journal.snapshots import LAST_ONE_MAX_S, Snapshotter
from apps.journal.subscription import Applied, JournalSubscription
from domain.audit.state_hash import state_hash
from domain.order.events import OrderEvent
from domain.ports import Snapshots, Unavailable
from domain.risk.projection import RiskFold
from domain.risk.snapshot import VERSION, RiskState
from tests.bench.crowd import crowd
from tests.children import started
from tests.contracts.test_snapshots import spoilt
from tests.domain.risk.scene import new_risk

CHECKOUT: Final = Path(__file__).resolve().parents[2]
ORDERS: Final = 1000
WITHIN_S: Final = 120.0
ENDLESS_S: Final = 60.0


async def write(journal: MemoryJournal, commits: Iterable[tuple[OrderEvent, ...]]) -> None:
    head = await journal.head()
    for events in commits:
        head = await journal.append(ORDER_COMMITS.encode(0, head.n + 1, events), head)


async def until(condition: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


class Service:
    """risk, as far as this is about it: one fold, followed and kept."""

    def __init__(
        self, journal: MemoryJournal, store: Snapshots | None, *, commits: int = 10**9, seconds: float = 10**9, version: int = VERSION
    ):
        self.journal = journal
        self.fold: RiskFold = new_risk().fold
        self.snapshots = Snapshotter(store, "risk", self.fold, RiskState, version, every_commits=commits, every_s=seconds)

    def apply(self, commits: Applied[OrderEvent]) -> None:
        for seq, commit in commits:
            for event in commit.events:
                self.fold.apply(event, seq)

    @asynccontextmanager
    async def live(self) -> AsyncIterator["Service"]:
        after = await self.snapshots.recover(self.journal)
        self.read_from = after.seq
        self.follower = JournalSubscription(self.journal, ORDER_COMMITS, self.snapshots.whole(self.apply), after=after, wait_s=0)
        tasks = [asyncio.create_task(self.follower.run()), asyncio.create_task(self.snapshots.run(self.follower))]
        await until(lambda: self.follower.caught_up or tasks[0].done())
        yield self
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    @property
    def hash(self) -> str:
        return state_hash(self.fold.state())


@pytest.fixture
async def journal() -> MemoryJournal:
    journal = MemoryJournal()
    await write(journal, crowd(ORDERS))
    return journal


async def replayed(journal: MemoryJournal) -> str:
    async with Service(journal, None).live() as service:
        return service.hash


async def kept(journal: MemoryJournal, store: Snapshots) -> None:
    async with Service(journal, store).live() as service:
        assert await service.snapshots.take(service.follower)


async def test_a_restart_is_the_newest_snapshot_and_the_tail(journal: MemoryJournal, tmp_path: Path) -> None:
    # FAILURES 50
    store = FileSnapshots(tmp_path)
    await kept(journal, store)
    kept_at = (await journal.head()).seq
    await write(journal, ([event] for commit in list(crowd(ORDERS + 300))[25:] for event in commit))  # type: ignore[misc]
    with structlog.testing.capture_logs() as logs:
        async with Service(journal, store).live() as service:
            assert service.read_from == kept_at
            assert service.hash == await replayed(journal)
            await until(lambda: any(line["event"] == "recovered" for line in logs))
    told = next(line for line in logs if line["event"] == "recovered")
    assert (told["snapshot"], told["seq"], told["tail_commits"]) == (kept_at, service.follower.head.seq, service.follower.head.n - kept_at)
    assert told["seconds"] > 0


async def test_without_a_data_directory_nothing_is_kept_and_the_log_says_so_once(journal: MemoryJournal) -> None:
    with structlog.testing.capture_logs() as logs:
        async with Service(journal, None, commits=1).live() as service:
            await asyncio.sleep(0.3)
            assert not await service.snapshots.take(service.follower)
    assert [line["event"].partition(":")[0] for line in logs] == ["no snapshots", "recovered"]


async def test_one_is_taken_after_a_number_of_commits_and_not_before(journal: MemoryJournal, tmp_path: Path) -> None:
    async with Service(journal, FileSnapshots(tmp_path), commits=40).live() as service:
        await asyncio.sleep(0.3)
        assert service.snapshots.taken == 0, "25 commits are not 40"
        await write(journal, list(crowd(5000))[25:50])
        await until(lambda: service.snapshots.taken == 1)
        await asyncio.sleep(0.3)
        told = service.snapshots.stats()
        assert told.pop("stood_still_ms") > 0
        assert 40 <= told.pop("kept_seq") <= 50, "it may begin while the last ones come"
        assert told == {"taken": 1, "failed": 0, "restored_from": 0}


async def test_one_is_taken_after_some_time_if_anything_came(journal: MemoryJournal, tmp_path: Path) -> None:
    async with Service(journal, FileSnapshots(tmp_path), seconds=0.2).live() as service:
        await until(lambda: service.snapshots.taken == 1)
        await asyncio.sleep(0.5)
        assert service.snapshots.taken == 1, "nothing came since"


async def test_what_a_batch_left_half_done_is_never_kept(journal: MemoryJournal, tmp_path: Path) -> None:
    service = Service(journal, FileSnapshots(tmp_path))
    whole = service.apply

    def breaks(commits: Applied[OrderEvent]) -> None:
        seq, commit = commits[0]
        if seq > 25:
            service.fold.apply(commit.events[0], seq)
            raise LookupError("an instrument is gone")
        whole(commits)

    service.apply = breaks  # type: ignore[method-assign]
    async with service.live():
        await write(journal, list(crowd(ORDERS * 2))[25:])
        await until(lambda: service.fold.seq > 25)
        assert service.follower.head.seq == 25, "the state is ahead of the place"
        assert not await service.snapshots.take(service.follower)
        await service.snapshots.last(service.follower)
    assert list(tmp_path.rglob("*.snapshot")) == []


async def test_a_snapshot_of_another_journal_is_ignored(journal: MemoryJournal, tmp_path: Path) -> None:
    store, other = FileSnapshots(tmp_path), MemoryJournal()
    await kept(journal, store)
    await write(other, list(crowd(ORDERS * 2))[3:])
    with structlog.testing.capture_logs() as logs:
        async with Service(other, store).live() as service:
            assert (service.read_from, service.hash) == (0, await replayed(other))
    assert "sequence 25 of the journal is another commit" in {line.get("reason") for line in logs}


async def test_when_the_journal_lost_its_end_the_snapshot_before_that_is_taken(journal: MemoryJournal, tmp_path: Path) -> None:
    store = FileSnapshots(tmp_path)
    await kept(journal, store)
    await write(journal, list(crowd(ORDERS * 2))[25:])
    await kept(journal, store)
    del journal.log.commits[40:]
    async with Service(journal, store).live() as service:
        assert (service.read_from, service.hash) == (25, await replayed(journal))


async def test_a_state_of_another_code_version_means_a_full_replay(journal: MemoryJournal, tmp_path: Path) -> None:
    # FAILURES 51
    store = FileSnapshots(tmp_path)
    await kept(journal, store)
    async with Service(journal, store, version=VERSION + 1).live() as service:
        assert (service.read_from, service.hash) == (0, await replayed(journal))


@pytest.mark.parametrize("both", [False, True], ids=["the newest", "both"])
async def test_a_spoilt_snapshot_never_makes_a_wrong_state(journal: MemoryJournal, tmp_path: Path, both: bool) -> None:
    # FAILURES 51
    store, expected = FileSnapshots(tmp_path), await replayed(journal)
    async with Service(journal, store).live() as service:
        assert await service.snapshots.take(service.follower)
        await write(journal, list(crowd(ORDERS * 2))[25:])
        await service.follower.wait_for(50)
        assert await service.snapshots.take(service.follower)
    expected = await replayed(journal)
    files = [tmp_path / "risk" / name for name in (NEWEST, PREVIOUS)[: 2 if both else 1]]
    originals = [file.read_bytes() for file in files]
    for seed in range(50):
        for file, original in zip(files, originals, strict=True):
            file.write_bytes(spoilt(original, random.Random(f"{seed} {file.name}")))
        async with Service(journal, store).live() as again:
            assert (again.read_from, again.hash) == (0 if both else 25, expected), seed


async def test_when_nothing_can_be_written_the_service_continues_and_says_so(journal: MemoryJournal, tmp_path: Path) -> None:
    # FAILURES 48
    (tmp_path / "risk").write_text("in the way")
    with structlog.testing.capture_logs() as logs:
        async with Service(journal, FileSnapshots(tmp_path), seconds=0.1).live() as service:
            await until(lambda: service.snapshots.failed)
            await write(journal, list(crowd(ORDERS * 2))[25:])
            await service.follower.wait_for(50)
            assert service.hash == await replayed(journal)
            (tmp_path / "risk").unlink()
            await until(lambda: service.snapshots.taken == 1)
    warnings = [line for line in logs if line["event"] == "the snapshot could not be saved, the service continues"]
    assert warnings
    assert all("risk" in line["reason"] for line in warnings)


class SlowStore(MemorySnapshots):
    def store(self, *_: object) -> None:
        time.sleep(ENDLESS_S)


async def test_the_one_at_a_clean_end_is_given_two_seconds(journal: MemoryJournal) -> None:
    async with Service(journal, SlowStore()).live() as service:
        began = time.monotonic()
        await service.snapshots.last(service.follower)
        assert LAST_ONE_MAX_S <= time.monotonic() - began < ENDLESS_S / 2


async def test_the_one_at_a_clean_end_leaves_no_tail(journal: MemoryJournal, tmp_path: Path) -> None:
    # FAILURES 73
    async with Service(journal, FileSnapshots(tmp_path)).live() as service:
        await service.snapshots.last(service.follower)
        await service.snapshots.last(service.follower)
        assert service.snapshots.taken == 1, "there was nothing new the second time"
    async with Service(journal, FileSnapshots(tmp_path)).live() as again:
        assert again.read_from == again.follower.head.seq == service.follower.head.seq


async def test_a_journal_that_cannot_be_asked_is_no_reason_to_throw_a_snapshot_away(journal: MemoryJournal, tmp_path: Path) -> None:
    store = FileSnapshots(tmp_path)
    await kept(journal, store)
    service = Service(journal, store)
    journal.log.down = True
    with pytest.raises(Unavailable):
        await service.snapshots.recover(journal)
    journal.log.down = False
    assert (await service.snapshots.recover(journal)).seq == 25


EAGER: Final = """
import asyncio, sys
from pathlib import Path
from adapters.memory import MemoryJournal
from adapters.snapshots import FileSnapshots
from domain.values import use_exact_arithmetic
from tests.apps.test_snapshots import Service, write
from tests.bench.crowd import crowd

async def scene() -> None:
    journal = MemoryJournal()
    async with Service(journal, FileSnapshots(Path(sys.argv[1]))).live() as service:
        for commit in crowd(20_000):
            await write(journal, [commit])
            await service.follower.wait_for((await journal.head()).seq)
            await service.snapshots.take(service.follower)
            print(service.snapshots.taken, flush=True)

use_exact_arithmetic()
asyncio.run(scene())
"""


def killed_while_it_keeps(directory: Path, after_s: float) -> None:
    """The service and with it the child that writes; the moment is of the machine's choosing."""
    process = started([sys.executable, "-c", EAGER, str(directory)], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert process.stdout
    while (line := process.stdout.readline()) == b"0\n":
        pass  # on a busy machine the first one may not be done in time
    assert line, "it ended by itself"
    time.sleep(after_s)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


async def test_a_kill_in_the_middle_of_a_snapshot_leaves_one_that_is_whole(tmp_path: Path) -> None:
    # FAILURES 1, 48
    journal = MemoryJournal()
    await write(journal, crowd(20_000))
    chance, expected = random.Random(2026), await replayed(journal)
    for _ in range(6):
        killed_while_it_keeps(tmp_path, chance.uniform(0, 0.25))
        with structlog.testing.capture_logs() as logs:
            async with Service(journal, FileSnapshots(tmp_path)).live() as service:
                assert (service.read_from > 0, service.hash) == (True, expected)
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == []
