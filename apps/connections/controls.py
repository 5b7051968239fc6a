"""Code that services share for controls: fields of a request, scopes, and which service has applied a control."""

import asyncio
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import Commit, decoder, encode
from apps.http.caller import Caller, signed_by
from apps.http.problem import Refusal, malformed
from apps.journal.publisher import Publisher
from apps.journal.subscription import JournalSubscription
from domain.ports import Journal, Unavailable
from domain.risk.controls import ALL, OPERATOR, REASON_MAX, WHO_MAX, words_of_kill
from domain.values import IDENTIFIER

E = TypeVar("E")
T = TypeVar("T")
log = structlog.get_logger()

OBEY_S: Final = 1.0
"""How long a service may take to apply a control, and how long a request waits for its acknowledgement."""
QUESTIONS_PENDING_MAX: Final = 64
READ_AGAIN_S: Final = 0.05
"""Pause between two checks for a new connection to the journal."""

SIGNED: Final = ("reason", "who")
THROWN: Final = ("scope", *SIGNED)
ARMED: Final = (*THROWN, "token")
"""The fields of a request. The readers accept exactly what OpenAPI documents."""

_DOCUMENTED: Final[Mapping[str, Mapping[str, object]]] = {
    "scope": {"type": "string", "description": "all, account:A, symbol:S or venue:V"},
    "reason": {"type": "string", "minLength": 1, "maxLength": REASON_MAX, "description": "stored permanently"},
    "who": {"type": ["string", "null"], "pattern": f"^{IDENTIFIER.pattern}$", "description": f"default {OPERATOR}"},
    "token": {"type": ["string", "null"], "description": "token from the response to the first step; without it this is the first step"},
}
_REQUIRED: Final = ("scope", "reason", "version")

_KILL_FIELDS: Final[Mapping[str, Mapping[str, object]]] = {
    "reason": {
        "description": f"stored permanently, as one line of {REASON_MAX} printable characters; a kill is never refused for its text"
    },
    "who": {"description": f"the same, of {WHO_MAX} characters; default {OPERATOR}"},
}

Say = Mapping[str, object]


def body_doc(
    fields: Sequence[str], more: Mapping[str, Mapping[str, object]] | None = None, *, needed: Sequence[str] = _REQUIRED
) -> dict[str, Any]:
    """Return the OpenAPI description of a request that has these fields."""
    properties = {name: (more or _DOCUMENTED).get(name) or _DOCUMENTED[name] for name in fields}
    required = [name for name in fields if name in needed]
    schema = {"type": "object", "additionalProperties": False, "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def kill_doc() -> dict[str, Any]:
    """Return the OpenAPI description of a kill request, at risk and at exeq."""
    return body_doc(THROWN, _KILL_FIELDS, needed=("scope",))


def reason_of(fields: Say) -> str:
    """Return the reason in a request, normalised. Refusal 400."""
    found = fields.get("reason")
    if type(found) is not str or not found.strip():
        raise malformed("reason is missing; it is stored permanently", "/reason")
    text = unicodedata.normalize("NFC", found.strip())
    if len(text) > REASON_MAX or not text.isprintable():
        raise malformed(f"reason may have {REASON_MAX} printable characters at most", "/reason")
    return text


def who_of(fields: Say, caller: Caller) -> str:
    """Return who makes a request: the owner of the caller's key; without a key what the body says, by default OPERATOR.

    Refusal 400; 403 if the body names another one than the owner.
    """
    found = fields.get("who")
    if found is not None and (type(found) is not str or not IDENTIFIER.fullmatch(found)):
        raise malformed("who must be 1 to 64 of the characters A-Z a-z 0-9 _ -", "/who")
    return signed_by(caller, found) or OPERATOR


def token_of(fields: Say) -> str | None:
    """Return the token of a second step; None in a first one. Refusal 400."""
    found = fields.get("token")
    if found is not None and type(found) is not str:
        raise malformed("token must be text", "/token")
    return found


def texts_of_kill(fields: Say, caller: Caller) -> tuple[str, str]:
    """Return reason and author of a kill. It is never refused for its texts, but for a name that is not the owner's. Refusal 403."""
    who = fields.get("who")
    return words_of_kill(fields.get("reason"), signed_by(caller, who) if isinstance(who, str) else signed_by(caller, None))


class Scopes:
    """The valid scopes. A scope without a match would silently stop nothing, so it is refused."""

    def __init__(self, symbols: Collection[str], venues: Collection[str]) -> None:
        self._known: Mapping[str, tuple[Collection[str], str]] = {
            "symbol": (symbols, "unknown_symbol"),
            "venue": (venues, "unknown_venue"),
        }

    def of(self, fields: Say) -> str:
        """Return the scope in a request. Refusal 400 if it is not a scope, 422 if the symbol or venue is unknown."""
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
            raise Refusal(422, code, f"unknown {kind}", pointer="/scope")
        return found


def events_into(*taken: Callable[[E], None]) -> Callable[[Sequence[tuple[int, Commit[E]]]], None]:
    """Return an `apply` for a subscription that passes each event to each of `taken`."""

    def apply(commits: Sequence[tuple[int, Commit[E]]]) -> None:
        for _, commit in commits:
            for event in commit.events:
                for take in taken:
                    take(event)

    return apply


async def asked(client: Client, subject: str, question: msgspec.Struct, answers: msgspec.json.Decoder[T]) -> T | str:
    """Return a service's answer, or why there is none: `absent` (it does not run) or `unknown`."""
    try:
        return answers.decode(await bus.request(client, subject, encode(question), OBEY_S))
    except ValueError:
        return "unknown"
    except Unavailable as trouble:
        return "absent" if isinstance(trouble.__cause__, nats.errors.NoRespondersError) else "unknown"


class KnownControls:
    """Whether all controls are known: not before the first reading, nor over a new connection until missed controls are read."""

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
        """Return why the service is not ready; None if the controls are known."""
        return None if self() else "controls are not loaded yet; retry"

    async def run(self) -> None:
        """Read to the end of the journal over every new connection, until cancelled."""
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
    """Return a function that gives the number of the client's connection, or None while it has none."""
    return lambda: client.stats["reconnects"] if client.is_connected else None


class ControlsQuestion(msgspec.Struct):
    """The question whether a service has applied the controls up to `seq`."""

    seq: int


_QUESTION: Final = decoder(ControlsQuestion)


class ControlAck:
    """The acknowledgements of controls by one service. One is published after everything that the service sent before."""

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
            log.warning("cannot acknowledge controls", error=repr(error)[:200])
            return
        self._publisher.put(message.reply, encode(ControlsQuestion(seq)))


def of_unit(service: str, unit: str) -> str:
    """Return the name under which a service of one of several units acknowledges controls."""
    return f"{service}_{unit}"


async def obeyed(client: Client, service: str, seq: int) -> str:
    """Return whether a service has applied the controls up to `seq`: `yes`, `absent` or `unknown`.

    An absent service sends nothing and reads the controls before it does; `unknown` if it does not acknowledge.
    """
    answer = await asked(client, subjects.acknowledged(service), ControlsQuestion(seq), _QUESTION)
    return answer if isinstance(answer, str) else "yes" if answer.seq >= seq else "unknown"
