"""Standby: one process of a service works at a time, a second one waits until it is gone, and a process that was replaced ends.

The process that works, or is about to, answers on `<service>.owner.<shard>`. The rules are in domain/standby.py.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from adapters import bus, subjects
from adapters.codec import decoder, encode
from domain.ports import Unavailable
from domain.standby import TRUST_NS, Act, ProcessSeen, claiming, holding, standing_by

log = structlog.get_logger()

ASK_EVERY_S: Final = 0.5
COLLECT_S: Final = 0.1
"""How long answers to one question are collected."""
OWN_ANSWER_S: Final = 1.0
"""How long a working process first waits for its own answer, which proves that questions arrive. A busy loop may take this long."""
NO_RESPONDERS: Final = "503"
ANSWERS_MAX: Final = 64
"""Answers to one question that are read."""


class OwnerQuestion(msgspec.Struct):
    """A question with its sender, so that a process recognises its own."""

    sender: str


_QUESTION: Final = decoder(OwnerQuestion)
_SEEN: Final = decoder(ProcessSeen)


class Round(msgspec.Struct):
    """The answers to one question. `reached`: the server delivered it. `silent`: a process listens, but none has answered."""

    others: list[ProcessSeen]
    reached: bool = False
    silent: bool = False

    def who(self) -> str:
        names = ", ".join(sorted(other.sender for other in self.others))
        return f"{names} works" if names else "a process that works, or did, does not answer"


class Turn:
    """The turn of one service and shard. `wait` returns when this process has it; `run` keeps it and reports its loss."""

    def __init__(self, client: Client, service: str, shard: int = 0, sender: str = "") -> None:
        self._client = client
        self._subject = subjects.owner(service, shard)
        self.sender = sender or f"{service}-{secrets.token_hex(6)}"
        self._listening: Subscription | None = None
        self._inbox = ""
        self._answers: list[ProcessSeen] = []
        self._no_listener = asyncio.Event()
        self._own = asyncio.Event()
        self._held_since: int | None = None
        self._confirmed_at = -TRUST_NS

    def holds(self) -> bool:
        """Return whether this process may work. A process that was suspended must ask again first, so an old confirmation is not enough."""
        return self._held_since is not None and self._now() - self._confirmed_at < TRUST_NS

    async def wait(self, say: Callable[[str], None]) -> None:
        """Wait until this process has the turn. `say` is called with the reason for waiting whenever it changes."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        last_seen: int | None = None
        reported = ""
        while True:
            found = await self._ask()
            now = self._now()
            if found.others or (last_seen is not None and not found.reached) or (last_seen is None and found.silent):
                last_seen = now
            known_ns = None if last_seen is None else now - last_seen
            if found.reached and standing_by(found.others, known_ns=known_ns) is Act.CLAIM and await self._claim():
                return
            reason = f"stands by: {found.who()}"
            if found.reached and reason != reported and (found.others or not reported):
                reported = reason
                say(reason)
            await asyncio.sleep(ASK_EVERY_S)

    async def run(self, lost: Callable[[str], None]) -> None:
        """Ask until cancelled whether another process works too. If it does and came later, call `lost` and return."""
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            asked_at = self._now()
            found = await self._ask()
            if holding(self._seen(), found.others) is Act.YIELD:
                self._held_since = None
                lost(f"{found.others[0].sender} works in the place of {self.sender}: this process ends")
                return
            if found.reached:
                self._confirmed_at = asked_at

    async def _claim(self) -> bool:
        """Claim the turn. Subscribe first, then ask: of two concurrent claims, at least one receives the other's answer."""
        self._listening = await self._client.subscribe(self._subject, cb=self._on_question)
        act = Act.CLAIM
        while act is Act.CLAIM:
            try:
                await bus.flush(self._client)
            except bus.WireError:
                break
            asked_at = self._now()
            found = await self._ask()
            act = claiming(self.sender, found.others) if found.reached else Act.WAIT
            if act is Act.HOLD:
                self._held_since, self._confirmed_at = self._now(), asked_at
                log.info("this process has the turn", sender=self.sender)
                return True
        await self._listening.unsubscribe()
        self._listening = None
        return False

    async def _ask(self) -> Round:
        """Ask once and collect answers for COLLECT_S; return at once if no process listens."""
        self._answers, self._no_listener, self._own = [], asyncio.Event(), asyncio.Event()
        try:
            await self._client.publish(self._subject, encode(OwnerQuestion(self.sender)), reply=f"{self._inbox}.{secrets.token_hex(4)}")
            await bus.flush(self._client)
        except bus.WireError:
            return Round([])
        if self._listening is not None:
            await _within(OWN_ANSWER_S, self._own)
        await _within(COLLECT_S, self._no_listener)
        others = [each for each in self._answers if each.sender != self.sender]
        reached = self._listening is None or self._own.is_set()
        return Round(others, reached=reached, silent=reached and not self._answers and not self._no_listener.is_set())

    async def _on_question(self, message: Msg) -> None:
        try:
            _QUESTION.decode(message.data)
            await bus.publish(self._client, message.reply, encode(self._seen()))
        except (ValueError, Unavailable):
            return  # asked again

    async def _on_answer(self, message: Msg) -> None:
        if (message.headers or {}).get("Status") == NO_RESPONDERS:
            self._no_listener.set()
        elif len(self._answers) < ANSWERS_MAX and (seen := _read(message)) is not None:
            self._answers.append(seen)
            if seen.sender == self.sender:
                self._own.set()

    def _seen(self) -> ProcessSeen:
        since = self._held_since
        return ProcessSeen(self.sender, holds=since is not None, held_ns=0 if since is None else self._now() - since)

    @staticmethod
    def _now() -> int:
        return int(asyncio.get_running_loop().time() * 1e9)


class NoTurn:
    """The turn of a service in a unit that shares the shards: several work at a time, each for the shards that its unit owns."""

    def __init__(self, sender: str) -> None:
        self.sender = sender

    def holds(self) -> bool:
        return True


AnyTurn = Turn | NoTurn


async def _within(seconds: float, event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _read(answer: Msg) -> ProcessSeen | None:
    try:
        found: ProcessSeen = _SEEN.decode(answer.data)
    except ValueError:
        return None
    return found
