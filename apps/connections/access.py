"""Accounts and keys in a service: followed from their journal, and questions about them answered."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Any, Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.clock import SystemClock
from adapters.codec import Commit, decoder, encode
from adapters.controls import ACCESS_COMMITS, ACCESS_JOURNAL
from apps.connections import control_journal, journals
from apps.connections import nats as connections
from apps.connections.controls import OBEY_S, QUESTIONS_PENDING_MAX, asked
from apps.http.audit import AuditEntry
from apps.http.authority import CHANGES_WITHIN_NS, Authority
from apps.journal.end import JournalEnd
from apps.journal.subscription import JournalSubscription
from apps.journal.watermark import access_accepted
from apps.runtime import tasks
from apps.runtime.chassis import Chassis
from config.access_mode import OPEN
from domain.access.events import AccessChange
from domain.ports import Corrupt, Head, Journal, Unavailable

ENTRIES_MAX: Final = 1000
"""Entries of the audit ring in one answer."""
USES_MAX: Final = 10_000
"""Keys in one answer: those that were used last."""

AccessCommits = Sequence[tuple[int, Commit[AccessChange]]]
log = structlog.get_logger()


class AccessQuestion(msgspec.Struct, omit_defaults=True):
    """Has the service applied all events up to `seq`? The answer also carries what is asked for: at most `entries` entries of its
    audit ring, of one key or of all, not older than `since` (nanoseconds UTC); and with `used`, when keys were last used.
    """

    seq: int = 0
    entries: int = 0
    key_id: str = ""
    since: int = 0
    used: bool = False


class AccessAnswer(msgspec.Struct, omit_defaults=True):
    """`used`: key id -> the minute of its last use, in nanoseconds UTC."""

    seq: int
    entries: list[AuditEntry] = []
    used: dict[str, int] = {}


_QUESTIONS: Final = decoder(AccessQuestion)
_ANSWERS: Final = decoder(AccessAnswer)


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
            question = _QUESTIONS.decode(message.data)
            await asyncio.wait_for(self._follower.wait_for(question.seq), OBEY_S)
            await bus.publish(self._client, message.reply, encode(self._answer(question)))
        except (ValueError, TimeoutError, Unavailable) as error:
            log.warning("cannot acknowledge access events", error=repr(error)[:200])

    def _answer(self, question: AccessQuestion) -> AccessAnswer:
        authority, entries, used = self._authority, list[AuditEntry](), dict[str, int]()
        if question.entries:
            entries = authority.audit.newest(min(question.entries, ENTRIES_MAX), key_id=question.key_id, since=question.since)
        if question.used:
            used = dict(nlargest(USES_MAX, authority.last_used().items(), key=itemgetter(1)))
        return AccessAnswer(question.seq, entries, used)


class _Follower:
    """Follows the access events, and waits while the journal cannot be opened. `trouble`: why it cannot; empty otherwise."""

    def __init__(self, chassis: Chassis[Any], client: Client, taken: Sequence[Callable[[AccessChange], None]]) -> None:
        self._chassis = chassis
        self._client = client
        self._taken = taken
        self._mark = journals.watermark(chassis, subjects.ACCESS, ACCESS_COMMITS, of_follower=True, event=access_accepted)
        self.trouble = ""

    async def run(self) -> None:
        chassis, journal = self._chassis, await connections.patiently(self._opened)
        self.trouble = ""
        follower = JournalSubscription(journal, ACCESS_COMMITS, lambda commits: self._apply(follower, commits), after=Head(), wait_s=0)
        control_journal.note(chassis, ACCESS_JOURNAL, self._mark, follower)
        await AccessAnswers(chassis.name, self._client, chassis.authority, follower).start()
        chassis.spawn(JournalEnd(journal, follower, SystemClock(), chassis.keys_known.read_to_end).run, tasks.KEYS_KNOWN)
        await follower.run()

    async def _opened(self) -> Journal:
        try:
            return await control_journal.followed(self._client, ACCESS_JOURNAL, self._mark)
        except (Corrupt, Unavailable) as trouble:
            self.trouble = str(trouble)
            raise Unavailable(self.trouble) from trouble

    def _apply(self, follower: JournalSubscription[Any], commits: AccessCommits) -> None:
        for seq, commit in commits:
            for event in commit.events:
                self._chassis.keys.apply(event)
                if not follower.is_past(seq):
                    for take in self._taken:
                        take(event)


def follow_access(chassis: Chassis[Any], client: Client, *taken: Callable[[AccessChange], None]) -> None:
    """Follow the access events, for any service but risk, which writes them. Until they are read, a key opens nothing.

    `taken` get each event that was recorded after this start.
    """
    follower = _Follower(chassis, client, taken)
    chassis.spawn(follower.run, tasks.ACCESS_FOLLOWER)
    ready_with_keys(chassis, lambda: follower.trouble)


def ready_with_keys(chassis: Chassis[Any], reason: Callable[[], str] = lambda: "") -> None:
    """In keys mode the service is ready only while it knows the keys: without them it refuses every change."""
    if chassis.authority.mode == OPEN:
        return

    async def trouble() -> str | None:
        return None if chassis.keys_known.within(CHANGES_WITHIN_NS) else reason() or "the keys are not known yet"

    chassis.ready.depend("keys", trouble)


class AccessAcks:
    """Asks all services at once whether an access event is in force, and what they saw of keys."""

    def __init__(self, client: Client, services: Sequence[str]) -> None:
        self._client = client
        self._services = services

    async def of(self, seq: int) -> Mapping[str, str]:
        """Return `yes`, `absent` or `unknown` for each service."""
        answers = await self._asked(AccessQuestion(seq))
        return {name: "yes" if isinstance(answer, AccessAnswer) else answer for name, answer in answers.items()}

    async def seen(self, question: AccessQuestion) -> Mapping[str, AccessAnswer]:
        """Return the answers of those services that answer."""
        return {name: answer for name, answer in (await self._asked(question)).items() if isinstance(answer, AccessAnswer)}

    async def _asked(self, question: AccessQuestion) -> Mapping[str, AccessAnswer | str]:
        answers = await asyncio.gather(
            *(asked(self._client, subjects.access_questions(service), question, _ANSWERS) for service in self._services)
        )
        return dict(zip(self._services, answers, strict=True))
