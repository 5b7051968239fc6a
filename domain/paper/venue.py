"""A paper venue: `decide` turns a request, a quote or passing time into events, `evolve` applies them. Rules: docs/paper-venues.md."""

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

import msgspec

from domain.instruments import Instrument
from domain.market.quotes import Quote
from domain.order.commands import ReportKind, VenueReport, VenueRequest
from domain.paper.book import UNSEEN, Display, PaperBook, PaperOrder, PaperState, PaperTrade
from domain.paper.decision import decided
from domain.paper.events import (
    Cancel,
    DeepQuote,
    EpochMet,
    Meet,
    Message,
    OrderForgotten,
    PartShown,
    QueueAdvanced,
    QueueJoined,
    QueueLowered,
    Refuse,
    Replace,
    Reported,
    RequestTaken,
    StopTriggered,
    TradingHalted,
    TradingResumed,
    VenueEvent,
)
from domain.paper.orders import PaperOrders
from domain.paper.rules import PLAIN, PaperRules, fee_rate
from domain.values import ZERO, Liquidity

_CLOSING: Final = {
    ReportKind.CANCELLED: PaperState.CANCELLED,
    ReportKind.EXPIRED: PaperState.EXPIRED,
    ReportKind.REJECTED: PaperState.REJECTED,
}


class PaperVenue:
    """One venue. Its state follows from its events, except for the quotes: the market publishes them again."""

    def __init__(
        self, name: str, instruments: Mapping[str, Instrument], maker_bps: Decimal, taker_bps: Decimal, rules: PaperRules = PLAIN
    ) -> None:
        self.name = name
        self.instruments = instruments
        self.rules = rules
        self.fee_rates = {Liquidity.MAKER: fee_rate(maker_bps), Liquidity.TAKER: fee_rate(taker_bps)}
        self.displays: dict[str, Display] = {}
        self.books: dict[str, PaperBook] = defaultdict(PaperBook)
        self.orders = PaperOrders(rules.closed_max)
        self.open: dict[int, PaperOrder] = {}
        self.halted: set[str] = set()
        self.report_seqs: dict[int, int] = {}
        self.epochs: dict[int, int] = {}
        """The largest epoch seen, by shard."""
        self.taken = 0
        self.executions = 0
        self.sends_max = 0
        self._expiries: list[tuple[int, int]] = []

    def take(self, message: Message, now_ns: int) -> tuple[VenueEvent, ...]:
        """Decide and evolve in one step, as the host does."""
        events = self.decide(message, now_ns)
        if isinstance(message, Quote | DeepQuote):
            self.show(message)
        for event in events:
            self.evolve(event)
        return events

    def decide(self, message: Message, now_ns: int) -> tuple[VenueEvent, ...]:
        """Return the events that follow. Whatever the message, due orders expire first."""
        return (*self._met(message, now_ns), *decided(self, message, now_ns))

    def _met(self, message: Message, now_ns: int) -> Iterator[EpochMet]:
        """Journal an epoch that is larger than any before, ahead of the events of its request."""
        named = epoch_in(message)
        if named is not None and named[1] > self.epochs.get(named[0], 0):
            yield EpochMet(at=now_ns, shard=named[0], epoch=named[1], unit=named[2])

    def is_stale(self, message: Message) -> bool:
        """Return whether the message is from an exeq that was replaced. A cancel without an epoch is from a comparison and is accepted."""
        named = epoch_in(message)
        if named is None or (isinstance(message, Cancel) and not named[1]):
            return False
        return named[1] < self.epochs.get(named[0], 0)

    def due(self, now_ns: int) -> Iterator[PaperOrder]:
        for expire_at, number in self._expiries:
            if expire_at > now_ns:
                return
            yield self.open[number]

    def show(self, message: Quote | DeepQuote) -> None:
        """Replace the displayed quote as a whole."""
        display = self.display_of(message)
        self.displays[display.quote.symbol] = display

    def display_of(self, message: Quote | DeepQuote) -> Display:
        """Return what the venue shows of a quote: the levels of its book, or those that it makes of the touch."""
        if isinstance(message, DeepQuote):
            return Display.of_book(message.quote, message.depth, self.displays.get(message.quote.symbol))
        quote = message
        instrument = self.instruments.get(quote.symbol)
        if instrument is None:
            return Display.of(quote, ZERO, self.rules.levels)
        apart, negative = self.rules.level_ticks * instrument.tick, instrument.negative_prices
        return Display.of(quote, apart, self.rules.levels, negative_prices=negative)

    def traded(self, exec_id: str) -> tuple[PaperOrder, PaperTrade] | None:
        """Return a trade that is not busted, and its order. Scans every order; used only to bust and correct trades."""
        return next(((order, trade) for order in self.orders.values() for trade in order.trades if trade.exec_id == exec_id), None)

    def queue_ahead(self, order: PaperOrder) -> Decimal | None:
        """Return how much of others' size is ahead of a resting order; None if it does not rest, or the size is not known."""
        request = order.request
        if not (self.rules.queue or self.rules.estimated) or order.state is not PaperState.WORKING or order.waits_for_stop:
            return None
        if request.price is None:
            return None
        ahead = order.behind - self.books[request.symbol].limits[request.side].gone(request.price)
        return max(ahead, ZERO) if ahead * 2 < UNSEEN else None

    # State changes

    def evolve(self, event: VenueEvent) -> None:
        match event:
            case RequestTaken():
                self._taken(event)
            case StopTriggered():
                self._moved(self.orders[event.route_id], triggered=True)
            case QueueJoined():
                self.orders[event.route_id].behind = event.behind
            case QueueAdvanced():
                self.books[event.symbol].limits[event.side].advance(event.price, event.quantity)
                if not event.printed and (display := self.displays.get(event.symbol)):
                    display.take(event.side, event.quantity)
            case PartShown():
                self._part_shown(event)
            case QueueLowered():
                for order in self.books[event.symbol].limits[event.side].at(event.price):
                    order.behind = min(order.behind, event.behind)
            case TradingHalted():
                self.halted.add(event.symbol)
            case TradingResumed():
                self.halted.discard(event.symbol)
            case OrderForgotten():
                self._forget(self.orders.pop(event.route_id))
            case EpochMet():
                self.epochs[event.shard] = event.epoch
            case Reported():
                self._reported(event.report, event.shard, printed=event.printed)

    def _taken(self, event: RequestTaken) -> None:
        request = event.request
        order = self.orders.get(request.route_id)
        if order is None:
            self.taken += 1
            order = PaperOrder(
                number=self.taken,
                request=request,
                venue_order_id=f"{self.name}-o{self.taken}",
                leaves=request.quantity,
                day_ends_at=event.expire_at,
            )
        order.sends += 1
        self.orders.put(order)
        self.sends_max = max(self.sends_max, order.sends)

    def _reported(self, report: VenueReport, shard: int, *, printed: bool) -> None:
        self.report_seqs[shard] = report.report_seq
        order = self.orders.get(report.route_id)
        if order is None or order.request.account != report.account:
            return
        order.reports += (report.report_seq,)
        match report.report:
            case ReportKind.ACCEPTED:
                self._open(order)
            case ReportKind.FILL:
                self._filled(order, report, printed=printed)
            case ReportKind.REPLACED:
                self._replaced(order, report)
            case ReportKind.REPLACE_REJECTED:
                order.replace_id = report.replace_id
            case ReportKind.BUST:
                self._taken_back(order, report.exec_id)
            case ReportKind.CORRECTION:
                self._taken_back(order, report.ref_exec_id)
                self._filled(order, report)
            case kind if state := _CLOSING.get(kind):
                self._close(order, state)
        self.orders.put(order)

    def _open(self, order: PaperOrder) -> None:
        order.state = PaperState.WORKING
        self.open[order.number] = order
        self.books[order.request.symbol].add(order)
        if order.expire_at is not None:
            insort(self._expiries, (order.expire_at, order.number))

    def _filled(self, order: PaperOrder, report: VenueReport, *, printed: bool = False) -> None:
        quantity, price = report.quantity or ZERO, report.price or ZERO
        self.executions += 1
        order.leaves -= quantity
        if report.report is ReportKind.FILL and report.liquidity is Liquidity.MAKER and order.request.display_quantity is not None:
            order.shown -= quantity
        order.trades += (PaperTrade(report.exec_id, quantity, price, report.liquidity or Liquidity.TAKER),)
        if not printed and (display := self.displays.get(order.request.symbol)):
            display.take(order.request.side, quantity)
        if order.leaves <= ZERO and order.state is PaperState.WORKING:
            self._close(order, PaperState.FILLED)

    def _part_shown(self, event: PartShown) -> None:
        order = self.orders[event.route_id]
        order.shown, order.behind = event.quantity, ZERO
        self.books[order.request.symbol].to_end(order)

    def _replaced(self, order: PaperOrder, report: VenueReport) -> None:
        """Apply new terms. A smaller size at the same prices keeps its turn; anything else goes to the end of the queue."""
        quantity = report.quantity or ZERO
        leaves = quantity - order.cum_quantity
        keeps = (report.price, report.stop_price) == (order.request.price, order.request.stop_price) and leaves <= order.leaves
        order.replace_id = report.replace_id
        changed = msgspec.structs.replace(order.request, quantity=quantity, price=report.price, stop_price=report.stop_price)
        if keeps:
            order.request, order.leaves = changed, leaves
        else:
            self._moved(order, request=changed, leaves=leaves, behind=ZERO)
        if not leaves:
            self._close(order, PaperState.FILLED)

    def _moved(self, order: PaperOrder, **changes: object) -> None:
        book = self.books[order.request.symbol]
        book.remove(order)
        for name, value in changes.items():
            setattr(order, name, value)
        book.add(order)

    def _taken_back(self, order: PaperOrder, exec_id: str) -> None:
        """Take a trade back. An order that was full works again; one that ended otherwise keeps its state."""
        quantity = sum((t.quantity for t in order.trades if t.exec_id == exec_id), ZERO)
        order.trades = tuple(t for t in order.trades if t.exec_id != exec_id)
        order.leaves += quantity
        if order.state is PaperState.FILLED and order.leaves > ZERO:
            order.behind, order.shown = ZERO, order.next_part
            self._open(order)

    def _close(self, order: PaperOrder, state: PaperState) -> None:
        self._forget(order)
        order.state = state

    def _forget(self, order: PaperOrder) -> None:
        """Remove the order from the book if it is there."""
        if order.state is PaperState.WORKING:
            del self.open[order.number]
            self.books[order.request.symbol].remove(order)
            if order.expire_at is not None:
                del self._expiries[bisect_left(self._expiries, (order.expire_at, order.number))]


def epoch_in(message: Message) -> tuple[int, int, str] | None:
    """Return shard, epoch and unit of the sending exeq; None for messages that are not from an exeq."""
    match message:
        case VenueRequest():
            return message.shard, message.epoch, message.unit
        case Cancel() | Replace() | Refuse():
            return message.request.shard, message.request.epoch, message.request.unit
        case Meet():
            return message.shard, message.epoch, message.unit
        case _:
            return None
