"""The journals of controls and of access: opened by risk, which writes them, and by the services that apply them."""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from nats.aio.client import Client

from adapters import controls, subjects
from adapters.controls import CONTROL_COMMITS, CONTROL_JOURNAL, RiskJournal
from adapters.jetstream import JetStreamJournal, stream_state
from apps.connections import journals, nats
from apps.connections.controls import ControlAck, KnownControls, connections, events_into, of_unit
from apps.journal.publisher import Publisher
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import (
    RAISE_EVERY_S,
    Mark,
    controls_accepted,
    may_begin,
    verify_followed,
    verify_watermark,
    watch_foreign,
)
from apps.runtime import tasks
from apps.runtime.chassis import Chassis
from apps.runtime.health import SERVICE
from config.settings import ExeqSettings, OmsSettings, RiskSettings
from domain.access.events import AccessAccepted
from domain.ports import Acceptance, Corrupt, Fenced, Head, Journal, Missing, Unavailable
from domain.risk.controls import ControlEvent, ControlsAccepted

E = TypeVar("E")


async def written(
    chassis: Chassis[RiskSettings], client: Client, writer: Client, which: RiskJournal[E], accepted: Callable[[Acceptance], object]
) -> tuple[JetStreamJournal, Mark | None]:
    """Open a journal for risk, its only writer. Create it if it never existed; refuse it if acknowledged parts are lost.

    `accepted` makes the event with which an operator accepted a loss.
    """
    mark = journals.watermark(chassis, which.subject, which.commits, event=accepted)

    async def made() -> JetStreamJournal:
        if await stream_state(client, which.stream) is None:
            may_begin(which.stream, [mark])
        await controls.make(client, which, chassis.settings.nats.replicas)
        return await controls.open_journal(client, which, writer)

    journal = await nats.or_refused(chassis, made)

    async def verified() -> None:
        try:
            if mark is not None:
                await verify_watermark(journal, mark)
        except Fenced as trouble:
            raise Unavailable(str(trouble)) from trouble

    await nats.or_refused(chassis, verified)
    return journal, mark


async def written_controls(chassis: Chassis[RiskSettings], client: Client, writer: Client) -> tuple[JetStreamJournal, Mark | None]:
    """Open the journal of controls for risk."""
    return await written(chassis, client, writer, CONTROL_JOURNAL, controls_accepted)


def keep(
    chassis: Chassis[RiskSettings], which: RiskJournal[E], journal: Journal, mark: Mark | None, follower: JournalSubscription[Any]
) -> None:
    """While risk runs: keep its mark at what it has read, and end it if a foreign message is at the journal's end."""
    note(chassis, which, mark, follower)
    chassis.spawn(lambda: watch_foreign(journal, lambda: follower.head, which.subject), tasks.FOREIGN, which.subject)


def note(chassis: Chassis[Any], which: RiskJournal[E], mark: Mark | None, follower: JournalSubscription[Any]) -> None:
    """Keep the mark of a writer or a follower at what it has read."""
    if mark is not None:
        chassis.spawn(lambda: _note(mark, follower), tasks.CONTROLS_NOTED, which.subject)


async def _note(mark: Mark, follower: JournalSubscription[Any]) -> None:
    while True:
        mark.note(follower.head)
        await asyncio.sleep(RAISE_EVERY_S)


async def follow_controls(
    chassis: Chassis[OmsSettings] | Chassis[ExeqSettings], client: Client, publisher: Publisher, *taken: Callable[[ControlEvent], None]
) -> KnownControls:
    """Pass each control to each of `taken`, for a service that admits or sends orders; acknowledge applied controls on request."""
    mark = journals.watermark(chassis, subjects.CONTROLS, CONTROL_COMMITS, of_follower=True)
    journal = await nats.patiently(lambda: _followed_controls(chassis, client, mark))
    follower = JournalSubscription(journal, CONTROL_COMMITS, events_into(*taken), after=Head(), wait_s=0)
    known = KnownControls(journal, follower, connections(client))
    await ControlAck(chassis.name, follower, publisher).start(client)
    if unit := chassis.settings.unit.name:
        await ControlAck(of_unit(chassis.name, unit), follower, publisher).start(client)
    chassis.spawn(follower.run, tasks.CONTROL_FOLLOWER)
    chassis.spawn(known.run, tasks.CONTROLS_KNOWN)
    note(chassis, CONTROL_JOURNAL, mark, follower)
    chassis.ready.depend("controls", known.trouble)
    return known


class ControlReader:
    """Passes each control to `take`, for a service that shows them or needs what was in the catalogue, and applies none."""

    def __init__(self, client: Client, take: Callable[[ControlEvent], None]) -> None:
        self._client = client
        self._take = take
        self._follower: JournalSubscription[ControlEvent] | None = None

    def complete(self) -> bool:
        """Return whether all controls of when the reading began have been passed on."""
        follower = self._follower
        return follower is not None and follower.began is not None and follower.head.seq >= follower.began

    async def run(self) -> None:
        """Read until cancelled, and wait while the journal cannot be opened."""
        journal = await nats.patiently(lambda: controls.open_journal(self._client, CONTROL_JOURNAL))
        self._follower = JournalSubscription(journal, CONTROL_COMMITS, events_into(self._take), after=Head(), wait_s=0)
        await self._follower.run()


async def followed(client: Client, which: RiskJournal[E], mark: Mark | None) -> JetStreamJournal:
    """Open a journal for a follower once it has everything that this service had applied. Corrupt, Unavailable."""
    try:
        journal = await controls.open_journal(client, which)
    except Missing:
        may_begin(which.stream, [mark])
        raise
    if mark is not None:
        await verify_followed(journal, mark, partial(loss_accepted, which))
    return journal


async def loss_accepted(which: RiskJournal[E], journal: Journal, applied: Head) -> bool:
    """Return whether an operator accepted that the journal lost this commit. Corrupt, Unavailable."""
    until = (await journal.head()).seq
    async with contextlib.aclosing(journal.follow(Head(), until=until)) as batches:
        async for batch in batches:
            for event in (event for recorded in batch for event in which.commits.read(recorded).events):
                if isinstance(event, ControlsAccepted | AccessAccepted) and event.lost and applied.seq <= event.acknowledged_to:
                    return True
    return False


async def _followed_controls(chassis: Chassis[OmsSettings] | Chassis[ExeqSettings], client: Client, mark: Mark | None) -> JetStreamJournal:
    """Open the journal of controls once it has everything that this service had applied. Unavailable, with the reason in `/ready`, before.

    The service waits and does not end: risk may repair the journal, and until then no order passes here and nothing is sent.
    """
    try:
        journal = await followed(client, CONTROL_JOURNAL, mark)
    except (Corrupt, Unavailable) as trouble:
        chassis.ready.set(SERVICE, False, f"starting: {trouble}")
        raise Unavailable(str(trouble)) from trouble
    chassis.ready.set(SERVICE, False, "starting")
    return journal
