"""Accounts and keys in a service: followed from their journal, and questions about them answered."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.clock import SystemClock
from adapters.codec import Commit, decoder, encode
from adapters.controls import ACCESS_COMMITS, ACCESS_JOURNAL
from apps.connections import control_journal, journals
from apps.connections import nats as connections
from apps.http.audit import AuditEntry
from apps.http.authority import Authority, KeysKnown
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import access_accepted
from apps.runtime import tasks
from apps.runtime.chassis import Chassis
from config.access_mode import OPEN
from domain.access.events import AccessAccepted, AccessChange
from domain.ports import Corrupt, Head, Journal, Unavailable

OBEY_S: Final = 1.0
"""How long a service may take to apply a change of keys, and how long a request waits for its acknowledgement."""
READ_TO_END_EVERY_S: Final = 0.25
"""How often the end of the journal is compared with what was applied. Keys count as known for a second after that."""
QUESTIONS_PENDING_MAX: Final = 64
ENTRIES_MAX: Final = 1000
"""Entries of the audit ring in one answer."""
USES_MAX: Final = 10_000

AccessCommits = Sequence[tuple[int, Commit[AccessChange]]]
log = structlog.get_logger()


class AccessQuestion(msgspec.Struct, omit_defaults=True):
    """Has the service applied all events up to `seq`? With `entries`: also its audit ring, and when keys were last used."""

    seq: int = 0
    entries: int = 0
    key_id: str = ""
    since: int = 0


class AccessAnswer(msgspec.Struct, omit_defaults=True):
    """`used`: key id -> the minute of its last use, in nanoseconds UTC."""

    seq: int
    entries: list[AuditEntry] = []
    used: dict[str, int] = {}


_QUESTION: Final = decoder(AccessQuestion)
_ANSWER: Final = decoder(AccessAnswer)


class AccessAnswers:
    """Answers risk's questions about the access events that this service has applied."""

    def __init__(self, service: str, client: Client, authority: Authority, follower: JournalSubscription[Any]) -> None:
        self._service = service
        self._client = client
        self._authority = authority
        self._follower = follower

    async def start(self) -> None:
        subject = subjects.access_questions(self._service)
        await self._client.subscribe(subject, cb=self._on_question, pending_msgs_limit=QUESTIONS_PENDING_MAX)

    async def _on_question(self, message: Msg) -> None:
        try:
            asked = _QUESTION.decode(message.data)
            await asyncio.wait_for(self._follower.wait_for(asked.seq), OBEY_S)
            await bus.publish(self._client, message.reply, encode(self._answer(asked)))
        except (ValueError, TimeoutError, Unavailable) as error:
            log.warning("cannot acknowledge access events", error=repr(error)[:200])

    def _answer(self, asked: AccessQuestion) -> AccessAnswer:
        if not asked.entries:
            return AccessAnswer(asked.seq)
        audit = self._authority.audit
        entries = audit.newest(min(asked.entries, ENTRIES_MAX), key_id=asked.key_id, since=asked.since)
        used = dict(sorted(self._authority.last_used().items(), key=lambda each: -each[1])[:USES_MAX])
        return AccessAnswer(asked.seq, list(entries), used)


async def ask(client: Client, service: str, question: AccessQuestion) -> AccessAnswer | str:
    """Return a service's answer, or why there is none: `absent` (it does not run) or `unknown`."""
    try:
        answer: AccessAnswer = _ANSWER.decode(await bus.request(client, subjects.access_questions(service), encode(question), OBEY_S))
    except ValueError:
        return "unknown"
    except Unavailable as trouble:
        return "absent" if isinstance(trouble.__cause__, nats.errors.NoRespondersError) else "unknown"
    return answer


def access_into(*taken: Callable[[AccessChange], None]) -> Callable[[AccessCommits], None]:
    """Return an `apply` for a subscription that passes each access event to each of `taken`."""

    def apply(commits: AccessCommits) -> None:
        for _, commit in commits:
            for event in commit.events:
                for take in taken:
                    take(event)

    return apply


async def read_to_end(known: KeysKnown, journal: Journal, follower: JournalSubscription[Any]) -> None:
    """Until cancelled, note each moment of which all access events have been applied.

    It does not rely on the connection: a server or a network that stopped without a word is noticed because no answer comes.
    """
    clock = SystemClock()
    while True:
        asked_at = clock.monotonic_ns()
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(OBEY_S):
                await follower.wait_for((await journal.head()).seq)
                if follower.caught_up:
                    known.read_to_end(asked_at)
        await asyncio.sleep(READ_TO_END_EVERY_S)


def follow_access(chassis: Chassis[Any], client: Client, *taken: Callable[[AccessChange], None]) -> None:
    """Follow the access events, for any service but risk, which writes them. Until they are read, a key opens nothing.

    `taken` get each event that was recorded after this start.
    """
    mark = journals.watermark(chassis, subjects.ACCESS, ACCESS_COMMITS, of_follower=True, event=access_accepted)

    async def opened() -> Journal:
        try:
            return await control_journal.followed(client, ACCESS_JOURNAL, mark, _loss_accepted)
        except (Corrupt, Unavailable) as trouble:
            reason[:] = [str(trouble)]
            raise Unavailable(str(trouble)) from trouble

    async def run() -> None:
        journal = await connections.patiently(opened)
        reason.clear()
        follower = JournalSubscription(journal, ACCESS_COMMITS, lambda commits: apply(follower, commits), after=Head(), wait_s=0)
        control_journal.note(chassis, ACCESS_JOURNAL, mark, follower)
        await AccessAnswers(chassis.name, client, chassis.authority, follower).start()
        chassis.spawn(lambda: read_to_end(chassis.keys_known, journal, follower), tasks.KEYS_KNOWN)
        await follower.run()

    def apply(follower: JournalSubscription[Any], commits: AccessCommits) -> None:
        for seq, commit in commits:
            for event in commit.events:
                chassis.keys.apply(event)
                if not follower.is_past(seq):
                    for take in taken:
                        take(event)

    reason: list[str] = []
    chassis.spawn(run, tasks.ACCESS_FOLLOWER)
    ready_with_keys(chassis, lambda: reason[0] if reason else "")


def ready_with_keys(chassis: Chassis[Any], reason: Callable[[], str] = lambda: "") -> None:
    """In keys mode the service is ready only while it knows the keys: without them it refuses every change."""
    if chassis.authority.mode == OPEN:
        return

    async def trouble() -> str | None:
        return None if chassis.keys_known.within(OBEY_NS) else reason() or "the keys are not known yet"

    chassis.ready.depend("keys", trouble)


OBEY_NS: Final = int(OBEY_S * 1e9)


async def _loss_accepted(journal: Journal, applied: Head) -> bool:
    """Return whether an operator accepted that the journal lost this event. Corrupt, Unavailable."""
    until = (await journal.head()).seq
    async with contextlib.aclosing(journal.follow(Head(), until=until)) as batches:
        async for batch in batches:
            for event in (event for recorded in batch for event in ACCESS_COMMITS.read(recorded).events):
                if isinstance(event, AccessAccepted) and event.lost and applied.seq <= event.acknowledged_to:
                    return True
    return False


Acknowledgements = Mapping[str, str]


class AccessAcks:
    """Asks all services at once whether an access event is in force, and what they saw of keys."""

    def __init__(self, client: Client, services: Sequence[str]) -> None:
        self._client = client
        self._services = services

    async def of(self, seq: int) -> Acknowledgements:
        """Return `yes`, `absent` or `unknown` for each service."""
        answers = await self._asked(AccessQuestion(seq))
        return {name: "yes" if isinstance(answer, AccessAnswer) else answer for name, answer in answers.items()}

    async def seen(self, question: AccessQuestion) -> Mapping[str, AccessAnswer]:
        """Return the answers of those services that answer."""
        return {name: answer for name, answer in (await self._asked(question)).items() if isinstance(answer, AccessAnswer)}

    async def _asked(self, question: AccessQuestion) -> Mapping[str, AccessAnswer | str]:
        answers = await asyncio.gather(*(ask(self._client, service, question) for service in self._services))
        return dict(zip(self._services, answers, strict=True))
