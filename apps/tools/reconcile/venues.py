"""Orders, trades and positions held against what a venue has, and put right: through oms, which books it as it books every report."""

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
"""What differs only because something is on its way does not differ for so long."""
REPAIRED_AT_ONCE_MAX: Final = 500
SETTLE_EVERY_EVENTS: Final = 100_000
"""A long reading stops so often to forget what both sides agree on."""
READ_ALL_EVERY_NS: Final = 24 * 3600 * 1_000_000_000
ANEW_MAX: Final = 5
"""So often a pass begins anew because something is said of an old order."""
DIRECTORY: Final = Path("snapshots", "venues")


class KeptState(msgspec.Struct, frozen=True):
    """`read_at`: when everything was last read from the beginning."""

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
    """Both sides of one venue, read on from where they stand."""

    def __init__(self, client: Client, journal: Journal, comparison: Comparison, head: Head, shard: int = 0) -> None:
        self.comparison = comparison
        self.head = head
        self.began = head.seq
        self._client = client
        self._journal = journal
        self._subject = subjects.session(comparison.view.venue, shard)

    async def advance(self) -> None:
        """To the end as it is now. The venue is read behind us, so that it knows all that we know. Corrupt, Unavailable."""
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
                    await self._hear(self.comparison.heard)
                    self.comparison.settle()
                    read = 0
                await asyncio.sleep(0)
        await self._hear(None)

    async def _hear(self, until: int | None) -> None:
        """The venue's reports up to this one, or all. Unavailable when it does not answer."""
        view = self.comparison.view
        while until is None or view.last < until:
            question = encode({"kind": "reports", "from": view.last + 1, "limit": PAGE})
            try:
                answer: ReportsAnswer = _REPORTS.decode(await bus.request(self._client, self._subject, question, ASK_TIMEOUT_S))
            except ValueError as error:
                raise Unavailable(f"venue {view.venue} cannot be understood: {error}") from error
            if answer.error or answer.last is None:
                raise Unavailable(f"venue {view.venue} does not tell its reports: {answer.error}")
            if answer.last < view.last:
                self.comparison.touched.add("")  # what it told once it does not have any more
            for report in answer.reports:
                self.comparison.theirs(report)
            if not answer.reports or view.last >= answer.last:
                return


class Kept:
    """Where the last pass ended, by venue, in files of the service. Without one everything is read again; and once a day anyway."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._files = FileSnapshots(data_dir / DIRECTORY)
        self._clock = clock

    async def begun(self, journal: Journal, venue: str) -> tuple[KeptState, Head] | None:
        """None: from the beginning."""
        for head, body in self._files.kept(venue, _SCHEMA):
            found: KeptState = _KEPT.decode(body)
            recorded = await journal.read(head.seq)
            if recorded is not None and recorded.head == head and self._fresh(found.read_at):
                return found, head
        return None

    def _fresh(self, read_at: int) -> bool:
        """By the wall clock, because it is kept over restarts; a time that is still to come is no age."""
        return 0 <= self._clock.now_ns() - read_at < READ_ALL_EVERY_NS

    def store(self, venue: str, head: Head, comparison: ComparisonState, read_at: int | None) -> None:
        """`read_at`: None when everything was read just now."""
        state = KeptState(self._clock.now_ns() if read_at is None else read_at, comparison)
        with contextlib.suppress(Unavailable):  # the next pass is longer
            self._files.store(venue, _SCHEMA, head, encode(state))


async def reconcile(client: Client, journal: Journal, venue: str, *, write: bool, kept: Kept | None = None) -> VenuePass:
    """Only what differs in two looks counts. With `write` it is put right and looked at once more. Corrupt, Unavailable.

    With `kept` it goes on from where the last pass ended. What is said since of an order that was closed and agreed on makes it begin anew.
    """
    begun = await kept.begun(journal, venue) if kept else None
    state, head = begun or (None, Head())
    comparison, keep = Comparison(venue, state.comparison if state else None), frozenset[str]()
    for _ in range(1 + ANEW_MAX):
        reading = VenueReading(client, journal, comparison, head)
        done = await _passed(client, reading, write)
        if not (touched := comparison.touched - keep):
            break
        keep |= touched
        state, head, comparison = None, Head(), Comparison(venue, keep=keep)
    else:
        raise Unavailable(f"venue {venue}: old orders moved while it was compared, {ANEW_MAX} times")
    if kept is not None:
        comparison.settle()
        kept.store(venue, reading.head, comparison.state(), state.read_at if state else None)
    return done


async def _passed(client: Client, reading: VenueReading, write: bool) -> VenuePass:
    """One look, and the repairs that it asks for. A comparison that cannot be trusted repairs nothing."""
    found, comparison = await _differ(reading), reading.comparison
    counts = (reading.head.seq, comparison.routed, comparison.trades)
    done = VenuePass(comparison.view.venue, *counts, tuple(found), 0, tuple(found), reading.began)
    wanted = repairs(found)
    if not (write and wanted) or comparison.touched:
        return done
    for begin in range(0, len(wanted), REPAIRED_AT_ONCE_MAX):
        await _repair(client, wanted[begin : begin + REPAIRED_AT_ONCE_MAX])
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


async def _repair(client: Client, wanted: Sequence[OrderDifference]) -> None:
    """Said again it changes nothing: trades are known by their ids, and a closed leg stays closed."""
    commands: list[BookReport | DoubtRoute] = []
    for difference in wanted:
        if difference.repair is not None:
            commands.append(BookReport(order_id=difference.order_id, report=difference.repair))
        elif difference.doubt is not None:
            commands.append(DoubtRoute(order_id=difference.order_id, route_id=difference.about, reason=difference.doubt, anyway=True))
        elif difference.cancel is not None:
            cancel = difference.cancel
            await bus.publish(client, subjects.requests(cancel.venue, cancel.shard), encode([SentRequest("cancel", cancel)]))
    if commands:
        reply = await bus.request(client, subjects.commands(0), encode(commands), ASK_TIMEOUT_S)
        refused = [answer.code for answer in _COMMANDS.decode(reply) if not answer.ok]
        if refused:
            raise Unavailable(f"oms did not book {len(refused)} of {len(commands)} repairs: {refused[0]}")
