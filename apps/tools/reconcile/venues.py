"""Reconciliation of orders, trades and positions with a venue. Repairs go through oms, which books them like every report."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import ORDER_COMMITS, decoder, encode
from adapters.snapshots import FileSnapshots
from apps.connections.venue_lists import SentRequest
from apps.exeq.reconciliation import VenuePass
from domain.audit.state_hash import shape_of
from domain.execution.comparison import STATE_VERSION, Comparison, ComparisonState
from domain.execution.reconciliation import OrderDifference, repairs, standing
from domain.order.commands import BookReport, DoubtRoute, VenueReport
from domain.ports import Clock, Head, Journal, Unavailable

ASK_TIMEOUT_S: Final = 5.0
PAGE: Final = 500
LOOK_AGAIN_S: Final = 1.5
"""Pause between two comparisons: a difference caused by messages in flight does not last this long."""
REPAIRED_AT_ONCE_MAX: Final = 500
SETTLE_EVERY_EVENTS: Final = 100_000
"""How often a long reading drops the orders on which both sides agree."""
READ_ALL_EVERY_NS: Final = 24 * 3600 * 1_000_000_000
ANEW_MAX: Final = 5
"""How often a pass starts again because of a report about an old order."""
DIRECTORY: Final = Path("snapshots", "venues")


class KeptState(msgspec.Struct, frozen=True):
    """The saved state of a comparison. `read_at`: when everything was last read from the beginning, in nanoseconds."""

    read_at: int
    comparison: ComparisonState


_SCHEMA: Final = shape_of(KeptState, STATE_VERSION)
_KEPT: Final = decoder(KeptState)


class ReportsAnswer(msgspec.Struct):
    last: int | None = None
    reports: list[VenueReport] = []
    error: str | None = None


class CommandReply(msgspec.Struct):
    ok: bool
    code: str | None = None


_REPORTS: Final = decoder(ReportsAnswer)
_COMMANDS: Final = decoder(list[CommandReply])


class VenueReading:
    """A comparison of both sides of one venue, read on from where it ended."""

    def __init__(self, client: Client, journal: Journal, comparison: Comparison, head: Head, shard: int = 0) -> None:
        self.comparison = comparison
        self.head = head
        self.began = head.seq
        self._client = client
        self._journal = journal
        self.shard = shard
        self._subject = subjects.session(comparison.view.venue, shard)

    async def advance(self) -> None:
        """Read both sides to their current end: the journal first, so that the venue has everything in it. Corrupt, Unavailable."""
        end, read = (await self._journal.head()).seq, 0
        async with contextlib.aclosing(self._journal.follow(self.head, until=end)) as batches:
            async for batch in batches:
                for recorded in batch:
                    events = ORDER_COMMITS.read(recorded).events
                    for event in events:
                        self.comparison.ours(event)
                    read += len(events)
                self.head = batch[-1].head
                if read >= SETTLE_EVERY_EVENTS:
                    await self._read_reports(self.comparison.heard)
                    self.comparison.settle()
                    read = 0
                await asyncio.sleep(0)
        await self._read_reports(None)

    async def _read_reports(self, until: int | None) -> None:
        """Read the venue's reports up to this one, or all. Unavailable if it does not answer."""
        view = self.comparison.view
        while until is None or view.last < until:
            question = encode({"kind": "reports", "from": view.last + 1, "limit": PAGE})
            try:
                answer: ReportsAnswer = _REPORTS.decode(await bus.request(self._client, self._subject, question, ASK_TIMEOUT_S))
            except ValueError as error:
                raise Unavailable(f"the reply of venue {view.venue} is unreadable: {error}") from error
            if answer.error or answer.last is None:
                raise Unavailable(f"venue {view.venue} does not return its reports: {answer.error}")
            if answer.last < view.last:
                self.comparison.touched.add("")  # the venue has lost reports that it sent before
            for report in answer.reports:
                self.comparison.theirs(report)
            if not answer.reports or view.last >= answer.last:
                return


class Kept:
    """The state of the last pass for each venue, in files of the service. Without it, and once a day, everything is read again."""

    def __init__(self, data_dir: Path, clock: Clock, shard: int | None = None) -> None:
        """`shard`: the one that is compared, where there are several."""
        self._files = FileSnapshots(data_dir / DIRECTORY / ("" if shard is None else f"shard-{shard}"))
        self._clock = clock

    async def begun(self, journal: Journal, venue: str) -> tuple[KeptState, Head] | None:
        """Return the state to continue from; None to start from the beginning."""
        for head, body in self._files.kept(venue, _SCHEMA):
            found: KeptState = _KEPT.decode(body)
            recorded = await journal.read(head.seq)
            if recorded is not None and recorded.head == head and self._fresh(found.read_at):
                return found, head
        return None

    def _fresh(self, read_at: int) -> bool:
        """Return whether the state is younger than READ_ALL_EVERY_NS, by the wall clock as it outlives restarts; not if in the future."""
        return 0 <= self._clock.now_ns() - read_at < READ_ALL_EVERY_NS

    def store(self, venue: str, head: Head, comparison: ComparisonState, read_at: int | None) -> None:
        """Save the state of a pass. `read_at`: None if everything was read just now."""
        state = KeptState(self._clock.now_ns() if read_at is None else read_at, comparison)
        with contextlib.suppress(Unavailable):  # the next pass is longer
            self._files.store(venue, _SCHEMA, head, encode(state))


async def reconcile(client: Client, journal: Journal, venue: str, *, write: bool, kept: Kept | None = None, shard: int = 0) -> VenuePass:
    """Compare a venue with the journal. Only differences found twice count; `write` repairs and compares again. Corrupt, Unavailable.

    With `kept` it continues from the end of the last pass. A new report about an order that was closed and agreed makes it start again.
    """
    begun = await kept.begun(journal, venue) if kept else None
    state, head = begun or (None, Head())
    comparison, keep = Comparison(venue, state.comparison if state else None), frozenset[str]()
    for _ in range(1 + ANEW_MAX):
        reading = VenueReading(client, journal, comparison, head, shard)
        done = await _passed(client, reading, write)
        if not (touched := comparison.touched - keep):
            break
        keep |= touched
        state, head, comparison = None, Head(), Comparison(venue, keep=keep)
    else:
        raise Unavailable(f"venue {venue}: old orders changed during the comparison, {ANEW_MAX} times")
    if kept is not None:
        comparison.settle()
        kept.store(venue, reading.head, comparison.state(), state.read_at if state else None)
    return done


async def _passed(client: Client, reading: VenueReading, write: bool) -> VenuePass:
    """Compare once and repair what differs. A comparison that cannot be trusted repairs nothing."""
    found, comparison = await _differ(reading), reading.comparison
    counts = (reading.head.seq, comparison.routed, comparison.trades)
    done = VenuePass(comparison.view.venue, *counts, tuple(found), 0, tuple(found), reading.began)
    wanted = repairs(found)
    if not (write and wanted) or comparison.touched:
        return done
    for begin in range(0, len(wanted), REPAIRED_AT_ONCE_MAX):
        await _repair(client, reading.shard, wanted[begin : begin + REPAIRED_AT_ONCE_MAX])
    left = await _differ(reading)
    return msgspec.structs.replace(done, as_of_seq=reading.head.seq, repaired=len(wanted), left=tuple(left))


async def _differ(reading: VenueReading) -> list[OrderDifference]:
    await reading.advance()
    first, strangers = reading.comparison.differences(), reading.comparison.strangers()
    if not first or reading.comparison.touched:
        return []
    await asyncio.sleep(LOOK_AGAIN_S)
    await reading.advance()
    reading.comparison.touched |= strangers & reading.comparison.strangers()
    return standing(first, reading.comparison.differences())


async def _repair(client: Client, shard: int, wanted: Sequence[OrderDifference]) -> None:
    """Send repairs. They are idempotent: trades are known by their ids, and a closed route stays closed."""
    commands: list[BookReport | DoubtRoute] = []
    for difference in wanted:
        if difference.repair is not None:
            commands.append(BookReport(order_id=difference.order_id, report=difference.repair))
        elif difference.doubt is not None:
            commands.append(DoubtRoute(order_id=difference.order_id, route_id=difference.about, reason=difference.doubt, anyway=True))
        elif difference.cancel is not None:
            cancel = difference.cancel
            await bus.publish(
                client,
                subjects.requests(cancel.venue, shard),
                encode([SentRequest("cancel", msgspec.structs.replace(cancel, shard=shard))]),
            )
    if commands:
        reply = await bus.request(client, subjects.commands(shard), encode(commands), ASK_TIMEOUT_S)
        refused = [answer.code for answer in _COMMANDS.decode(reply) if not answer.ok]
        if refused:
            raise Unavailable(f"oms did not book {len(refused)} of {len(commands)} repairs: {refused[0]}")
