"""The journal of controls in the hands of risk, which writes it, and of the services that obey it."""

import asyncio
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client

from adapters import controls, subjects
from adapters.controls import CONTROL_COMMITS
from adapters.jetstream import JetStreamJournal, stream_state
from apps.connections import journals, nats
from apps.connections.controls import ControlAck, KnownControls, connections, controls_into, loss_accepted
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
from domain.ports import Corrupt, Fenced, Head, Journal, Missing, Unavailable
from domain.risk.controls import ControlEvent


async def written_controls(chassis: Chassis[RiskSettings], client: Client, writer: Client) -> tuple[JetStreamJournal, Mark | None]:
    """The journal of controls for risk, its only writer: made when it never was, and refused when it is not what was acknowledged."""
    mark = journals.watermark(chassis, subjects.CONTROLS, CONTROL_COMMITS, event=controls_accepted)

    async def made() -> JetStreamJournal:
        if await stream_state(client, subjects.CONTROL_STREAM) is None:
            may_begin(subjects.CONTROL_STREAM, [mark])
        await controls.make_controls(client, chassis.settings.nats.replicas)
        return await controls.open_controls(client, writer)

    journal = await nats.or_refused(chassis, made)

    async def verified() -> None:
        try:
            if mark is not None:
                await verify_watermark(journal, mark)
        except Fenced as trouble:
            raise Unavailable(str(trouble)) from trouble

    await nats.or_refused(chassis, verified)
    return journal, mark


def keep_controls(chassis: Chassis[RiskSettings], journal: Journal, mark: Mark | None, follower: JournalSubscription[Any]) -> None:
    """As long as risk lives: its mark follows what it has read, and a foreign message at the journal's end ends it."""
    if mark is not None:
        chassis.spawn(lambda: _note(mark, follower), tasks.CONTROLS_NOTED)
    chassis.spawn(lambda: watch_foreign(journal, lambda: follower.head, subjects.CONTROLS), tasks.FOREIGN)


async def _note(mark: Mark, follower: JournalSubscription[Any]) -> None:
    while True:
        mark.note(follower.head)
        await asyncio.sleep(RAISE_EVERY_S)


async def follow_controls(
    chassis: Chassis[OmsSettings] | Chassis[ExeqSettings], client: Client, publisher: Publisher, *taken: Callable[[ControlEvent], None]
) -> KnownControls:
    """Each control into each of `taken`, for a service that lets orders pass or sends them; and whoever asks is told that it obeys."""
    mark = journals.watermark(chassis, subjects.CONTROLS, CONTROL_COMMITS, of_follower=True)
    journal = await nats.patiently(lambda: _followed_controls(chassis, client, mark))
    follower = JournalSubscription(journal, CONTROL_COMMITS, controls_into(*taken), after=Head(), wait_s=0)
    known = KnownControls(journal, follower, connections(client))
    await ControlAck(chassis.name, follower, publisher).start(client)
    chassis.spawn(follower.run, tasks.CONTROL_FOLLOWER)
    chassis.spawn(known.run, tasks.CONTROLS_KNOWN)
    if mark is not None:
        chassis.spawn(lambda: _note(mark, follower), tasks.CONTROLS_NOTED)
    chassis.ready.depend("controls", known.trouble)
    return known


async def learn(client: Client, take: Callable[[ControlEvent], None]) -> None:
    """Each control into `take`, for a service that obeys none and only wants to know what was in the catalogue. Without end."""
    journal = await nats.patiently(lambda: controls.open_controls(client))
    await JournalSubscription(journal, CONTROL_COMMITS, controls_into(take), after=Head(), wait_s=0).run()


async def _followed_controls(chassis: Chassis[OmsSettings] | Chassis[ExeqSettings], client: Client, mark: Mark | None) -> JetStreamJournal:
    """The journal of controls, when it has all that this service had applied. Unavailable, with the reason in `/ready`, until then.

    The service waits and does not end: risk may put the journal right, and until then no order passes here and nothing is sent.
    """
    try:
        try:
            journal = await controls.open_controls(client)
        except Missing:
            may_begin(subjects.CONTROL_STREAM, [mark])
            raise
        if mark is not None:
            await verify_followed(journal, mark, loss_accepted)
    except (Corrupt, Unavailable) as trouble:
        chassis.ready.set(SERVICE, False, f"starting: {trouble}")
        raise Unavailable(str(trouble)) from trouble
    chassis.ready.set(SERVICE, False, "starting")
    return journal
