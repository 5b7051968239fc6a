"""The events of one decision of a paper venue, numbered as they are created. The venue is unchanged."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Protocol

from domain.market.quotes import Quote
from domain.order.commands import ReportKind, VenueReport
from domain.paper.book import Display, PaperBook, PaperOrder, PaperState, PaperTrade
from domain.paper.events import DeepQuote, QueueJoined, Reported, VenueEvent
from domain.paper.orders import PaperOrders
from domain.paper.rules import PaperRules
from domain.values import Liquidity


class MatchingVenue(Protocol):
    """The parts of a venue that a decision reads."""

    name: str
    instruments: Any
    rules: PaperRules
    fee_rates: dict[Liquidity, Decimal]
    displays: dict[str, Display]
    books: dict[str, PaperBook]
    orders: PaperOrders
    halted: set[str]
    report_seqs: dict[int, int]
    taken: int
    executions: int

    def due(self, now_ns: int) -> Iterable[PaperOrder]: ...
    def display_of(self, message: Quote | DeepQuote) -> Display: ...
    def traded(self, exec_id: str) -> tuple[PaperOrder, PaperTrade] | None: ...


class VenueOutcome:
    """What was decided so far. Orders change only after the decision: `ended` are the numbers of those that are closed by it."""

    def __init__(self, venue: MatchingVenue, now_ns: int) -> None:
        self.venue = venue
        self.now_ns = now_ns
        self.events: list[VenueEvent] = []
        self.ended: set[int] = set()
        self.joined: dict[int, Decimal] = {}
        """By number of an order, its new mark in the queue."""
        self._seqs: dict[int, int] = {}
        self._executions = venue.executions

    def works(self, order: PaperOrder) -> bool:
        return order.state is PaperState.WORKING and order.number not in self.ended

    def join(self, order: PaperOrder, behind: Decimal) -> None:
        self.joined[order.number] = behind
        self.events.append(QueueJoined(route_id=order.request.route_id, behind=behind))

    def fill(self, order: PaperOrder, quantity: Decimal, price: Decimal, liquidity: Liquidity, **more: Any) -> None:
        self._executions += 1
        self.report(
            more.pop("kind", ReportKind.FILL),
            order,
            exec_id=f"{self.venue.name}-{self._executions}",
            quantity=quantity,
            price=price,
            fee=quantity * abs(price) * self.venue.fee_rates[liquidity],
            liquidity=liquidity,
            **more,
        )

    def end(self, kind: ReportKind, order: PaperOrder, *, reason: str = "") -> None:
        self.ended.add(order.number)
        self.report(kind, order, reason=reason)

    def report(self, kind: ReportKind, order: PaperOrder, *, printed: bool = False, **fields: Any) -> None:
        request = order.request
        shard = request.shard
        seq = self._seqs[shard] = self._seqs.get(shard, self.venue.report_seqs.get(shard, 0)) + 1
        report = VenueReport(
            report=kind,
            order_id=request.order_id,
            route_id=request.route_id,
            venue=self.venue.name,
            report_seq=seq,
            at=self.now_ns,
            account=request.account,
            symbol=request.symbol,
            side=request.side,
            venue_order_id=order.venue_order_id,
            **fields,
        )
        self.events.append(Reported(report=report, shard=shard, printed=printed))
