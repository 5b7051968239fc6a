"""What the services share about controls: the words of a request, which orders a scope has, and who obeys by now."""

import asyncio
import contextlib
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import Commit, decoder, encode
from adapters.controls import CONTROL_COMMITS
from apps.http.problem import Refusal, malformed
from apps.journal.publisher import Publisher
from apps.journal.subscription import JournalSubscription
from domain.ports import Head, Journal, Unavailable
from domain.risk.controls import ALL, OPERATOR, REASON_MAX, WHO_MAX, ControlEvent, ControlsAccepted
from domain.values import IDENTIFIER

log = structlog.get_logger()

OBEY_S: Final = 1.0
"""How long a service may take to read a control, and how long whoever asks waits for it."""
QUESTIONS_PENDING_MAX: Final = 64
READ_AGAIN_S: Final = 0.05
"""exeq tells risk here of switches that were thrown at exeq itself."""

SIGNED: Final = ("reason", "who")
THROWN: Final = ("scope", *SIGNED)
ARMED: Final = (*THROWN, "token")
"""The fields of a request: what the readers take is what the documentation shows."""

_DOCUMENTED: Final[Mapping[str, Mapping[str, object]]] = {
    "scope": {"type": "string", "description": "all, account:A, symbol:S or venue:V"},
    "reason": {"type": "string", "minLength": 1, "maxLength": REASON_MAX, "description": "kept for ever"},
    "who": {"type": ["string", "null"], "pattern": f"^{IDENTIFIER.pattern}$", "description": f"by default {OPERATOR}"},
    "token": {"type": ["string", "null"], "description": "what the first step answered; without it this is the first step"},
}
_REQUIRED: Final = ("scope", "reason", "version")

_KILL_WORDS: Final[Mapping[str, Mapping[str, object]]] = {
    "reason": {
        "description": f"stored permanently, as one line of {REASON_MAX} printable characters; a kill is never refused for its words"
    },
    "who": {"description": f"the same, of {WHO_MAX} characters; by default {OPERATOR}"},
}

Say = Mapping[str, object]


def body_doc(
    fields: Sequence[str], more: Mapping[str, Mapping[str, object]] | None = None, *, needed: Sequence[str] = _REQUIRED
) -> dict[str, Any]:
    """What OpenAPI says of a request that has these fields."""
    properties = {name: (more or _DOCUMENTED).get(name) or _DOCUMENTED[name] for name in fields}
    required = [name for name in fields if name in needed]
    schema = {"type": "object", "additionalProperties": False, "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def kill_doc() -> dict[str, Any]:
    """What OpenAPI says of a kill, at risk and at exeq."""
    return body_doc(THROWN, _KILL_WORDS, needed=("scope",))


def reason_of(fields: Say) -> str:
    """Refusal 400."""
    found = fields.get("reason")
    if type(found) is not str or not found.strip():
        raise malformed("reason is missing: say why, it is kept for ever", "/reason")
    text = unicodedata.normalize("NFC", found.strip())
    if len(text) > REASON_MAX or not text.isprintable():
        raise malformed(f"reason may have {REASON_MAX} printable characters at most", "/reason")
    return text


def who_of(fields: Say) -> str:
    """Refusal 400."""
    found = fields.get("who")
    if found is None:
        return OPERATOR
    if type(found) is not str or not IDENTIFIER.fullmatch(found):
        raise malformed("who must be 1 to 64 of the characters A-Z a-z 0-9 _ -", "/who")
    return found


class Scopes:
    """The scopes that there are. One that names nothing would stop nothing, and nobody would notice: it is refused."""

    def __init__(self, symbols: Collection[str], venues: Collection[str]) -> None:
        self._known: Mapping[str, tuple[Collection[str], str]] = {
            "symbol": (symbols, "unknown_symbol"),
            "venue": (venues, "unknown_venue"),
        }

    def of(self, fields: Say) -> str:
        """Refusal 400 when it is no scope, 422 when there is no such symbol or venue."""
        found = fields.get("scope")
        if type(found) is not str:
            raise malformed("scope is missing: all, account:A, symbol:S or venue:V", "/scope")
        kind, _, name = found.partition(":")
        if found == ALL or (kind == "account" and IDENTIFIER.fullmatch(name)):
            return found
        if kind not in self._known:
            raise malformed("scope must be all, account:A, symbol:S or venue:V", "/scope")
        names, code = self._known[kind]
        if name not in names:
            raise Refusal(422, code, f"there is no such {kind}", pointer="/scope")
        return found


def controls_into(*taken: Callable[[ControlEvent], None]) -> Callable[[Sequence[tuple[int, Commit[ControlEvent]]]], None]:
    """What a follower of the controls does with them."""

    def apply(commits: Sequence[tuple[int, Commit[ControlEvent]]]) -> None:
        for _, commit in commits:
            for event in commit.events:
                for take in taken:
                    take(event)

    return apply


async def loss_accepted(journal: Journal, applied: Head) -> bool:
    """Did an operator accept that the journal lost this control? Corrupt, Unavailable."""
    until = (await journal.head()).seq
    async with contextlib.aclosing(journal.follow(Head(), until=until)) as batches:
        async for batch in batches:
            for event in (event for recorded in batch for event in CONTROL_COMMITS.read(recorded).events):
                if isinstance(event, ControlsAccepted) and event.lost and applied.seq <= event.acknowledged_to:
                    return True
    return False


class KnownControls:
    """Are the controls known up to now? Not before they were read once, nor over a new connection until what was missed is read."""

    def __init__(self, journal: Journal, follower: JournalSubscription[Any], connection: Callable[[], int | None]) -> None:
        """`connection` numbers the connections to the journal; None while there is none."""
        self._journal = journal
        self._follower = follower
        self._connection = connection
        self._read_over: int | None = None

    def __call__(self) -> bool:
        connection = self._connection()
        return connection is not None and connection == self._read_over and self._follower.caught_up

    async def trouble(self) -> str | None:
        """For the readiness."""
        return None if self() else "it is not known yet what is forbidden"

    async def run(self) -> None:
        """For ever: over every new connection, read to the end of the journal."""
        while True:
            connection = self._connection()
            if connection is not None and connection != self._read_over and await self._read_on():
                self._read_over = connection
            await asyncio.sleep(READ_AGAIN_S)

    async def _read_on(self) -> bool:
        try:
            await asyncio.wait_for(self._follower.wait_for((await self._journal.head()).seq), OBEY_S)
        except (Unavailable, TimeoutError):
            return False
        return True


def connections(client: Client) -> Callable[[], int | None]:
    """The number of the connection that a client has now; None while it has none."""
    return lambda: client.stats["reconnects"] if client.is_connected else None


class ControlsQuestion(msgspec.Struct):
    """Have you read the controls up to here?"""

    seq: int


_QUESTION: Final = decoder(ControlsQuestion)


class ControlAck:
    """Answers for one service whether it obeys. The answer leaves behind all that the service sent before."""

    def __init__(self, service: str, follower: JournalSubscription[Any], publisher: Publisher) -> None:
        self._service = service
        self._follower = follower
        self._publisher = publisher

    async def start(self, client: Client) -> None:
        await client.subscribe(subjects.acknowledged(self._service), cb=self._on_question, pending_msgs_limit=QUESTIONS_PENDING_MAX)

    async def _on_question(self, message: Msg) -> None:
        try:
            seq = _QUESTION.decode(message.data).seq
            await asyncio.wait_for(self._follower.wait_for(seq), OBEY_S)
        except (ValueError, TimeoutError) as error:
            log.warning("cannot say that controls are obeyed", error=repr(error)[:200])
            return
        self._publisher.put(message.reply, encode(ControlsQuestion(seq)))


async def obeyed(client: Client, service: str, seq: int) -> str:
    """`yes`; `absent` when it is not there, so it sends nothing, and reads the controls before it does; `unknown` when it does not say."""
    try:
        reply = await bus.request(client, subjects.acknowledged(service), encode(ControlsQuestion(seq)), OBEY_S)
        return "yes" if _QUESTION.decode(reply).seq >= seq else "unknown"
    except ValueError:
        return "unknown"
    except Unavailable as trouble:
        return "absent" if isinstance(trouble.__cause__, nats.errors.NoRespondersError) else "unknown"
