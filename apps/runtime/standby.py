"""One process of a service works at a time; a second one stands by until the first is gone, and one that was followed ends.

Whoever works, or is about to, answers on `<service>.owner.<shard>`. The rules are in domain/standby.py.
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
HEAR_S: Final = 0.1
"""How long the answers to one question are gathered."""
OWN_ANSWER_S: Final = 1.0
"""How long one that works waits for its own answer first. It proves that questions arrive, and a busy loop needs its time for it."""
NO_RESPONDERS: Final = "503"
ANSWERS_MAX: Final = 64
"""Answers to one question that are looked at."""


class OwnerQuestion(msgspec.Struct):
    """Who asks is in it, so that a process knows its own question."""

    sender: str


_QUESTION: Final = decoder(OwnerQuestion)
_SEEN: Final = decoder(ProcessSeen)


class Round(msgspec.Struct):
    """What one question brought. `reached`: the server carried it. `silent`: a process listens, and none has said a word."""

    others: list[ProcessSeen]
    reached: bool = False
    silent: bool = False

    def who(self) -> str:
        names = ", ".join(sorted(other.sender for other in self.others))
        return f"{names} works" if names else "a process that works, or did, does not answer"


class Turn:
    """Whose turn it is, for one service and shard. `wait` returns when it is ours, `run` keeps it and says when it is lost."""

    def __init__(self, client: Client, service: str, shard: int = 0, sender: str = "") -> None:
        self._client = client
        self._subject = subjects.owner(service, shard)
        self.sender = sender or f"{service}-{secrets.token_hex(6)}"
        self._listening: Subscription | None = None
        self._inbox = ""
        self._answers: list[ProcessSeen] = []
        self._nobody = asyncio.Event()
        self._own = asyncio.Event()
        self._held_since: int | None = None
        self._confirmed_at = -TRUST_NS

    def holds(self) -> bool:
        """May we work? Not when we have not asked for a while: a process that was stopped and wakes asks before it works."""
        return self._held_since is not None and self._now() - self._confirmed_at < TRUST_NS

    async def wait(self, say: Callable[[str], None]) -> None:
        """Until it is our turn. `say` is given the reason for waiting whenever it changes."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        last_seen: int | None = None
        said = ""
        while True:
            found = await self._ask()
            now = self._now()
            if found.others or (last_seen is not None and not found.reached) or (last_seen is None and found.silent):
                last_seen = now
            known_ns = None if last_seen is None else now - last_seen
            if found.reached and standing_by(found.others, known_ns=known_ns) is Act.CLAIM and await self._claim():
                return
            reason = f"stands by: {found.who()}"
            if found.reached and reason != said and (found.others or not said):
                said = reason
                say(reason)
            await asyncio.sleep(ASK_EVERY_S)

    async def run(self, lost: Callable[[str], None]) -> None:
        """For ever: ask whether another works too. `lost` is called when it does and was there last."""
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
        """Listen first, then ask: of two that claim at the same time one at least hears of the other."""
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
                log.info("it is this process's turn", sender=self.sender)
                return True
        await self._listening.unsubscribe()
        self._listening = None
        return False

    async def _ask(self) -> Round:
        """One question, and what all who listen say in a moment; over at once where no process listens."""
        self._answers, self._nobody, self._own = [], asyncio.Event(), asyncio.Event()
        try:
            await self._client.publish(self._subject, encode(OwnerQuestion(self.sender)), reply=f"{self._inbox}.{secrets.token_hex(4)}")
            await bus.flush(self._client)
        except bus.WireError:
            return Round([])
        if self._listening is not None:
            await _within(OWN_ANSWER_S, self._own)
        await _within(HEAR_S, self._nobody)
        others = [each for each in self._answers if each.sender != self.sender]
        reached = self._listening is None or self._own.is_set()
        return Round(others, reached=reached, silent=reached and not self._answers and not self._nobody.is_set())

    async def _on_question(self, message: Msg) -> None:
        try:
            _QUESTION.decode(message.data)
            await bus.publish(self._client, message.reply, encode(self._seen()))
        except (ValueError, Unavailable):
            return  # asked again

    async def _on_answer(self, message: Msg) -> None:
        if (message.headers or {}).get("Status") == NO_RESPONDERS:
            self._nobody.set()
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
