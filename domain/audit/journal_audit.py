"""The checker's own fold of one shard's journal: every order is counted again, every limit is checked after every commit."""

import contextlib
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, MutableMapping
from decimal import Decimal
from typing import Final

import msgspec

from domain.audit.list_rests import ListRests
from domain.audit.owner_audit import OwnerAudit
from domain.audit.stakes import Stake
from domain.order import events as e
from domain.order.group import DOUBLE_EXIT
from domain.order.index import TRIGGERS_OF, trigger_of
from domain.order.lifecycle import CLOSED, State
from domain.order.order import Order, evolve
from domain.position.position import PositionBook
from domain.values import AT_SESSIONS, ZERO, Side, signed

VIOLATIONS_MAX: Final = 1000
"""More violations than this add no information."""


class Violation(msgspec.Struct, frozen=True):
    """A broken invariant: its `name`, `where` it was broken (a sequence, an order, an account, a service), and `what` was found."""

    name: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} at {self.where}: {self.what}"


class ObservedCommit(msgspec.Struct, frozen=True):
    """One commit as read back: the head it claims, its bytes, and its decoded events."""

    seq: int
    n: int
    chain: str
    payload: bytes
    events: tuple[e.OrderEvent, ...]


class ObservedBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that the journal alone can verify, for orders that are valued at least at their symbol's `marks`."""

    open_orders_max: int | None = None
    position_notional_max: Decimal | None = None
    marks: Mapping[str, Decimal] = {}
    short_accounts: frozenset[str] | None = None
    """The accounts that may sell short; None if that is not checked."""


class ObservedOrder(msgspec.Struct):
    """One order, counted by the checker itself."""

    order: Order
    born: int
    price: Decimal | None = None
    legs: dict[str, int] = {}
    asked: dict[str, int] = {}
    """Where a cancel, or a replace, was first requested."""
    words: dict[str, int] = {}
    """Where the venue of a route first acknowledged or traded it."""
    dropped: list[tuple[int, str]] = []
    """Where a request before the venue's first report was dropped, and how."""
    trades: dict[tuple[str, str], e.OrderFilled] = {}
    busted: set[tuple[str, str]] = set()
    refused: bool = False
    """Its last event is a refused request."""
    successor: bool = False
    """It took the place of another order of its list, whatever the account had open by then."""

    @property
    def cum(self) -> Decimal:
        return sum((t.quantity for exec_id, t in self.trades.items() if exec_id not in self.busted), ZERO)


class ObservedQuarantine(msgspec.Struct):
    """The fields of a quarantined report that are checked."""

    report: str
    exec_id: str = ""


class Audit:
    """A pass over one shard's journal, commit by commit. `violations` grows; `lines` and `book` are the checker's own fold.

    For a long journal the caller passes `lines`, which keeps those of closed orders outside of memory.
    """

    def __init__(self, bounds: ObservedBounds | None = None, lines: MutableMapping[str, ObservedOrder] | None = None) -> None:
        self.bounds = bounds or ObservedBounds()
        self.violations: list[Violation] = []
        self.seq = 0
        self.n = 0
        self.chain = ""
        self.events = 0
        self.lines: MutableMapping[str, ObservedOrder] = {} if lines is None else lines
        self.book = PositionBook()
        self.positions: Counter[tuple[str, str]] = Counter()
        self.trades: dict[tuple[str, str], str] = {}
        self.aside: set[tuple[str, str]] = set()
        """Quarantined trades, which cannot be booked: (venue, exec_id)."""
        self.clients: dict[tuple[str, str], str] = {}
        self.names: dict[tuple[str, str], str] = {}
        """The names of replaces, with their orders."""
        self.reports: dict[str, int] = {}
        self.open: Counter[str] = Counter()
        self.stakes: defaultdict[tuple[str, str], Stake] = defaultdict(Stake)
        self._rests = ListRests(self._found, self.stakes)
        self._owners = OwnerAudit()

    def violated(self, name: str, where: object, what: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(name, str(where), what))

    def take(self, commit: ObservedCommit) -> None:
        """Check the next commit."""
        self._chained(commit)
        for found in self._owners.take(commit.n, commit.events):
            self.violated("one_owner", commit.seq, found)
        self._reported(commit)
        for event in commit.events:
            self.events += 1
            self._event(event, commit.seq)
        for account, symbol in {(line.order.account, line.order.symbol): None for line in self._touched(commit)}:
            self._bounded(account, symbol, commit.seq)

    def _touched(self, commit: ObservedCommit) -> Iterator[ObservedOrder]:
        return (line for event in commit.events if (line := self.lines.get(event.order_id)) is not None)

    def _chained(self, commit: ObservedCommit) -> None:
        """Check that sequences rise, numbers have no gap, and each chain value covers all before it."""
        if commit.n != self.n + 1 or commit.seq <= self.seq:
            self.violated("contiguity", commit.seq, f"commit {commit.n} follows commit {self.n} (sequence {self.seq})")
        if commit.chain != hashlib.sha256(self.chain.encode() + commit.payload).hexdigest():
            self.violated("chain", commit.seq, f"the chain value of commit {commit.n} does not verify")
        self.seq, self.n, self.chain = commit.seq, commit.n, commit.chain

    def _reported(self, commit: ObservedCommit) -> None:
        """Check that a venue's reports are applied in the order of their numbers, each once."""
        applied: set[tuple[str, int, str]] = set()
        for event in commit.events:
            number: int | None = getattr(event, "report_seq", None)
            if number is None:
                continue
            venue: str = getattr(event, "venue")  # noqa: B009 - not every event has one
            if (venue, number, event.order_id) in applied:
                continue  # one report, two events: a correction busts a trade and books another
            applied.add((venue, number, event.order_id))
            if number <= self.reports.get(venue, 0):
                self.violated("report_order", commit.seq, f"report {number} of {venue} was applied after {self.reports[venue]}")
            self.reports[venue] = max(number, self.reports.get(venue, 0))

    def _event(self, event: e.OrderEvent, seq: int) -> None:
        line = self.lines.get(event.order_id)
        if isinstance(event, e.OrderSubmitted):
            self._submitted(event, seq)
            return
        if isinstance(event, e.ReportQuarantined):
            self._kept_aside(event)
        if line is None:
            if not isinstance(event, (e.ReportQuarantined, *e.OF_NO_ORDER)):
                self.violated("lawful_step", seq, f"{type(event).__name__} of order {event.order_id}, which was never submitted")
            return
        before, cum = line.order.status, line.cum
        self._uncount(line)
        if not lawful(event, before):
            self.violated("lawful_step", seq, f"{type(event).__name__} leads order {event.order_id} from {before} to {event.status}")
        self._noted(line, event, seq)
        line.refused = isinstance(event, e.CancelRejected | e.ReplaceRejected)
        line.order = evolve(line.order, event)
        self._count(line)
        self._rests.take(event)
        self._summed(line, event, seq, before, cum)
        self._positions(event, seq)

    def _found(self, order_id: str) -> tuple[Order, Decimal | None]:
        line = self.lines[order_id]
        return line.order, line.price

    def _kept_aside(self, event: e.ReportQuarantined) -> None:
        with contextlib.suppress(msgspec.DecodeError):  # an unreadable report names no trade
            report = msgspec.json.decode(event.report, type=ObservedQuarantine)
            if report.report == "fill":
                self.aside.add((event.venue, report.exec_id))

    def _submitted(self, event: e.OrderSubmitted, seq: int) -> None:
        key = (event.account, event.client_order_id)
        if event.order_id in self.lines or key in self.clients or key in self.names:
            self.violated("one_order_a_client_id", seq, f"{event.account} {event.client_order_id} was submitted twice")
            return
        if (event.auction is None) is (event.time_in_force in AT_SESSIONS):
            self.violated("auction_time", seq, f"order {event.order_id} is {event.time_in_force}, and its auction is {event.auction}")
        if event.status is not State.NEW:
            self.violated("lawful_step", seq, f"order {event.order_id} begins as {event.status}")
        self.clients[key] = event.order_id
        line = self.lines[event.order_id] = ObservedOrder(evolve(None, event), seq, event.price)
        self._count(line)

    def _noted(self, line: ObservedOrder, event: e.OrderEvent, seq: int) -> None:
        """Record what later checks need from an order's past."""
        match event:
            case e.OrderRiskChecked():
                line.price = event.reference if event.reference is not None else line.price
            case e.OrderReleased() if event.venue:
                self._in_time(line, event, seq)
            case e.StopTrailed() | e.OrderTriggered():
                self._followed(line.order, event, seq)
            case e.OrderRouted():
                if line.order.auction is not None:
                    self._in_time(line, event, seq)
                routed = {leg.route_id: seq for leg in event.legs}
                if again := routed.keys() & line.legs.keys():
                    self.violated("one_route_an_id", seq, f"route {min(again)} was recorded twice")
                line.legs |= routed
                self._shown(line, event, seq)
                if line.order.replacing is not None:
                    line.dropped.append((seq, "it was routed again without the requested terms"))
            case e.OrderReplaced():
                self._named(line, event, seq)
                line.price = event.reference if event.reference is not None else line.price
            case e.RouteAcknowledged():
                line.words.setdefault(event.route_id, seq)
            case e.CancelRequested():
                line.asked.setdefault("cancel", seq)
            case e.CancelRejected():
                if event.reason in ("unknown", "too_early") and not line.words:
                    line.dropped.append((seq, "its cancel ended before its venue had the order"))
            case e.ReplaceRequested():
                self._named(line, event, seq)
                line.asked.setdefault("replace", seq)
            case e.OrderFilled():
                self._traded(line, event, seq)
            case e.ListExtended():
                self._succeeded(event.member)
            case e.ListFlagged(flag=flag) if flag == DOUBLE_EXIT:
                self.stakes[line.order.account, self.lines[event.leg].order.symbol].surprised = True
            case e.TradeBusted():
                if (event.venue, event.exec_id) not in line.trades:
                    self.violated("trade_once", seq, f"the trade {event.exec_id} that was busted is unknown")
                line.busted.add((event.venue, event.exec_id))
                self.stakes[event.account, event.symbol].surprised = True

    def _in_time(self, line: ObservedOrder, event: e.OrderReleased | e.OrderRouted, seq: int) -> None:
        """Check that an order for an opening or closing is released and routed from then on, before the session ends, in this order."""
        auction, what = line.order.auction, type(event).__name__
        if auction is None or not auction.at <= event.at < auction.ends_at:
            when = "for none" if auction is None else f"for {auction.at} to {auction.ends_at}"
            self.violated("auction_time", seq, f"{what} of order {event.order_id}, which is {when}, at {event.at}")
        if isinstance(event, e.OrderRouted) is not line.order.triggered:
            self.violated(
                "auction_time", seq, f"{what} of order {event.order_id}, which was {'' if line.order.triggered else 'not '}released"
            )

    def _shown(self, line: ObservedOrder, event: e.OrderRouted, seq: int) -> None:
        """Check that each venue is asked to show as much of an iceberg as its client said."""
        display = line.order.display_quantity
        for leg in event.legs if display is not None else ():
            if leg.display_quantity != display:
                self.violated(
                    "displayed", seq, f"{leg.venue} may show {leg.display_quantity} of {leg.route_id}, and the client said {display}"
                )

    def _followed(self, order: Order, event: e.StopTrailed | e.OrderTriggered, seq: int) -> None:
        """Check that a trailing stop only tightens, and only while it waits for its stop price, which is then reached."""
        where, moves = f"{seq} order {order.order_id}", isinstance(event, e.StopTrailed)
        if (order.trail is None) is (event.stop_price is not None):
            self.violated("stop_trails", where, f"{type(event).__name__} of an order of type {order.order_type}")
            return
        if order.status is not State.QUEUED or order.triggered:
            self.violated("stop_trails", where, f"{type(event).__name__} of an order that is {order.status} and no longer waits")
        if event.stop_price is None:
            return
        old, sign = order.stop_price, 1 if order.side is Side.SELL else -1
        if old is not None and (sign * event.stop_price < sign * old or (moves and event.stop_price == old)):
            self.violated("stop_trails", where, f"its stop price went from {old} to {event.stop_price}, which is not tighter")
        if order.best is not None and (event.best is None or sign * event.best < sign * order.best):
            self.violated("stop_trails", where, f"its best price went from {order.best} to {event.best}")
        if isinstance(event, e.OrderTriggered) and sign * event.price > sign * event.stop_price:
            self.violated("stop_trails", where, f"it was triggered at {event.price}, and its stop price is {event.stop_price}")

    def _succeeded(self, order_id: str) -> None:
        if (line := self.lines.get(order_id)) is not None:
            self._uncount(line)
            line.successor = True
            self._count(line)

    def _named(self, line: ObservedOrder, event: e.ReplaceRequested | e.OrderReplaced, seq: int) -> None:
        """Check that the name of a replace was never used in the account."""
        key = (line.order.account, event.client_order_id)
        if not event.client_order_id:
            return
        if key in self.clients or key in self.names:
            self.violated("one_order_a_client_id", seq, f"{key[0]} {key[1]} was used before it named a replace of {event.order_id}")
        self.names[key] = event.order_id

    def _traded(self, line: ObservedOrder, event: e.OrderFilled, seq: int) -> None:
        key = (event.venue, event.exec_id)
        line.words.setdefault(event.route_id, seq)
        if key in self.trades:
            self.violated("trade_once", seq, f"trade {event.exec_id} of {event.venue} was booked before")
        self.trades[key] = event.order_id
        if (event.account, event.symbol, event.side) != (line.order.account, line.order.symbol, line.order.side):
            self.violated("trade_once", seq, f"trade {event.exec_id} is not of its order's account, symbol and side")
        line.trades[key] = event
        if event.late or event.overfill or not line.legs:
            self.stakes[event.account, event.symbol].surprised = True

    def _summed(self, line: ObservedOrder, event: e.OrderEvent, seq: int, before: State, before_cum: Decimal) -> None:
        """Check that cum is the sum of the live trades and moves only by trades, leaves is the rest of an open order, filled means full."""
        order, cum = line.order, line.cum
        where = f"{seq} order {order.order_id}"
        if order.cum_quantity != cum:
            self.violated("cum", where, f"cum is {order.cum_quantity}, its trades add up to {cum}")
        if order.leaves_quantity != (ZERO if order.closed else max(order.quantity - cum, ZERO)):
            self.violated("leaves", where, f"{order.leaves_quantity} of {order.quantity} with cum {cum}, {order.status}")
        if cum != before_cum and not isinstance(event, (e.OrderFilled, e.TradeBusted)):
            self.violated("cum", where, f"{type(event).__name__} moved cum from {before_cum} to {cum}")
        if (order.status is State.FILLED) != (cum >= order.quantity):
            self.violated("filled_is_full", where, f"{order.status} with cum {cum} of {order.quantity}")
        if isinstance(event, e.OrderFilled) and (event.late, event.overfill) != (before in CLOSED, cum > order.quantity):
            self.violated("flags", where, f"late={event.late} overfill={event.overfill} after {before}, cum {cum} of {order.quantity}")

    def _positions(self, event: e.OrderEvent, seq: int) -> None:
        position = self.book.apply(event, seq)
        if position is None or not isinstance(event, (e.OrderFilled, e.TradeBusted)):
            return
        moved = signed(event.side, event.quantity)
        self.positions[event.account, event.symbol] += -moved if isinstance(event, e.TradeBusted) else moved  # type: ignore[assignment]
        if position.quantity != self.positions[event.account, event.symbol]:
            self.violated("position", seq, f"{event.account} holds {position.quantity} {event.symbol}, its trades give another quantity")

    # Limits at every prefix

    def _count(self, line: ObservedOrder) -> None:
        order = line.order
        if not order.closed:
            self.open[order.account] += not line.successor
            self.stakes[order.account, order.symbol].count(order, line.price, refused=line.refused)

    def _uncount(self, line: ObservedOrder) -> None:
        order = line.order
        if not order.closed:
            self.open[order.account] -= not line.successor
            self.stakes[order.account, order.symbol].uncount(order, line.price)

    def _bounded(self, account: str, symbol: str, seq: int) -> None:
        bounds, stake = self.bounds, self.stakes[account, symbol]
        if bounds.open_orders_max is not None and self.open[account] > bounds.open_orders_max:
            self.violated("risk_limit", seq, f"{account} has {self.open[account]} open orders, the limit is {bounds.open_orders_max}")
        held = Decimal(self.positions[account, symbol])
        if stake.surprised:
            return
        sells = stake.sells_at_worst()
        if bounds.short_accounts is not None and account not in bounds.short_accounts and sells > max(held, ZERO):
            self.violated("risk_limit", seq, f"{account} may sell {sells} {symbol} and holds {held}")
        mark = bounds.marks.get(symbol)
        if bounds.position_notional_max is None or mark is None:
            return
        worst = held * abs(mark) + stake.buys_at_worst(abs(mark))
        if worst > bounds.position_notional_max:
            self.violated("risk_limit", seq, f"{account} may come to hold {worst} of {symbol}, the limit is {bounds.position_notional_max}")


def lawful(event: e.OrderEvent, before: State) -> bool:
    """Return whether the event stands for a legal step. An event that stands for no step must keep the order's state."""
    if type(event) not in TRIGGERS_OF:
        return event.status is before
    return trigger_of(type(event), before, event.status) is not None
