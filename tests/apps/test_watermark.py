"""A journal against its mark: what is whole goes on, what went back is refused, and what an operator accepted is journaled first."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, CommitCodec
from adapters.memory import MemoryJournal, MemoryLog, MemoryWatermark
from apps.chassis import cancelled
from apps.commits import Pace
from apps.follower import MISSED_MAX, Applied, Follower
from apps.gateway.host import VenueHost
from apps.gateway.reports import VENUE_COMMITS
from apps.host import Host
from apps.watermark import RAISE_EVERY_S, Mark, may_begin, verify_chain, verify_watermark
from config.catalogue import VenueSettings
from domain.events import JournalAccepted
from domain.ports import Acceptance, Corrupt, Head, Unavailable

TEXTS: CommitCodec[str] = CommitCodec(str)


@dataclass
class Scene:
    """A journal of ten commits, acknowledged up to the last."""

    log: MemoryLog = field(default_factory=MemoryLog)
    kept: MemoryWatermark = field(default_factory=MemoryWatermark)

    def __post_init__(self) -> None:
        self.journal = MemoryJournal(self.log)
        self.mark = Mark(self.kept, "oms.journal.0", ORDER_COMMITS)

    async def write(self, commits: int) -> Head:
        head = await self.journal.head()
        for _ in range(commits):
            head = await self.journal.append(ORDER_COMMITS.encode(0, head.n + 1, ()), head)
        return head

    def accept(self, head: Head, mark: Head) -> None:
        self.kept.accept(Acceptance(head=head, mark=mark, at=1, who="ann", reason="the disk was lost"))

    def heads(self) -> list[Head]:
        return [head for head, _ in self.log.commits]


@pytest.fixture
async def scene() -> Scene:
    made = Scene()
    made.kept.raise_to(await made.write(10))
    return made


async def test_a_whole_journal_goes_on_and_one_without_a_mark_too(scene: Scene) -> None:
    await verify_watermark(scene.journal, scene.mark)
    await scene.write(5)
    await verify_watermark(scene.journal, scene.mark)
    await verify_watermark(scene.journal, Mark(MemoryWatermark(), "another", ORDER_COMMITS))


async def test_a_journal_that_ends_before_its_mark_is_refused(scene: Scene) -> None:
    # FAILURES 12, 13
    del scene.log.commits[7:]
    with pytest.raises(Corrupt, match=r"ends at sequence 7, but sequence 10 had been acknowledged.*trade journal accept"):
        await verify_watermark(scene.journal, scene.mark)


async def test_a_journal_with_another_commit_at_the_mark_is_refused(scene: Scene) -> None:
    # FAILURES 13: it grew again after it had been replaced
    del scene.log.commits[9:]
    await scene.journal.append(b"another", await scene.journal.head())
    await scene.journal.append(b"and one more", await scene.journal.head())
    with pytest.raises(Corrupt, match=r"sequence 10, which had been acknowledged, is another commit now"):
        await verify_watermark(scene.journal, scene.mark)


async def test_what_was_noted_counts_before_it_is_on_the_disk(scene: Scene) -> None:
    scene.mark.note(await scene.write(3))
    del scene.log.commits[11:]
    with pytest.raises(Corrupt, match=r"ends at sequence 11, but sequence 13"):
        await verify_watermark(scene.journal, scene.mark)


async def test_a_host_whose_journal_went_back_under_it_ends(scene: Scene) -> None:
    host = Host(scene.journal, SystemClock(), mark=scene.mark, pace=Pace())
    running = asyncio.create_task(host.run())
    async with asyncio.timeout(5):
        while not host.ready:
            await asyncio.sleep(0.001)
        del scene.log.commits[6:]
        with pytest.raises(Corrupt, match=r"ends at sequence 6"):
            await running
    assert not host.ready


async def test_an_acceptance_is_the_next_commit_and_counts_once(scene: Scene) -> None:
    # FAILURES 13
    del scene.log.commits[7:]
    scene.accept(scene.heads()[-1], Head(10, 10, "x"))
    await verify_watermark(scene.journal, scene.mark)
    assert len(scene.heads()) == 8
    (event,) = ORDER_COMMITS.read((await anext(scene.journal.follow(scene.heads()[6])))[0]).events
    assert event == JournalAccepted(at=1, who="ann", reason="the disk was lost", goes_on_from=7, acknowledged_to=10)
    assert (scene.kept.mark, scene.kept.accepted) == (scene.heads()[-1], None)
    await verify_watermark(scene.journal, scene.mark)
    assert len(scene.heads()) == 8


async def test_a_crash_between_the_commit_and_the_settling_does_not_journal_it_twice(scene: Scene) -> None:
    del scene.log.commits[7:]
    scene.accept(scene.heads()[-1], Head(10, 10, "x"))
    scene.kept.down = True
    with pytest.raises(Unavailable):
        await verify_watermark(scene.journal, scene.mark)
    assert len(scene.heads()) == 8
    scene.kept.down = False
    await verify_watermark(scene.journal, scene.mark)
    assert len(scene.heads()) == 8
    assert (scene.kept.mark, scene.kept.accepted) == (scene.heads()[-1], None)


async def test_another_journal_than_the_accepted_one_is_still_refused(scene: Scene) -> None:
    seventh = scene.heads()[6]
    del scene.log.commits[5:]
    scene.accept(seventh, Head(10, 10, "x"))
    with pytest.raises(Corrupt, match=r"ends at sequence 5"):
        await verify_watermark(scene.journal, scene.mark)
    assert len(scene.heads()) == 5


async def test_a_missing_stream_may_be_made_only_when_nothing_was_ever_in_it(scene: Scene) -> None:
    may_begin("OMS_JOURNAL", [None, Mark(MemoryWatermark(), "new", ORDER_COMMITS)])
    with pytest.raises(Corrupt, match=r"is missing, but oms.journal.0 had been acknowledged up to sequence 10"):
        may_begin("OMS_JOURNAL", [scene.mark])
    scene.accept(Head(), Head(10, 10, "x"))
    may_begin("OMS_JOURNAL", [scene.mark])


async def test_the_mark_follows_what_is_noted_and_a_full_disk_does_not_stop_it(scene: Scene) -> None:
    # FAILURES 48
    running = asyncio.create_task(scene.mark.run())
    scene.mark.note(await scene.write(1))
    await asyncio.sleep(1.5 * RAISE_EVERY_S)
    assert scene.kept.mark == scene.heads()[-1]
    scene.kept.down = True
    scene.mark.note(await scene.write(1))
    await asyncio.sleep(1.5 * RAISE_EVERY_S)
    assert not running.done()
    scene.kept.down = False
    await cancelled(running)
    assert scene.kept.mark == scene.heads()[-1], "once more at the end"


async def test_what_a_start_goes_past_is_verified(scene: Scene) -> None:
    # FAILURES 12
    heads = scene.heads()
    await verify_chain(scene.journal, Head(), heads[-1])
    await verify_chain(scene.journal, heads[4], heads[8])
    with pytest.raises(Corrupt, match=r"sequence 9: the chain does not lead to"):
        await verify_chain(scene.journal, Head(), Head(9, 9, "another"))
    scene.log.commits[3] = (heads[3], b"changed")
    with pytest.raises(Corrupt, match=r"sequence 4: "):
        await verify_chain(scene.journal, Head(), heads[-1])
    await verify_chain(scene.journal, heads[4], heads[8])


async def test_a_venue_refuses_and_accepts_like_the_orders(scene: Scene) -> None:
    settings = VenueSettings("V", Decimal(1), Decimal(1), 1, Decimal(1), 0, frozenset(), "always")
    mark = Mark(scene.kept, "venue.journal.V", VENUE_COMMITS)

    def venue() -> VenueHost:
        return VenueHost(settings, {}, scene.journal, SystemClock(), lambda subject, payload: None, Pace(), mark)

    del scene.log.commits[7:]
    with pytest.raises(Corrupt, match=r"venue.journal.V ends at sequence 7"):
        await venue().run()
    scene.accept(scene.heads()[-1], Head(10, 10, "x"))
    again = venue()
    running = asyncio.create_task(again.run())
    await asyncio.wait_for(again.ready.wait(), 5)
    assert len(scene.heads()) == 8
    await cancelled(running)


async def test_a_reader_whose_journal_went_back_under_it_stops(scene: Scene) -> None:
    # FAILURES 13
    applied: list[int] = []

    def apply(commits: Applied[str]) -> None:
        applied.extend(seq for seq, _ in commits)

    follower = Follower(scene.journal, TEXTS, apply, after=scene.heads()[8])
    del scene.log.commits[5:]
    looks = 0
    real = scene.journal.head

    async def counted() -> Head:
        nonlocal looks
        looks += 1
        return await real()

    scene.journal.head = counted  # type: ignore[method-assign]
    with pytest.raises(Corrupt, match=r"sequence 9 was applied and is not in the journal, which ends at 5"):
        await follower.run()
    assert (applied, looks) == ([], MISSED_MAX)
