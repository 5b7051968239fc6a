"""A paper venue that is frozen or recovers: the other venues go on, and what it misses of the market is the older part."""

import asyncio
from typing import Any, cast

import msgspec
from nats.aio.msg import Msg

from adapters.clock import SystemClock
from adapters.codec import encode
from apps.connections.venue_lists import SentRequest
from apps.live_gateway.feed import QuotedVenues, Recording
from apps.live_gateway.inbox import MARKET_WAITING_MAX, Inbox
from apps.live_gateway.market_quotes import MarketQuotes
from apps.live_gateway.request_handler import RequestHandler
from apps.live_gateway.simulated_trades import SimulatedTrades
from domain.market.quotes import Quote
from domain.order.commands import VenueRequest
from domain.paper.events import Message
from tests.apps.test_venue_host import WAIT_S, Scene, buy, quote

FROZEN_S = 3600.0
QUOTES = MARKET_WAITING_MAX + 100


async def test_a_frozen_venue_stops_no_other_venue_from_showing_the_market_and_then_shows_the_latest_quote() -> None:
    frozen, healthy = Scene(), Scene()
    running = [asyncio.create_task(each.host.run()) for each in (frozen, healthy)]
    await asyncio.gather(frozen.host.ready.wait(), healthy.host.ready.wait())
    market = MarketQuotes(cast(Any, {"V": frozen.host, "W": healthy.host}), SystemClock())
    frozen.host.faults.freeze(FROZEN_S)
    async with asyncio.timeout(WAIT_S):
        for ask in range(100, 100 + QUOTES):
            market.take(msgspec.structs.replace(quote(ask=ask), venue="KRAKEN"), SystemClock().monotonic_ns())
            market.look(SystemClock().monotonic_ns())
            await healthy.known()
    latest = 100 + QUOTES - 1
    assert healthy.host.venue.displays["X"].quote.ask == latest
    assert "X" not in frozen.host.venue.displays
    assert len(frozen.host.inbox) <= MARKET_WAITING_MAX
    assert frozen.host.inbox.dropped >= QUOTES - MARKET_WAITING_MAX - 1
    frozen.host.faults.clear()
    await frozen.known()
    assert frozen.host.venue.displays["X"].quote.ask == latest
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_the_oldest_quote_of_the_same_symbol_is_dropped_and_requests_keep_their_place() -> None:
    inbox: Inbox[Message] = Inbox()
    other = msgspec.structs.replace(quote(), symbol="Y")
    inbox.tell(other)
    inbox.tell(quote(ask=99))
    await inbox.put(buy("A"))
    for ask in range(100, 100 + MARKET_WAITING_MAX):
        inbox.tell(quote(ask=ask))
    taken = [inbox.take()[1] for _ in range(len(inbox))]
    assert taken[0] == other
    assert taken[1] == buy("A"), "the quote before it was dropped"
    assert [each.ask for each in taken[2:] if isinstance(each, Quote)] == list(range(100, 100 + MARKET_WAITING_MAX))
    assert inbox.dropped == 1


def message(venue: str, request: VenueRequest) -> Msg:
    sent = SentRequest("new", msgspec.structs.replace(request, venue=venue))
    return Msg(cast(Any, None), subject=f"venue.{venue}.requests.0", data=encode([sent]))


class FullVenue:
    """In place of a host with a full inbox."""

    async def put(self, _message: Message, _arrived: float) -> None:
        await asyncio.Event().wait()


class QuickVenue:
    """In place of a host that takes what comes."""

    def __init__(self) -> None:
        self.taken: list[Message] = []

    async def put(self, message: Message, _arrived: float) -> None:
        self.taken.append(message)


class Subscriptions:
    """In place of a NATS client: each subscription has its callbacks one after the other, as the client has."""

    def __init__(self) -> None:
        self.queues: dict[str, asyncio.Queue[Msg]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def subscribe(self, subject: str, cb: Any) -> Any:
        queue = self.queues[subject] = asyncio.Queue()

        async def callbacks() -> None:
            while True:
                await cb(await queue.get())

        self.tasks.append(asyncio.create_task(callbacks()))
        return cast(Any, None)


async def test_requests_to_a_venue_with_a_full_inbox_delay_no_request_to_another() -> None:
    client, quick = Subscriptions(), QuickVenue()
    await RequestHandler(cast(Any, {"V": FullVenue(), "W": quick})).listen(cast(Any, client))
    for venue in ("V", "W"):
        client.queues[next(subject for subject in client.queues if venue in subject)].put_nowait(message(venue, buy("A")))
    async with asyncio.timeout(WAIT_S):
        while not quick.taken:
            await asyncio.sleep(0)
    for task in client.tasks:
        task.cancel()


async def test_a_recorded_market_waits_for_a_slow_venue_so_that_no_row_is_lost() -> None:
    rows = 4 * MARKET_WAITING_MAX
    scene = Scene()
    running = asyncio.create_task(scene.host.run())
    await scene.host.ready.wait()
    scene.host.faults.freeze(FROZEN_S)
    hosts = {"V": scene.host}
    day = [msgspec.structs.replace(quote(ask=100 + n), at=n) for n in range(rows)]
    recording = Recording(day, QuotedVenues(hosts, SimulatedTrades(hosts, lambda subject, payload: None, SystemClock())), cast(Any, None))
    playing = asyncio.create_task(recording.play(None))
    await scene.until(lambda: recording.position >= MARKET_WAITING_MAX)
    scene.host.faults.clear()
    async with asyncio.timeout(WAIT_S):
        await playing
    await scene.known()
    assert scene.host.inbox.dropped == 0
    assert scene.host.venue.displays["X"].quote.ask == 100 + rows - 1
    running.cancel()
    await asyncio.wait([running])
