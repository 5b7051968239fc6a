"""A paper venue that misbehaves: what it does wrong is in its own journal like everything else, numbered without a hole."""

import random
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import msgspec

from domain.market.quotes import Quote
from domain.order.commands import ReportKind, VenueReport, VenueRequest
from domain.paper.book import PaperOrder, PaperState
from domain.paper.events import Message, PartShown, Reported, RequestTaken, VenueEvent
from domain.paper.venue import PaperVenue
from domain.values import ZERO, Side, TimeInForce, order_id_of
from tests.simulation import market

Fired = Callable[[str], None]
Habits = Callable[[], Collection[str]]

OFTEN: Final = 0.3
"""How often a venue gives in to a habit when it could."""
OTHER: Final = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}
NEW_EXEC: Final = "a trade without an id yet"

OPEN: Final = (PaperState.TAKEN, PaperState.WORKING)
ENDS: Final = (ReportKind.CANCELLED, ReportKind.EXPIRED, ReportKind.REJECTED)


class RogueVenue(PaperVenue):
    """Each habit looks at what a well-behaved venue would report, and makes something else of it."""

    def __init__(self, *args: Any, order_rate: Habits, chance: random.Random, fired: Fired) -> None:
        super().__init__(*args)
        self._order_rates = order_rate
        self._chance = chance
        self._fired = fired
        self._executed: dict[str, VenueReport] = {}
        self._late: set[str] = set()
        """Routes that it accepts with the next quote. A venue that starts again has forgotten them, and never answers."""
        self._busted: set[str] = set()

    def has(self, habit: str, often: float = OFTEN) -> bool:
        """Does it give in to the habit now?"""
        if habit not in self._order_rates() or self._chance.random() >= often:
            return False
        self._fired(f"venue {habit}")
        return True

    def decide(self, message: Message, now_ns: int) -> tuple[VenueEvent, ...]:
        events: list[VenueEvent] = []
        if isinstance(message, VenueRequest) and message.route_id not in self.orders and (met := self._met_badly(message, now_ns)):
            return tuple(self._numbered(met))
        if isinstance(message, Quote):
            events += self._accepted_at_last(now_ns)
        for event in super().decide(message, now_ns):
            events += self._told(event) if isinstance(event, Reported) else (event,)
        events = self._fill_first(events)
        if isinstance(message, Quote) and not events:
            events += [Reported(report=report) for report in self._out_of_the_blue(message, now_ns)]
        return tuple(self._numbered(events))

    def _met_badly(self, request: VenueRequest, now_ns: int) -> list[VenueEvent]:
        """A new order that is not answered, not answered yet, or refused so that another venue may take it."""
        taken = RequestTaken(at=now_ns, request=request)
        if self.has("never answers"):
            return [taken]
        if request.time_in_force is TimeInForce.GTC and self.has("answers late"):
            self._late.add(request.route_id)
            return [taken]
        if self.has("is busy"):
            order = PaperOrder(number=0, request=request, venue_order_id="", leaves=request.quantity)
            refused = _of(order, self.name, now_ns, report=ReportKind.REJECTED, reason="venue_busy")
            return [taken, Reported(report=refused, shard=request.shard)]
        return []

    def _accepted_at_last(self, now_ns: int) -> Iterator[VenueEvent]:
        late, self._late = sorted(self._late), set()
        for route_id in late:
            order = self.orders[route_id]
            yield Reported(report=_of(order, self.name, now_ns, report=ReportKind.ACCEPTED), shard=order.request.shard)
            if order.request.display_quantity is not None:
                yield PartShown(at=now_ns, route_id=route_id, quantity=order.next_part)

    def _told(self, event: Reported) -> Iterator[VenueEvent]:
        """One report, as this venue tells it."""
        report = event.report
        if report.route_id in self._late:
            yield _again(event, reason="too_early")
            return
        if report.report is ReportKind.CANCELLED and report.reason == "requested" and self.has("refuses a cancel"):
            yield _again(event, report=ReportKind.CANCEL_REJECTED, reason="too_late")
            return
        if report.report is ReportKind.FILL:
            yield from self._fill_told(event)
            return
        yield event
        if report.report in ENDS and report.route_id in self.orders and self.has("fills after the end"):
            order = self.orders[report.route_id]
            yield _fill(event, min(order.leaves, Decimal(1)))
        if report.report in ENDS and self.has("ends twice"):
            yield _again(event, report=ReportKind.CANCELLED, reason="again")

    def _fill_told(self, event: Reported) -> Iterator[VenueEvent]:
        report = event.report
        assert report.quantity is not None, "a fill has a quantity"
        full = report.route_id in self.orders and report.quantity == self.orders[report.route_id].leaves
        if full and self.has("overfills"):
            event = _again(event, quantity=report.quantity + 1)
        yield event
        if self.has("tells twice"):
            yield event
        if self.has("contradicts itself"):
            yield _again(event, price=(report.price or ZERO) + 1)
        if self.has("talks nonsense"):
            nonsense = self._chance.choice(({"quantity": None}, {"quantity": Decimal(-1)}, {"side": OTHER[report.side]}))
            yield _again(event, exec_id=NEW_EXEC, **nonsense)

    def _fill_first(self, events: list[VenueEvent]) -> list[VenueEvent]:
        """The first fill overtakes the acceptance of its order."""
        for place, (first, second) in enumerate(pairwise(events)):
            if not isinstance(first, Reported) or not isinstance(second, Reported):
                continue
            if (first.report.report, second.report.report) == (ReportKind.ACCEPTED, ReportKind.FILL) and self.has("fills first"):
                events[place], events[place + 1] = second, first
        return events

    def _out_of_the_blue(self, quote: Quote, now_ns: int) -> Iterator[VenueReport]:
        """What no request and no price asked for; one thing at a time."""
        for order in list(self.open.values()):
            if self.has("cancels unasked", 0.05):
                yield _of(order, self.name, now_ns, report=ReportKind.CANCELLED, reason="halted")
                return
        for exec_id, report in list(self._executed.items()):
            if exec_id not in self._busted and self.has("busts", 0.02):
                yield from self._bust(report, now_ns)
                return
        if self.has("fills a stranger", 0.05):
            yield self._strange(quote, now_ns)

    def _bust(self, trade: VenueReport, now_ns: int) -> Iterator[VenueReport]:
        """What was traded is taken back. The order does not come back to life: its end is said once more."""
        taken_back = msgspec.structs.replace(trade, report=ReportKind.BUST, at=now_ns)
        yield taken_back
        order = self.orders[trade.route_id]
        if order.state is not PaperState.WORKING:
            yield msgspec.structs.replace(taken_back, report=ReportKind.CANCELLED, exec_id="", quantity=None, price=None, reason="busted")

    def _strange(self, quote: Quote, now_ns: int) -> VenueReport:
        order_id = order_id_of("absent", str(now_ns))
        return VenueReport(
            report=ReportKind.FILL,
            order_id=order_id,
            route_id=f"{order_id}-1",
            venue=self.name,
            report_seq=0,
            at=now_ns,
            account="alice",
            symbol=quote.symbol,
            side=Side.BUY,
            exec_id=NEW_EXEC,
            quantity=Decimal(1),
            price=market.MID,
            fee=ZERO,
        )

    def _numbered(self, events: list[VenueEvent]) -> Iterator[VenueEvent]:
        """Number the reports again, in the order in which they are sent now."""
        seqs = dict(self.report_seqs)
        for event in events:
            if isinstance(event, Reported):
                seq = seqs[event.shard] = seqs.get(event.shard, 0) + 1
                exec_id = f"{self.name}-r{seq}" if event.report.exec_id == NEW_EXEC else event.report.exec_id
                yield Reported(report=msgspec.structs.replace(event.report, report_seq=seq, exec_id=exec_id), shard=event.shard)
            else:
                yield event

    def evolve(self, event: VenueEvent) -> None:
        """Only what a well-behaved venue could have said changes the book as it does there."""
        order = self.orders.get(event.report.route_id) if isinstance(event, Reported) else None
        if not isinstance(event, Reported) or order is None or self._lawful(order, event.report):
            super().evolve(event)
        else:
            self.report_seqs[event.shard] = event.report.report_seq
            order.reports += (event.report.report_seq,)
            self._wronged(order, event.report)
        if isinstance(event, Reported) and order is not None:
            self._noted(order, event.report)

    def _noted(self, order: PaperOrder, report: VenueReport) -> None:
        if report.report is ReportKind.FILL and self._ours(order, report):
            self._executed.setdefault(report.exec_id, report)
        if report.report is ReportKind.BUST:
            self._busted.add(report.exec_id)

    @staticmethod
    def _ours(order: PaperOrder, report: VenueReport) -> bool:
        """Is it a trade at all, as far as it can be read?"""
        return report.quantity is not None and report.quantity > ZERO and report.side is order.request.side

    def _lawful(self, order: PaperOrder, report: VenueReport) -> bool:
        match report.report:
            case ReportKind.ACCEPTED:
                return order.state is PaperState.TAKEN
            case ReportKind.FILL:
                known = report.exec_id in self._executed or not self._ours(order, report)
                return not known and order.state is PaperState.WORKING and (report.quantity or ZERO) <= order.leaves
            case ReportKind.CANCELLED | ReportKind.EXPIRED | ReportKind.REJECTED:
                return order.state in OPEN
            case ReportKind.REPLACED:
                return order.state is PaperState.WORKING
            case ReportKind.BUST:
                return False
        return True

    def _wronged(self, order: PaperOrder, report: VenueReport) -> None:
        """The venue believes what it said, as far as it can: what is traded is traded, what was taken back may trade again."""
        if report.report is ReportKind.BUST and order.state is PaperState.WORKING:
            order.leaves += report.quantity or ZERO
        if report.report is ReportKind.FILL and report.exec_id not in self._executed and self._ours(order, report):
            self.executions += 1
            order.leaves = max(order.leaves - (report.quantity or ZERO), ZERO)
            if not order.leaves and order.state in OPEN:
                self._close(order, PaperState.FILLED)


def _again(event: Reported, **changes: Any) -> Reported:
    return Reported(report=msgspec.structs.replace(event.report, **changes), shard=event.shard)


def _fill(event: Reported, quantity: Decimal) -> Reported:
    return _again(event, report=ReportKind.FILL, exec_id=NEW_EXEC, quantity=quantity, price=market.MID, fee=ZERO, reason="")


def _of(order: PaperOrder, venue: str, now_ns: int, **rest: Any) -> VenueReport:
    request = order.request
    return VenueReport(
        order_id=request.order_id,
        route_id=request.route_id,
        venue=venue,
        report_seq=0,
        at=now_ns,
        account=request.account,
        symbol=request.symbol,
        side=request.side,
        venue_order_id=order.venue_order_id,
        **rest,
    )


HABITS: Final = (
    "refuses a cancel",
    "fills after the end",
    "ends twice",
    "overfills",
    "tells twice",
    "contradicts itself",
    "fills first",
    "never answers",
    "answers late",
    "is busy",
    "cancels unasked",
    "busts",
    "fills a stranger",
    "talks nonsense",
)
