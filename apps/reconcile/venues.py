"""Orders, trades and positions held against what a venue has, and put right: through oms, which books it as it books every report."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import msgspec
from nats.aio.client import Client

from adapters import bus
from adapters.codec import ORDER_COMMITS, decoder, encode
from domain.commands import BookReport, DoubtRoute, VenueReport
from domain.orders import Orders
from domain.ports import Head, Journal, Unavailable
from domain.reconciling import Difference, VenueView, differences, repairs

ASK_TIMEOUT_S: Final = 5.0
PAGE: Final = 500
LOOK_AGAIN_S: Final = 1.5
"""What differs only because something is on its way does not differ for so long."""
REPAIRED_AT_ONCE_MAX: Final = 500


class ReportsAnswer(msgspec.Struct):
    last: int | None = None
    reports: list[VenueReport] = []
    error: str | None = None


class CommandAnswer(msgspec.Struct):
    ok: bool
    code: str | None = None


_REPORTS: Final = decoder(ReportsAnswer)
_COMMANDS: Final = decoder(list[CommandAnswer])


class VenuePass(msgspec.Struct, frozen=True):
    """One look at one venue. `left` is what differs still after the repairs; without repairs it is all that was found."""

    venue: str
    as_of_seq: int
    orders: int
    trades: int
    found: tuple[Difference, ...] = ()
    repaired: int = 0
    left: tuple[Difference, ...] = ()


class Ours:
    """All orders there ever were, by the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._orders = Orders()
        self._head = Head()

    @property
    def seq(self) -> int:
        return self._head.seq

    @property
    def orders(self) -> Orders:
        return self._orders

    async def advance(self) -> None:
        """To the journal's end as it is now. Corrupt, Unavailable."""
        end = (await self._journal.head()).seq
        if end <= self._head.seq:
            return
        async with contextlib.aclosing(self._journal.follow(self._head, until=end)) as batches:
            async for batch in batches:
                for recorded in batch:
                    for event in ORDER_COMMITS.read(recorded).events:
                        self._orders.apply(event)
                self._head = batch[-1].head
                await asyncio.sleep(0)


class Theirs:
    """All that a venue reported, by its own session."""

    def __init__(self, client: Client, venue: str, shard: int = 0) -> None:
        self.view = VenueView(venue)
        self._client = client
        self._subject = f"venue.{venue}.session.{shard}"

    async def advance(self) -> None:
        """Unavailable when the venue does not answer."""
        while True:
            question = encode({"kind": "reports", "from": self.view.last + 1, "limit": PAGE})
            try:
                answer: ReportsAnswer = _REPORTS.decode(await bus.request(self._client, self._subject, question, ASK_TIMEOUT_S))
            except ValueError as error:
                raise Unavailable(f"venue {self.view.venue} cannot be understood: {error}") from error
            if answer.error or answer.last is None:
                raise Unavailable(f"venue {self.view.venue} does not tell its reports: {answer.error}")
            for report in answer.reports:
                self.view.apply(report)
            if not answer.reports or self.view.last >= answer.last:
                return


async def reconcile(client: Client, journal: Journal, venue: str, *, write: bool) -> VenuePass:
    """Only what differs in two looks counts. With `write` it is put right and looked at once more. Corrupt, Unavailable."""
    ours, theirs = Ours(journal), Theirs(client, venue)
    found = await _differ(ours, theirs)
    count = sum(route.venue == venue for order in ours.orders.by_id.values() for route in order.routes)
    done = VenuePass(venue, ours.seq, count, len(theirs.view.trades), tuple(found), 0, tuple(found))
    wanted = repairs(found)
    if not (write and wanted):
        return done
    for begin in range(0, len(wanted), REPAIRED_AT_ONCE_MAX):
        await _repair(client, wanted[begin : begin + REPAIRED_AT_ONCE_MAX])
    left = await _differ(ours, theirs)
    return msgspec.structs.replace(done, as_of_seq=ours.seq, repaired=len(wanted), left=tuple(left))


async def _differ(ours: Ours, theirs: Theirs) -> list[Difference]:
    """The venue is read behind us, so that it knows all that we know."""
    await ours.advance()
    await theirs.advance()
    first = differences(theirs.view, ours.orders.by_id)
    if not first:
        return []
    await asyncio.sleep(LOOK_AGAIN_S)
    await ours.advance()
    await theirs.advance()
    before = {difference.key for difference in first}
    return [difference for difference in differences(theirs.view, ours.orders.by_id) if difference.key in before]


async def _repair(client: Client, wanted: Sequence[Difference]) -> None:
    """Said again it changes nothing: trades are known by their ids, and a closed leg stays closed."""
    commands: list[BookReport | DoubtRoute] = []
    for difference in wanted:
        if difference.repair is not None:
            commands.append(BookReport(order_id=difference.order_id, report=difference.repair))
        elif difference.doubt is not None:
            commands.append(DoubtRoute(order_id=difference.order_id, route_id=difference.about, reason=difference.doubt, anyway=True))
        elif difference.cancel is not None:
            await bus.publish(client, f"orders.{difference.account}.cancel", encode(difference.cancel))
    if commands:
        reply = await bus.request(client, "oms.commands.0", encode(commands), ASK_TIMEOUT_S)
        refused = [answer.code for answer in _COMMANDS.decode(reply) if not answer.ok]
        if refused:
            raise Unavailable(f"oms did not book {len(refused)} of {len(commands)} repairs: {refused[0]}")
