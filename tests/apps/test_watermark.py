"""A journal against its mark: what is whole continues, what went back is refused, and what an operator accepted is journaled first."""

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import pytest

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, CommitCodec
from adapters.controls import CONTROL_COMMITS, CONTROL_JOURNAL
from adapters.memory import MemoryJournal, MemoryLog, MemoryWatermark
from apps.connections.control_journal import loss_accepted
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.journal.subscription import MISSED_MAX, Applied, JournalSubscription
from apps.journal.watermark import (
    LOOK_EVERY_S,
    RAISE_EVERY_S,
    Mark,
    controls_accepted,
    listed,
    may_begin,
    skipped_in,
    verify_chain,
    verify_followed,
    verify_watermark,
)
from apps.live_gateway.report_log import VENUE_COMMITS
from apps.live_gateway.report_wire import announced_fills
from apps.live_gateway.venue_host import VenueHost
from apps.runtime.chassis import cancelled
from config.catalogue import VenueSettings
from domain.order.events import Foreign, JournalAccepted
from domain.ports import Acceptance, Corrupt, Head, Unavailable
from domain.risk.controls import ALL, Controls, ControlsAccepted, KillThrown
from tests.interest import NeverSubscribed

TEXTS: CommitCodec[str] = CommitCodec(str)
loss_of_controls_accepted = partial(loss_accepted, CONTROL_JOURNAL)


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


async def test_a_complete_journal_is_continued_and_so_is_one_without_a_mark(scene: Scene) -> None:
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
    host = ShardHost(scene.journal, SystemClock(), mark=scene.mark, pace=Pace())
    running = asyncio.create_task(host.run())
    async with asyncio.timeout(120):
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
        return VenueHost(
            settings,
            {},
            scene.journal,
            SystemClock(),
            lambda subject, payload: None,
            announced_fills(NeverSubscribed(), lambda subject, payload: None),
            Pace(),
            mark,
        )

    del scene.log.commits[7:]
    with pytest.raises(Corrupt, match=r"venue.journal.V ends at sequence 7"):
        await venue().run()
    scene.accept(scene.heads()[-1], Head(10, 10, "x"))
    again = venue()
    running = asyncio.create_task(again.run())
    await asyncio.wait_for(again.ready.wait(), 120)
    assert len(scene.heads()) == 8
    await cancelled(running)


async def test_a_reader_whose_journal_went_back_under_it_stops(scene: Scene) -> None:
    # FAILURES 13
    applied: list[int] = []

    def apply(commits: Applied[str]) -> None:
        applied.extend(seq for seq, _ in commits)

    follower = JournalSubscription(scene.journal, TEXTS, apply, after=scene.heads()[8])
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


async def test_a_foreign_message_at_the_end_is_refused_until_an_operator_skips_it(scene: Scene) -> None:
    head = await scene.journal.head()
    scene.log.put_foreign(b"an answer")
    scene.log.put_foreign(b"another")
    with pytest.raises(Corrupt, match=r"sequence 11-12 is no commit.*trade journal skip 11-12 --reason"):
        await verify_watermark(scene.journal, scene.mark)
    assert len(scene.log.commits) == 12, "nothing was written"
    skipped = tuple(await scene.journal.foreign(head))
    accepted = Acceptance(head=head, mark=head, at=1, who="ann", reason="a guest", lost=False, skipped=skipped)
    scene.kept.accept(accepted)
    scene.log.put_foreign(b"since then")
    with pytest.raises(Corrupt, match=r"sequence 11-13 is no commit"):
        await verify_watermark(scene.journal, scene.mark)
    del scene.log.commits[12:]
    await verify_watermark(scene.journal, scene.mark)
    last = await scene.journal.head()
    assert (last.seq, last.n, scene.kept.mark, scene.kept.accepted) == (13, 11, last, None)
    found = await scene.journal.read(13)
    assert found is not None
    assert list(skipped_in(found.payload)) == list(skipped)
    await verify_watermark(scene.journal, scene.mark)
    await verify_chain(scene.journal, Head(), last)


async def test_a_crash_between_the_skip_and_its_mark_is_made_good(scene: Scene) -> None:
    head = await scene.journal.head()
    scene.log.put_foreign(b"an answer")
    skipped = tuple(await scene.journal.foreign(head))
    scene.kept.accept(Acceptance(head=head, mark=head, at=1, who="ann", reason="a guest", lost=False, skipped=skipped))
    scene.kept.down = True
    with pytest.raises(Unavailable):
        await verify_watermark(scene.journal, scene.mark)
    scene.kept.down = False
    await verify_watermark(scene.journal, scene.mark)
    assert (len(scene.log.commits), scene.kept.accepted) == (12, None)


async def test_a_host_ends_when_something_else_writes_though_nothing_is_submitted(scene: Scene) -> None:
    host = ShardHost(scene.journal, SystemClock(), mark=scene.mark, pace=Pace())
    running = asyncio.create_task(host.run())
    async with asyncio.timeout(5 + LOOK_EVERY_S):
        while not host.ready:
            await asyncio.sleep(0.001)
        scene.log.put_foreign(b"an answer")
        with pytest.raises(Corrupt, match=r"sequence 11 is no commit"):
            await running


def test_runs_of_sequences_are_abbreviated() -> None:
    assert listed([Foreign(seq, "") for seq in (3, 5, 6, 7, 9)]) == "3, 5-7, 9"
    assert listed([]) == ""


# The controls


def control(version: int, scope: str = "account:a") -> KillThrown:
    return KillThrown(version=version, at=1, who="ann", reason="why", scope=scope)


async def controls(kills: int) -> MemoryJournal:
    journal = MemoryJournal()
    head = Head()
    for n in range(1, kills + 1):
        head = await journal.append(CONTROL_COMMITS.encode(0, n, (control(n + 1),)), head)
    return journal


def mark_of_controls(kept: MemoryWatermark) -> Mark:
    return Mark(kept, "risk.control.all", CONTROL_COMMITS, event=controls_accepted)


async def test_a_lost_end_of_the_controls_is_accepted_with_everything_killed() -> None:
    journal, kept = await controls(5), MemoryWatermark()
    kept.raise_to(await journal.head())
    follows = MemoryWatermark()
    follows.raise_to(await journal.head())
    del journal.log.commits[3:]
    for known in (kept, follows):
        with pytest.raises(Corrupt, match=r"risk.control.all ends at sequence 3, but sequence 5 had been acknowledged"):
            await verify_watermark(journal, mark_of_controls(known))
    with pytest.raises(Corrupt):
        await verify_followed(journal, mark_of_controls(follows), loss_of_controls_accepted)
    kept.accept(Acceptance(head=await journal.head(), mark=Head(5, 5, "x"), at=1, who="ann", reason="the disk was lost"))
    await verify_watermark(journal, mark_of_controls(kept))
    made, event = Controls(), None
    for _, payload in journal.log.commits:
        (event,) = CONTROL_COMMITS.decode(payload).events
        made.apply(event)
    assert isinstance(event, ControlsAccepted)
    assert (made.version, event.version, set(made.kills)) == (5, 5, {ALL, "account:a"}), "versions have no hole"
    assert made.killed("another", "BTCUSDT")
    await verify_followed(journal, mark_of_controls(follows), loss_of_controls_accepted)
    follows.settle(Head(9, 9, "x"))
    with pytest.raises(Corrupt, match="sequence 9"):
        await verify_followed(journal, mark_of_controls(follows), loss_of_controls_accepted)


async def test_skipping_among_the_controls_kills_nothing() -> None:
    journal, kept = await controls(2), MemoryWatermark()
    head = await journal.head()
    journal.log.put_foreign(b"an answer")
    skipped = tuple(await journal.foreign(head))
    kept.accept(Acceptance(head=head, mark=head, at=1, who="ann", reason="a guest", lost=False, skipped=skipped))
    await verify_watermark(journal, mark_of_controls(kept))
    (event,) = CONTROL_COMMITS.decode(journal.log.commits[-1][1]).events
    made = Controls()
    made.apply(event)
    assert isinstance(event, ControlsAccepted)
    assert (made.kills, event.skipped, event.version) == ({}, skipped, 4)


async def test_a_follower_without_a_mark_or_with_what_it_had_continues() -> None:
    journal, kept = await controls(3), MemoryWatermark()
    await verify_followed(journal, mark_of_controls(kept), loss_of_controls_accepted)
    kept.raise_to(await journal.head())
    await verify_followed(journal, mark_of_controls(kept), loss_of_controls_accepted)
