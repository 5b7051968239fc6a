"""Announcements reach clients that subscribed before they were published; without a subscriber nothing is encoded or sent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, natsmonitor
from adapters.natsmonitor import SUBSCRIPTIONS_MAX, Subscription, Subscriptions, subscriptions
from apps.connections import announcements
from apps.connections.announcements import KEPT_MAX, Announcements, Interest, overlap
from apps.stack import servers
from apps.stack.credentials import keys
from config import secrets
from domain.ports import Unavailable
from tests.live import LiveServer, live
from tests.ports import free_ports

WAIT_S: Final = 120.0
OURS: Final = "server 1"


class Connected(Client):
    def __init__(self, server_id: str = OURS) -> None:
        super().__init__()
        self._server_info = {"server_id": server_id}


class Server:
    """The monitoring as a test wants it: what it says, and how often it was asked."""

    def __init__(self) -> None:
        self.subjects: list[str] = ["ticks.>", "_INBOX.x.*"]
        self.total = 0
        self.asked = 0
        self.down = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def look(self, url: str) -> Subscriptions:
        self.asked += 1
        found = tuple(map(Subscription, self.subjects))
        await self.answers.wait()
        if self.down:
            raise Unavailable("away")
        return Subscriptions(OURS, self.total or len(found), found)


class Scene:
    """One process that announces numbers of accounts."""

    def __init__(self, *monitor_urls: str, client: Client | None = None) -> None:
        self.server, self.sent, self.encoded = Server(), list[str](), 0
        self.interest = Interest(client or Connected(), monitor_urls or ("one",), self.server.look)
        self.fills: Announcements[int] = Announcements(
            self.interest, lambda subject, payload: self.sent.append(subject), "fills.*", self._messages
        )

    def _messages(self, told: Iterable[int]) -> Iterator[tuple[str, bytes]]:
        for number in told:
            self.encoded += 1
            yield f"fills.{number}", b""

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not true():
                await asyncio.sleep(0.001)

    async def told(self, *numbers: int) -> None:
        """These, and the answer about them."""
        before = self.fills.published + self.fills.skipped
        for number in numbers:
            self.fills.announce(number)
        await self.until(lambda: self.fills.published + self.fills.skipped == before + len(numbers))


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[Scene]:
    task = asyncio.create_task(scene.interest.run())
    yield scene
    task.cancel()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "INTEREST_EVERY_S", 0.01)


async def test_what_has_no_subscriber_is_never_encoded_and_an_idle_process_asks_nothing() -> None:
    async with running(Scene()) as scene:
        await asyncio.sleep(0.05)
        assert scene.server.asked == 0
        await scene.told(1, 2)
        asked = scene.server.asked
        await asyncio.sleep(0.05)
        assert (scene.encoded, scene.sent, scene.server.asked) == (0, [], asked)
        assert scene.fills.stats() == {"subscribed": False, "published": 0, "skipped": 2}


async def test_an_early_subscriber_receives_all_in_order_and_the_rest_at_once() -> None:
    async with running(Scene()) as scene:
        await scene.told(1)
        scene.server.subjects.append("fills.7")
        await scene.told(2, 3)
        scene.fills.announce(4)
        assert scene.sent == ["fills.2", "fills.3"], "not yet: behind what the turn still has to do"
        await asyncio.sleep(0)
        assert scene.sent == ["fills.2", "fills.3", "fills.4"]


async def test_what_comes_while_the_servers_are_asked_waits_for_the_next_answer() -> None:
    """The answer may have been made before its reader subscribed."""
    async with running(Scene()) as scene:
        scene.server.answers.clear()
        scene.fills.announce(1)
        await scene.until(lambda: scene.server.asked)
        scene.server.subjects.append("fills.>")
        scene.fills.announce(2)
        scene.server.answers.set()
        await scene.until(lambda: scene.sent)
        assert scene.sent == ["fills.2"], "who subscribed behind 1 need not hear of it"


async def test_an_end_of_interest_is_noticed() -> None:
    async with running(Scene()) as scene:
        scene.server.subjects.append(">")
        await scene.told(1)
        scene.server.subjects.remove(">")
        scene.fills.announce(2)
        await scene.until(lambda: not scene.fills.subscribed)
        await scene.told(3)
        assert scene.sent == ["fills.1", "fills.2"]


async def test_what_is_too_much_to_keep_is_sent_and_not_lost() -> None:
    scene = Scene()
    for number in range(KEPT_MAX + 1):
        scene.fills.announce(number)
    assert scene.sent == []
    await asyncio.sleep(0)
    assert scene.sent == [f"fills.{number}" for number in range(KEPT_MAX + 1)]


async def _down(scene: Scene) -> None:
    scene.server.down = True


async def _more(scene: Scene) -> None:
    scene.server.total = SUBSCRIPTIONS_MAX + 1


@pytest.mark.parametrize("spoil", [_down, _more])
async def test_while_it_is_not_known_who_listens_everything_is_sent(spoil: Callable[[Scene], object]) -> None:
    async with running(Scene()) as scene:
        await spoil(scene)  # type: ignore[misc]
        await scene.told(1)
        assert scene.sent == ["fills.1"]
        scene.server.down, scene.server.total = False, 0
        scene.fills.announce(2)
        await scene.until(lambda: not scene.fills.subscribed)
        await scene.told(3)
        assert scene.sent == ["fills.1", "fills.2"]


@pytest.mark.parametrize("scene", [lambda: Scene(client=Connected("a server of another cluster")), lambda: Scene(client=Client())])
async def test_the_monitoring_of_other_servers_says_nothing(scene: Callable[[], Scene]) -> None:
    async with running(scene()) as made:
        await made.told(1)
        assert made.sent == ["fills.1"]


async def test_one_question_serves_all_kinds_and_every_server_is_asked() -> None:
    async with running(Scene("one", "another")) as scene:
        copies: Announcements[int] = Announcements(scene.interest, lambda *sent: None, "oms.orders.*.*", lambda told: ())
        copies.announce(1)
        scene.fills.announce(1)
        await scene.until(lambda: copies.skipped)
        assert (copies.skipped, scene.fills.skipped, scene.server.asked) == (1, 1, 2)


@pytest.mark.parametrize(
    ("pattern", "subscription", "overlaps"),
    [
        ("fills.*", "fills.alice", True),
        ("fills.*", "fills.>", True),
        ("fills.*", "*.*", True),
        ("fills.*", ">", True),
        ("fills.*", "fills", False),
        ("fills.*", "fills.a.b", False),
        ("fills.*", "ticks.*", False),
        ("orders.*.*", "orders.*.new", True),
        ("orders.*.*", "orders.alice.>", True),
        ("orders.*.*", "orders.alice", False),
        ("oms.orders.*.*", "oms.*.alice.>", True),
        ("oms.orders.*.*", "oms.journal.0", False),
    ],
)
def test_a_subscription_counts_when_one_subject_fits_both(pattern: str, subscription: str, overlaps: bool) -> None:
    assert overlap(pattern, subscription) == overlap(subscription, pattern) == overlaps


# Against a real nats-server


@pytest.fixture(name="open_server", scope="module")
def _open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Without accounts, and of this test alone: its subscribers are known."""
    found = live(servers.nats, tmp_path_factory.mktemp("nats"))
    yield found
    found.stop()


@pytest.fixture(name="guarded", scope="module")
def _guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, Path]]:
    """A server with the accounts and rights of a stack."""
    directory = tmp_path_factory.mktemp("secrets")
    keys.init(directory, guests=True)
    found = live(partial(servers.nats, secrets=directory), tmp_path_factory.mktemp("nats"))
    yield found, directory
    found.stop()


async def heard_by(url: str, told: Client, monitor_url: str, *subscribed: str, prefix: str = "_INBOX") -> list[str]:
    """What a listener gets of what was announced behind its subscriptions, without an earlier subscriber."""
    interest, subjects = Interest(told, (monitor_url,)), list[str]()
    published: list[tuple[str, bytes]] = []
    families = [
        Announcements[str](interest, lambda *sent: published.append(sent), pattern, lambda names: [(name, b"{}") for name in names])
        for pattern in ("fills.*", "oms.orders.*.*")
    ]
    task = asyncio.create_task(interest.run())
    families[0].announce("fills.absent")
    async with asyncio.timeout(WAIT_S):
        while not families[0].skipped:
            await asyncio.sleep(0.01)
    listener = await nats.connect(url, inbox_prefix=prefix)
    try:

        async def on_message(message: Msg) -> None:
            subjects.append(message.subject)

        for subject in subscribed:
            await listener.subscribe(subject, cb=on_message)
        await bus.flush(listener)
        families[0].announce("fills.alice")
        families[1].announce("oms.orders.alice.O1")
        async with asyncio.timeout(WAIT_S):
            while sum(family.published + family.skipped for family in families) < 3:
                await asyncio.sleep(0.01)
        for subject, payload in published:
            await told.publish(subject, payload)
        await bus.flush(told)
        await bus.flush(listener)
        await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await listener.close()
    assert [subject for subject, _ in published] == subjects, "neither more nor less than is wanted"
    return subjects


BOTH: Final = ["fills.alice", "oms.orders.alice.O1"]


@pytest.mark.parametrize(
    ("subscribed", "heard"),
    [
        (("fills.>",), BOTH[:1]),
        (("fills.alice",), BOTH[:1]),
        (("oms.orders.alice.*",), BOTH[1:]),
        (("fills.*", "oms.>"), BOTH),
        ((">",), BOTH),
        (("ticks.>", "oms.journal.*"), []),
    ],
)
async def test_a_listener_is_found_on_a_server_without_accounts(
    open_server: LiveServer, subscribed: tuple[str, ...], heard: list[str]
) -> None:
    told = await bus.connect(open_server.url, "oms", closed=lambda: None)
    assert await heard_by(open_server.url, told, open_server.monitor_url, *subscribed) == heard
    await told.close()


@pytest.mark.parametrize(
    ("user", "subscribed", "heard"),
    [
        ("", ("fills.>",), BOTH[:1]),
        ("", ("fills.alice",), BOTH[:1]),
        ("", ("oms.orders.alice.*",), BOTH[1:]),
        ("", ("ticks.>",), []),
        ("reader", ("oms.orders.>",), BOTH[1:]),
        ("operator", ("fills.>", "oms.orders.>"), BOTH),
        ("admin", (">",), BOTH),
    ],
)
async def test_a_listener_is_found_behind_the_accounts_of_a_stack(
    guarded: tuple[LiveServer, Path], user: str, subscribed: tuple[str, ...], heard: list[str]
) -> None:
    """A guest lives in another account, and receives over an export."""
    server, directory = guarded

    def url_of(name: str) -> str:
        return secrets.with_user(server.url, *secrets.read(name, {secrets.VARIABLE: str(directory)})["nats.url"])

    told = await bus.connect(url_of("admin"), "all services", closed=lambda: None)
    url, prefix = (url_of(user), f"_INBOX_{user}") if user else (server.url, "_INBOX")
    assert await heard_by(url, told, server.monitor_url, *subscribed, prefix=prefix) == heard
    await told.close()


async def test_a_stream_of_jetstream_is_a_listener_too(open_server: LiveServer) -> None:
    client = await nats.connect(open_server.url)
    await client.jetstream().add_stream(name="KEEPS_FILLS", subjects=["fills.kept"])
    try:
        assert "fills.kept" in {each.subject for each in (await subscriptions(open_server.monitor_url)).subscriptions_list}
    finally:
        await client.jetstream().delete_stream("KEEPS_FILLS")
        await client.close()


async def test_a_monitoring_server_that_is_away_silent_or_another_program_is_reported_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(natsmonitor, "SUBSCRIPTIONS_TIMEOUT_S", 0.1)
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with pytest.raises(Unavailable, match="does not list the subscriptions"):
        await subscriptions(url)
    for answer in (None, b"HTTP/1.0 404 Not Found\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>", b""):
        over = asyncio.Event()

        async def talk(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            answer: bytes | None = answer,
            over: asyncio.Event = over,
        ) -> None:
            await reader.readline()
            if answer is None:
                await reader.read()  # until the one who asked has had enough
            writer.write(answer or b"")
            writer.close()
            over.set()

        server = await asyncio.start_server(talk, "127.0.0.1", port)
        with pytest.raises(Unavailable, match="does not list the subscriptions"):
            await subscriptions(url)
        await over.wait()
        server.close()
        await server.wait_closed()
