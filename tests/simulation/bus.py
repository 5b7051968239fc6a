"""A NATS of our own: the client's methods that the services use, and a network between them that can do its worst."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import msgspec
import nats.errors

from tests.simulation.world import World

Deliver = Callable[["Message"], Awaitable[None]]

FIRST_S, JITTER_S = 0.0001, 0.0004
"""How long a message is under way when all is well."""


class Message(msgspec.Struct):
    """What a callback gets: as much of nats.aio.msg.Msg as is read."""

    client: Any
    subject: str
    data: bytes
    reply: str = ""
    headers: dict[str, str] | None = None

    async def respond(self, data: bytes) -> None:
        await self.client.publish(self.reply, data)


class Subscription:
    """A queue and a task that empties it, one message after the other, as the real client has."""

    def __init__(self, client: "Client", subject: str, callback: Deliver) -> None:
        self.client = client
        self.subject = subject
        self._callback = callback
        self._queue: deque[Message] = deque()
        self._filled = asyncio.Event()

    @property
    def pending_msgs(self) -> int:
        return len(self._queue)

    def put(self, message: Message) -> None:
        if self.client.open and self.client.is_connected:
            self._queue.append(message)
            self._filled.set()

    async def run(self) -> None:
        while True:
            await self._filled.wait()
            while self._queue:
                await self._callback(self._queue.popleft())
            self._filled.clear()

    async def unsubscribe(self) -> None:
        self.client.network.subscriptions.remove(self)
        self.client.network.changed()


class Client:
    """One service's connection. When its process is dead nothing leaves it any more; while it is cut off nothing comes either."""

    def __init__(self, network: "Network", name: str) -> None:
        self.network = network
        self.name = name
        self.open = True
        self.is_connected = True
        self.stats = {"reconnects": 0}
        self._inboxes = 0
        self._asked: dict[str, asyncio.Future[Message]] = {}
        self._mux: str | None = None

    def new_inbox(self) -> str:
        self._inboxes += 1
        return f"_INBOX.{self.name}.{self.network.next_number()}.{self._inboxes}"

    async def subscribe(self, subject: str, *, cb: Deliver, pending_msgs_limit: int = 0) -> Subscription:
        subscription = Subscription(self, subject, cb)
        self.network.subscriptions.append(subscription)
        self.network.changed()
        asyncio.get_running_loop().create_task(subscription.run())
        return subscription

    async def publish(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        if not self.open:
            await asyncio.Event().wait()  # a dead process never gets an answer
        if not self.is_connected:
            raise nats.errors.OutboundBufferLimitError
        await self.network.world.step(self, f"publish {subject}", before=True)
        self.network.send(self, subject, payload, reply)
        await self.network.world.step(self, f"publish {subject}", before=False)

    async def request(self, subject: str, payload: bytes, timeout: float) -> Message:
        if self._mux is None:
            self._mux = self.new_inbox()
            await self.subscribe(f"{self._mux}.*", cb=self._on_answer)
        token = f"{self._mux}.{self.network.next_number()}"
        answer = self._asked[token] = asyncio.get_running_loop().create_future()
        try:
            await self.publish(subject, payload, reply=token)
            message: Message = await asyncio.wait_for(answer, timeout)
        finally:
            del self._asked[token]
        if (message.headers or {}).get("Status") == "503":
            raise nats.errors.NoRespondersError
        return message

    async def _on_answer(self, message: Message) -> None:
        answer = self._asked.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def cut(self) -> None:
        self.is_connected = False

    def mend(self) -> None:
        if not self.is_connected:
            self.is_connected = True
            self.stats["reconnects"] += 1

    def close(self) -> None:
        """The process died."""
        self.open = False
        self.network.subscriptions = [s for s in self.network.subscriptions if s.client is not self]
        self.network.changed()


class Network:
    """Carries messages between clients. Links keep their order unless the weather says otherwise."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.subscriptions: list[Subscription] = []
        self.wire: Callable[[str, str, bytes], None] = lambda sender, subject, payload: None
        self._listeners: dict[str, list[Subscription]] = {}
        self._arrival: dict[tuple[str, str], float] = {}
        self._random = world.random("network")
        self._number = 0

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def changed(self) -> None:
        self._listeners.clear()

    def connect(self, name: str) -> Client:
        return Client(self, name)

    def listeners(self, subject: str) -> list[Subscription]:
        found = self._listeners.get(subject)
        if found is None:
            found = self._listeners[subject] = [s for s in self.subscriptions if matches(s.subject, subject)]
        return found

    def send(self, sender: Client, subject: str, payload: bytes, reply: str) -> None:
        self.wire(sender.name, subject, payload)
        listeners = self.listeners(subject)
        for subscription in listeners:
            self._carry(sender.name, subscription, Message(subscription.client, subject, payload, reply))
        if reply and not any(subscription.client.is_connected for subscription in listeners):
            status = {"Status": "503"}
            for subscription in self.listeners(reply):
                self._carry(sender.name, subscription, Message(subscription.client, reply, b"", "", status))

    def _carry(self, sender: str, to: Subscription, message: Message) -> None:
        weather, link = self.world.weather, (sender, to.client.name)
        chance = self._random.random
        if weather.between(*link):
            self.world.fired("partition")
            return
        if sender == to.client.name or not weather.rough:
            self._arrive(link, to, message, FIRST_S + JITTER_S * chance())
            return
        if chance() < weather.drop:
            self.world.fired("drop")
            return
        wait_s = FIRST_S + JITTER_S * chance()
        if chance() < weather.delay:
            self.world.fired("delay")
            wait_s += weather.delay_s * chance()
        if chance() < weather.duplicate:
            self.world.fired("duplicate")
            self.world.loop.call_later(wait_s + 0.3 * chance(), to.put, message)
        if chance() < weather.reorder:
            self.world.fired("reorder")
            self.world.loop.call_later(wait_s + 0.05 * chance(), to.put, message)
        else:
            self._arrive(link, to, message, wait_s)

    def _arrive(self, link: tuple[str, str], to: Subscription, message: Message, wait_s: float) -> None:
        """In the order in which they were sent."""
        at = max(self._arrival.get(link, 0.0), self.world.loop.time() + wait_s)
        self._arrival[link] = at
        self.world.loop.call_at(at, to.put, message)


@lru_cache(maxsize=10_000)
def matches(pattern: str, subject: str) -> bool:
    """NATS wildcards: `*` is one token, `>` the rest."""
    wanted, found = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(found) > place
        if place >= len(found) or token not in ("*", found[place]):
            return False
    return len(wanted) == len(found)
