"""The host of a paper venue on a journal in memory: what is journaled is told, what is lost never happened."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Final

import msgspec
import pytest
import uvloop

from adapters.clock import SystemClock
from adapters.codec import decoder, encode
from adapters.memory import MemoryJournal, MemoryLog
from apps.journal.group_commit import Pace
from apps.live_gateway.commit_groups import GROUP_MAX, groups, route_of
from apps.live_gateway.report_log import VENUE_COMMITS, ReportLog
from apps.live_gateway.report_wire import announced_fills
from apps.live_gateway.request_handler import RequestHandler
from apps.live_gateway.session import Sessions
from apps.live_gateway.venue_host import VenueHost
from config.catalogue import VenueSettings
from domain.instruments import Instrument
from domain.market.quotes import Quote
from domain.order.commands import VenueReport, VenueRequest
from domain.paper.events import Reported, stamp_of
from domain.paper.venue import PaperVenue
from domain.ports import Clock, Head, Unavailable
from domain.values import OrderType, Side, TimeInForce, use_exact_arithmetic
from tests.interest import AlwaysSubscribed

X = Instrument(symbol="X", tick=Decimal(1), lot=Decimal(1), quantity_max=Decimal(10**6), notional_min=Decimal(0), currency="USD")
VENUE = VenueSettings(
    name="V",
    maker_bps=Decimal(1),
    taker_bps=Decimal(1),
    spread_ticks=0,
    depth_scale=Decimal(1),
    latency_ms=0,
    symbols=frozenset("X"),
    session="full",
)
WAIT_S = 120.0
HOUR_NS = 3600 * 1_000_000_000
_REPORT, _REPORTS = decoder(VenueReport), decoder(list[VenueReport])


def quote(size: int = 10, ask: int = 100) -> Quote:
    return Quote(symbol="X", venue="V", bid=Decimal(ask - 1), bid_size=Decimal(size), ask=Decimal(ask), ask_size=Decimal(size), at=0)


def buy(name: str, price: int | None = None) -> VenueRequest:
    return VenueRequest(
        order_id=f"order-{name}",
        route_id=name,
        venue="V",
        account="alice",
        symbol="X",
        side=Side.BUY,
        type=OrderType.LIMIT if price else OrderType.MARKET,
        quantity=Decimal(1),
        price=Decimal(price) if price else None,
    )


def _word(report: VenueReport) -> str:
    return f"{report.report_seq} {report.route_id} {report.report}"


class Scene:
    """A host on a log that a test can break, and what it published."""

    def __init__(self, log: MemoryLog | None = None, clock: Clock | None = None, latency_ms: int = 0) -> None:
        self.log = log or MemoryLog()
        self.published: list[str] = []
        self.announced: list[str] = []
        self.messages = 0
        fills = announced_fills(AlwaysSubscribed(), self._send)
        self.host = VenueHost(
            VENUE._replace(latency_ms=latency_ms),
            {"X": X},
            MemoryJournal(self.log),
            clock or SystemClock(),
            self._send,
            fills,
            Pace(wait_s=0),
        )

    def _send(self, subject: str, payload: bytes) -> None:
        """What oms is told, and what is announced of it behind that."""
        if subject == "venue.V.reports.0":
            self.messages += 1
            self.published += map(_word, _REPORTS.decode(payload))
        elif subject == "fills.alice":
            self.announced.append(_word(_REPORT.decode(payload)))

    async def known(self) -> list[str]:
        return await self.host.ask(lambda: list(self.host.venue.orders))

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not true():  # the host does not report its recoveries
                await asyncio.sleep(0.01)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    task = asyncio.create_task(scene.host.run())
    await scene.host.ready.wait()
    scene.host.show(quote(), 0)
    yield scene
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_reports_leave_only_after_the_ack(scene: Scene) -> None:
    await scene.host.put(buy("A"))
    assert await scene.known() == ["A"]
    assert scene.published == ["1 A accepted", "2 A fill"]
    assert scene.messages == 1, "one list a commit"
    await asyncio.sleep(0)
    assert scene.announced == scene.published
    assert len(scene.log.commits) == 1


LISTS: Final = 20


def test_a_list_is_one_commit_whatever_the_loops_clock_does_meanwhile() -> None:
    """uvloop's clock advances in milliseconds, so requests of one list may be put at different times."""

    async def play() -> list[int]:
        use_exact_arithmetic()
        scene = Scene(latency_ms=1)
        task = asyncio.create_task(scene.host.run())
        await scene.host.ready.wait()
        sizes = []
        for number in range(LISTS):
            before, loop = scene.messages, asyncio.get_running_loop()
            arrived = loop.time()
            for part in range(3):
                await scene.host.put(buy(f"{number}-{part}", 5), arrived)
                while loop.time() == arrived:
                    pass
            await scene.until(lambda count=number: len(scene.published) >= 3 * (count + 1))  # type: ignore[misc]
            sizes.append(scene.messages - before)
        task.cancel()
        await asyncio.wait([task])
        return sizes

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(play()) == [1] * LISTS


async def test_what_was_not_journaled_never_happened(scene: Scene) -> None:
    await scene.host.put(buy("A"))
    await scene.known()
    scene.log.down = True
    await scene.host.put(buy("B"))
    await scene.until(lambda: scene.host.recoveries > 0)
    scene.log.down = False
    await scene.until(scene.host.ready.is_set)
    await scene.host.put(buy("C"))
    assert await scene.known() == ["A", "C"]
    assert scene.published == ["1 A accepted", "2 A fill", "3 C accepted", "4 C fill"]


async def test_a_question_in_the_air_when_the_journal_goes_is_answered_unavailable(scene: Scene) -> None:
    scene.log.down = True
    await scene.host.put(buy("A"))
    with pytest.raises(Unavailable):
        await scene.known()


async def test_what_was_journaled_without_an_ack_is_had_by_a_resend(scene: Scene) -> None:  # FAILURES 10
    scene.log.acks_to_lose = 1
    await scene.host.put(buy("A"))
    await scene.until(lambda: scene.host.recoveries > 0)
    await scene.until(scene.host.ready.is_set)
    assert await scene.known() == ["A"]
    assert scene.published == []
    batches = [batch async for batch in scene.host.reports.read(0, 1, scene.host.reports.last(0))]
    assert [report.report_seq for batch in batches for report in batch] == [1, 2]


async def test_a_second_writer_makes_the_venue_read_again(scene: Scene) -> None:  # FAILURES 14
    other = PaperVenue("V", {"X": X}, Decimal(1), Decimal(1))
    events = other.take(buy("OTHER", 50), 1)
    await MemoryJournal(scene.log).append(VENUE_COMMITS.encode(0, 1, events), Head())
    await scene.host.put(buy("A"))
    await scene.until(lambda: scene.host.recoveries > 0)
    await scene.until(scene.host.ready.is_set)
    await scene.host.put(buy("B"))
    assert sorted(await scene.known()) == ["B", "OTHER"]
    assert scene.published == ["2 B accepted", "3 B fill"]


async def test_the_last_quotes_are_shown_again_after_a_recovery(scene: Scene) -> None:
    await scene.known()
    scene.log.down = True
    await scene.host.put(buy("A"))
    await scene.until(lambda: scene.host.recoveries > 0)
    scene.log.down = False
    await scene.until(scene.host.ready.is_set)
    assert await scene.host.ask(lambda: scene.host.venue.displays["X"].quote) == quote()


async def test_old_reports_are_read_from_the_journal() -> None:
    journal, venue, head = MemoryJournal(), PaperVenue("V", {"X": X}, Decimal(1), Decimal(1)), Head()
    log = ReportLog(journal, kept_max=3, mark_every=4)
    for n in range(20):
        events = venue.take(buy(f"A{n}", 50), n)
        head = await journal.append(VENUE_COMMITS.encode(0, n + 1, events), head)
        log.add([event for event in events if isinstance(event, Reported)], head)
    for first, last in [(1, 20), (1, 1), (5, 9), (16, 17), (18, 20), (20, 20), (19, 18)]:
        found = [report.report_seq async for batch in log.read(0, first, last) for report in batch]
        assert found == list(range(first, last + 1)), (first, last)


def test_a_long_decision_is_cut_between_orders_only() -> None:
    venue = PaperVenue("V", {"X": X}, Decimal(1), Decimal(1))
    for n in range(GROUP_MAX):
        request = buy(f"A{n}")
        venue.take(
            VenueRequest(
                **{f: getattr(request, f) for f in request.__struct_fields__ if f not in ("type", "stop_price")},
                type=OrderType.STOP,
                stop_price=Decimal(200),
            ),
            0,
        )
    events = venue.take(quote(10**6, 200), 1)  # each triggers and fills: two events
    cut = list(groups(events))
    assert [event for group in cut for event in group] == list(events)
    assert [len(group) for group in cut] == [GROUP_MAX, GROUP_MAX]
    odd = list(groups(events, 3))
    assert all(route_of(one[-1]) != route_of(other[0]) for one, other in itertools.pairwise(odd))
    assert {len(group) for group in odd} == {4}


def test_an_event_is_written_and_read_as_the_same() -> None:
    venue = PaperVenue("V", {"X": X}, Decimal(1), Decimal(1))
    events = (*venue.take(quote(), 0), *venue.take(buy("A"), 1))
    assert VENUE_COMMITS.decode(VENUE_COMMITS.encode(0, 1, events)).events == events
    assert encode(events[0]).startswith(b'{"type":"RequestTaken"')


class JumpingClock:
    """A wall clock in a test's hand."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        self.ns += 1_000
        return self.ns

    def monotonic_ns(self) -> int:
        return SystemClock().monotonic_ns()


async def test_stamps_never_go_back_when_the_wall_clock_does_but_what_is_due_goes_by_it() -> None:  # FAILURES 43
    clock, log = JumpingClock(), MemoryLog()
    for name in ("A", "B", "C"):
        scene = Scene(log, clock)
        task = asyncio.create_task(scene.host.run())
        await scene.host.ready.wait()
        until = clock.ns + HOUR_NS
        await scene.host.put(msgspec.structs.replace(buy(name, 50), time_in_force=TimeInForce.GTD, expire_at=until))
        assert name in await scene.known()
        clock.ns -= HOUR_NS
        await scene.host.put(buy(f"{name}2", 50))
        assert f"{name}2" in await scene.known()
        assert len(scene.host.venue.open) == 2 * "ABC".index(name) + 2, "nothing is due by the wall clock"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    stamps = [stamp for _, payload in log.commits for e in VENUE_COMMITS.decode(payload).events if (stamp := stamp_of(e))]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) < len(stamps) / 2, "they stood still"


async def test_a_venue_that_reads_its_journal_does_not_say_how_many_reports_it_has() -> None:
    """Else it would say none, and oms took its state for lost."""
    scene, said = Scene(), list[bytes]()
    sessions = Sessions({"V": scene.host}, RequestHandler({}), None)  # type: ignore[arg-type]

    class Question:
        subject = "venue.V.session.0"

        def __init__(self, data: bytes) -> None:
            self.data = data

        async def respond(self, data: bytes) -> None:
            said.append(data)

    for data in (b'{"kind":"resend","from":1}', b'{"kind":"reports","from":1}', b'{"kind":"hello"}'):
        await sessions._on_message(Question(data))  # type: ignore[arg-type]
    assert said == [b'{"error":"unavailable"}', b'{"error":"unavailable"}', b'{"last":0,"ready":false,"epoch":0}']
