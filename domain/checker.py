"""The independent checker: what must hold of a journal, of what clients were told, of what venues were sent, and of every fold, by name.

It shares the table and `evolve` with the core and counts everything else by a way of its own. Nothing here raises for what it finds: each
breach is a Violation with the invariant's name, and the list of them is the answer. An empty list means: checked, and all of it holds.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from domain import events as e
from domain.commands import ReportKind
from domain.lifecycle import CLOSED, State, step
from domain.order import Order, evolve
from domain.paper_events import Reported, RequestTaken, VenueEvent
from domain.position import Book
from domain.values import ZERO, Side, order_id_of, signed

VIOLATIONS_MAX: Final = 1000
"""After so many nobody learns anything new."""


class Violation(msgspec.Struct, frozen=True):
    """`name` of the invariant, `where` (a sequence, an order, an account, a service) it was broken, and `what` was found."""

    name: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} at {self.where}: {self.what}"


class Commit(msgspec.Struct, frozen=True):
    """One commit as it was read back: the head it claims, its bytes, and what they say."""

    seq: int
    n: int
    chain: str
    payload: bytes
    events: tuple[e.OrderEvent, ...]


class Mark(msgspec.Struct, frozen=True):
    """The high-water mark that is kept outside the journal."""

    seq: int
    chain: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a client was told about one submit, when it asked and when it was told (any clock, one for all), and where the journal ended then.

    `outcome`: submitted, rejected, reused (422), not_accepted (429, 503, nobody there) or unknown.
    """

    account: str
    client_order_id: str
    outcome: str
    asked_at: int = 0
    told_at: int = 0
    seq: int = 0
    head: int = 0
    replayed: bool = False


class Send(msgspec.Struct, frozen=True):
    """One request that execution put on the wire, and the journal's last sequence at that moment."""

    verb: str
    order_id: str
    route_id: str
    head: int


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that can be told from the journal alone: of orders that are valued at least at their symbol's `marks`."""

    open_orders_max: int | None = None
    position_notional_max: Decimal | None = None
    marks: Mapping[str, Decimal] = {}
    short_accounts: frozenset[str] | None = None
    """Who may sell what it does not hold; None when that is not checked."""


class Line(msgspec.Struct):
    """One order, counted by the checker itself."""

    order: Order
    born: int
    price: Decimal | None = None
    legs: dict[str, int] = {}
    cancelled: int = 0
    trades: dict[tuple[str, str], e.OrderFilled] = {}
    busted: set[tuple[str, str]] = set()

    @property
    def cum(self) -> Decimal:
        return sum((t.quantity for exec_id, t in self.trades.items() if exec_id not in self.busted), ZERO)


class Stake(msgspec.Struct):
    """One account in one symbol: what it holds, and what its open orders may still trade."""

    held: Decimal = ZERO
    buys: Decimal = ZERO
    buys_notional: Decimal = ZERO
    sells: Decimal = ZERO
    surprised: bool = False
    """A late, unexpected or busted trade: no check before it could have known."""


class Audit:
    """A pass over one shard's journal, commit by commit. `violations` grows; `lines` and `book` are the checker's own fold.

    A long journal brings its own `lines`, which keep those of closed orders elsewhere than in memory.
    """

    def __init__(self, bounds: Bounds | None = None, lines: MutableMapping[str, Line] | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.violations: list[Violation] = []
        self.seq = 0
        self.n = 0
        self.chain = ""
        self.events = 0
        self.lines: MutableMapping[str, Line] = {} if lines is None else lines
        self.book = Book()
        self.positions: Counter[tuple[str, str]] = Counter()
        self.trades: dict[tuple[str, str], str] = {}
        self.clients: dict[tuple[str, str], str] = {}
        self.reports: dict[str, int] = {}
        self.open: Counter[str] = Counter()
        self.stakes: defaultdict[tuple[str, str], Stake] = defaultdict(Stake)

    def violated(self, name: str, where: object, what: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(name, str(where), what))

    def take(self, commit: Commit) -> None:
        """The next commit."""
        self._chained(commit)
        self._reported(commit)
        for event in commit.events:
            self.events += 1
            self._event(event, commit.seq)
        for account, symbol in {(line.order.account, line.order.symbol): None for line in self._touched(commit)}:
            self._bounded(account, symbol, commit.seq)

    def _touched(self, commit: Commit) -> Iterator[Line]:
        return (line for event in commit.events if (line := self.lines.get(event.order_id)) is not None)

    def _chained(self, commit: Commit) -> None:
        """Sequences rise, numbers have no hole, each chain value names all before it."""
        if commit.n != self.n + 1 or commit.seq <= self.seq:
            self.violated("contiguity", commit.seq, f"commit {commit.n} follows commit {self.n} (sequence {self.seq})")
        if commit.chain != hashlib.sha256(self.chain.encode() + commit.payload).hexdigest():
            self.violated("chain", commit.seq, f"the chain value of commit {commit.n} does not verify")
        self.seq, self.n, self.chain = commit.seq, commit.n, commit.chain

    def _reported(self, commit: Commit) -> None:
        """A venue's reports are applied in the order of their numbers, each once."""
        for event in commit.events:
            number: int | None = getattr(event, "report_seq", None)
            if number is None:
                continue
            venue: str = getattr(event, "venue")  # noqa: B009 - not every event has one
            if number <= self.reports.get(venue, 0):
                self.violated("report_order", commit.seq, f"report {number} of {venue} was applied behind {self.reports[venue]}")
            self.reports[venue] = max(number, self.reports.get(venue, 0))

    def _event(self, event: e.OrderEvent, seq: int) -> None:
        line = self.lines.get(event.order_id)
        if isinstance(event, e.OrderSubmitted):
            self._submitted(event, seq)
            return
        if line is None:
            if not isinstance(event, (e.ReportQuarantined, e.JournalAccepted)):
                self.violated("lawful_step", seq, f"{type(event).__name__} of order {event.order_id}, which was never submitted")
            return
        before, cum = line.order.status, line.cum
        self._uncount(line)
        if not lawful(event, before):
            self.violated("lawful_step", seq, f"{type(event).__name__} leads order {event.order_id} from {before} to {event.status}")
        self._noted(line, event, seq)
        line.order = evolve(line.order, event)
        self._count(line)
        self._summed(line, event, seq, before, cum)
        self._positions(event, seq)

    def _submitted(self, event: e.OrderSubmitted, seq: int) -> None:
        key = (event.account, event.client_order_id)
        if event.order_id in self.lines or key in self.clients:
            self.violated("one_order_a_client_id", seq, f"{event.account} {event.client_order_id} was submitted twice")
            return
        if event.status is not State.NEW:
            self.violated("lawful_step", seq, f"order {event.order_id} begins as {event.status}")
        self.clients[key] = event.order_id
        line = self.lines[event.order_id] = Line(evolve(None, event), seq, event.price)
        self._count(line)

    def _noted(self, line: Line, event: e.OrderEvent, seq: int) -> None:
        """What later checks need to know of an order's past."""
        match event:
            case e.OrderRiskChecked():
                line.price = event.reference if event.reference is not None else line.price
            case e.OrderRouted():
                routed = {leg.route_id: seq for leg in event.legs}
                if again := routed.keys() & line.legs.keys():
                    self.violated("one_route_an_id", seq, f"route {min(again)} was recorded twice")
                line.legs |= routed
            case e.CancelRequested():
                line.cancelled = line.cancelled or seq
            case e.OrderFilled():
                self._traded(line, event, seq)
            case e.TradeBusted():
                if (event.venue, event.exec_id) not in line.trades:
                    self.violated("trade_once", seq, f"the trade {event.exec_id} that was busted is unknown")
                line.busted.add((event.venue, event.exec_id))
                self.stakes[event.account, event.symbol].surprised = True

    def _traded(self, line: Line, event: e.OrderFilled, seq: int) -> None:
        key = (event.venue, event.exec_id)
        if key in self.trades:
            self.violated("trade_once", seq, f"trade {event.exec_id} of {event.venue} was booked before")
        self.trades[key] = event.order_id
        if (event.account, event.symbol, event.side) != (line.order.account, line.order.symbol, line.order.side):
            self.violated("trade_once", seq, f"trade {event.exec_id} is not of its order's account, symbol and side")
        line.trades[key] = event
        if event.late or not line.legs:
            self.stakes[event.account, event.symbol].surprised = True

    def _summed(self, line: Line, event: e.OrderEvent, seq: int, before: State, before_cum: Decimal) -> None:
        """cum is the sum of the live trades and moves by nothing else; leaves is the rest of an open order; filled means full."""
        order, cum = line.order, line.cum
        where = f"{seq} order {order.order_id}"
        if order.cum_quantity != cum:
            self.violated("cum", where, f"cum is {order.cum_quantity}, its trades sum up to {cum}")
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
            self.violated("position", seq, f"{event.account} holds {position.quantity} {event.symbol}, its trades say otherwise")

    # Limits at every prefix

    def _count(self, line: Line, sign: int = 1) -> None:
        order = line.order
        stake = self.stakes[order.account, order.symbol]
        if order.closed:
            return
        leaves = sign * order.leaves_quantity
        self.open[order.account] += sign
        if order.side is Side.BUY:
            stake.buys += leaves
            stake.buys_notional += leaves * (line.price or ZERO)
        else:
            stake.sells += leaves

    def _uncount(self, line: Line) -> None:
        self._count(line, -1)

    def _bounded(self, account: str, symbol: str, seq: int) -> None:
        bounds, stake = self.bounds, self.stakes[account, symbol]
        if bounds.open_orders_max is not None and self.open[account] > bounds.open_orders_max:
            self.violated("risk_limit", seq, f"{account} has {self.open[account]} open orders, the limit is {bounds.open_orders_max}")
        held = Decimal(self.positions[account, symbol])
        if stake.surprised:
            return
        if bounds.short_accounts is not None and account not in bounds.short_accounts and stake.sells > max(held, ZERO):
            self.violated("risk_limit", seq, f"{account} may sell {stake.sells} {symbol} and holds {held}")
        mark = bounds.marks.get(symbol)
        if bounds.position_notional_max is None or mark is None:
            return
        worst = held * mark + stake.buys_notional
        if worst > bounds.position_notional_max:
            self.violated("risk_limit", seq, f"{account} may come to hold {worst} of {symbol}, the limit is {bounds.position_notional_max}")


TRIGGERS: Final[Mapping[type[e.Fact], tuple[str, ...]]] = {
    e.OrderRiskChecked: ("risk_pass",),
    e.OrderQueued: ("enqueue", "venue_reject_requeue"),
    e.OrderRejected: ("risk_fail", "no_route", "venue_reject"),
    e.OrderRouted: ("route",),
    e.RouteAcknowledged: ("venue_ack", "venue_ack_traded"),
    e.OrderInDoubt: ("no_answer",),
    e.OrderFilled: ("trade_part", "trade_full"),
    e.TradeBusted: ("bust", "bust_traded", "bust_full", "bust_ended"),
    e.CancelRequested: ("cancel",),
    e.CancelRejected: ("cancel_rejected", "cancel_rejected_traded"),
    e.OrderCancelled: ("cancel", "venue_cancelled"),
    e.OrderExpired: ("expire",),
}
"""Steps a fact may stand for. What is not here is no step: the order stays where it is."""


def lawful(event: e.OrderEvent, before: State) -> bool:
    triggers = TRIGGERS.get(type(event))
    if triggers is None:
        return event.status is before
    return any(step(before, trigger) is event.status for trigger in triggers)


def check_journal(commits: Iterable[Commit], *, bounds: Bounds | None = None, mark: Mark | None = None) -> Audit:
    """Everything that the journal alone can tell. Read `violations` of what comes back; the rest of it is for the checks below."""
    audit = Audit(bounds)
    marked = mark is None or not mark.seq
    for commit in commits:
        audit.take(commit)
        if mark is not None and commit.seq == mark.seq:
            marked = True
            if commit.chain != mark.chain:
                audit.violated("high_water_mark", commit.seq, "the journal has another commit here than the mark says")
    if not marked and mark is not None:
        audit.violated("high_water_mark", audit.seq, f"the journal ends before its mark at {mark.seq}: it was restored or truncated")
    return audit


def check_answers(audit: Audit, answers: Sequence[Answer]) -> Iterator[Violation]:
    """Acked is a subset of the journal; the same answer for ever; nothing that was not asked for, nothing that was said not to be accepted."""
    told: defaultdict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        told[answer.account, answer.client_order_id].append(answer)
    for key, said in told.items():
        yield from _answers_of_one(audit, " ".join(key), audit.lines.get(order_id_of(*key)), said)
    for key in audit.clients.keys() - told.keys():
        yield Violation("asked_for", " ".join(key), "nobody ever submitted this order")


def _answers_of_one(audit: Audit, where: str, line: Line | None, said: Sequence[Answer]) -> Iterator[Violation]:
    final = [answer for answer in said if answer.outcome in ("submitted", "rejected")]
    for answer in final:
        if answer.seq > answer.head:
            yield Violation("acked_is_stored", where, f"answered with sequence {answer.seq} when the journal ended at {answer.head}")
        if line is None or line.born != answer.seq:
            found = "is not there" if line is None else f"begins at {line.born}"
            yield Violation("acked_is_stored", where, f"was answered with sequence {answer.seq}, in the journal it {found}")
    if len({(answer.outcome, answer.seq) for answer in final}) > 1:
        yield Violation("same_answer", where, "was answered differently at different times")
    if final and line is not None and (final[0].outcome == "rejected") != line.order.refused:
        yield Violation("same_answer", where, f"was answered {final[0].outcome} and is {line.order.status}")
    if line is not None and all(answer.outcome == "not_accepted" for answer in said):
        yield Violation("no_ghost", where, f"was never accepted, and is in the journal at {line.born}")
    for answer in final:
        before = [other for other in said if other is not answer and other.asked_at <= answer.told_at]
        if answer.replayed and not any(other.outcome in ("submitted", "rejected", "unknown") for other in before):
            yield Violation("no_ghost", where, "is answered again, and every time before it was said not to be accepted")
    if line is None and any(answer.outcome == "reused" for answer in said):
        yield Violation("same_answer", where, "was refused as used before, and never was")


def check_sends(audit: Audit, sends: Sequence[Send]) -> Iterator[Violation]:
    """Each route is sent at most once, and nothing that was not logged, durably, before the wire."""
    sent = Counter(send.route_id for send in sends if send.verb == "new")
    for route_id, times in sent.items():
        if times > 1:
            yield Violation("sent_once", route_id, f"was sent {times} times")
    for send in sends:
        line = audit.lines.get(send.order_id)
        logged = 0 if line is None else line.legs.get(send.route_id, 0) if send.verb == "new" else line.cancelled
        if not 0 < logged <= send.head:
            when = f"logged at {logged}" if logged else "never logged"
            yield Violation("logged_before_wire", send.route_id, f"{send.verb} was sent at {send.head}, {when}")


def check_venue(audit: Audit, venue: str, events: Sequence[VenueEvent], *, settled: bool) -> Iterator[Violation]:
    """Every trade of ours is one of the venue's; when all is settled the other way round too, and both agree on what still works."""
    reports = [event.report for event in events if isinstance(event, Reported)]
    if [r.report_seq for r in reports] != list(range(1, len(reports) + 1)):
        yield Violation("venue_numbers", venue, "its report numbers have a hole")
    theirs = {(venue, r.exec_id): r for r in reports if r.report is ReportKind.FILL}
    ours = {key: order_id for key, order_id in audit.trades.items() if key[0] == venue}
    for key in ours.keys() - theirs.keys():
        yield Violation("venue_trades", venue, f"trade {key[1]} was booked and never made")
    for key in ours.keys() & theirs.keys():
        booked, made = audit.lines[ours[key]].trades[key], theirs[key]
        if (booked.order_id, booked.quantity, booked.price, booked.fee) != (made.order_id, made.quantity, made.price, made.fee):
            yield Violation("venue_trades", venue, f"trade {key[1]} was booked otherwise than it was made")
    if not settled:
        return
    for key in theirs.keys() - ours.keys():
        yield Violation("venue_trades", venue, f"trade {key[1]} was made and never booked")
    yield from _same_view(audit, venue, _working(events))


def _working(events: Iterable[VenueEvent]) -> dict[str, str]:
    """Routes that still work at the venue, with their orders."""
    leaves: dict[str, Decimal] = {}
    orders: dict[str, str] = {}
    for event in events:
        match event:
            case RequestTaken():
                leaves.setdefault(event.request.route_id, event.request.quantity)
                orders[event.request.route_id] = event.request.order_id
            case Reported(report=report) if report.route_id in leaves and report.report is ReportKind.FILL:
                leaves[report.route_id] -= report.quantity or ZERO
            case Reported(report=report) if report.route_id in leaves and report.report in _ENDINGS:
                leaves[report.route_id] = ZERO
    return {route_id: orders[route_id] for route_id, left in leaves.items() if left > ZERO}


_ENDINGS: Final = (ReportKind.CANCELLED, ReportKind.EXPIRED, ReportKind.REJECTED)


def _same_view(audit: Audit, venue: str, theirs: Mapping[str, str]) -> Iterator[Violation]:
    """What we think works at a venue works there, and the other way round; what is in doubt may be either."""
    ours = {
        route.route_id: line.order for line in audit.lines.values() for route in line.order.routes if route.venue == venue and route.live
    }
    for route_id, order in ours.items():
        if route_id not in theirs and not order.closed and order.status is not State.IN_DOUBT:
            yield Violation("venue_view", route_id, f"{order.status} here, and does not work at {venue}")
    for route_id in theirs.keys() - ours.keys():
        yield Violation("venue_view", route_id, f"works at {venue}, and not here")


def check_fold(name: str, live: Mapping[str, object], replayed: Mapping[str, object]) -> Iterator[Violation]:
    """A fold that was kept while things happened is what a replay of the whole journal makes."""
    for key in sorted(live.keys() | replayed.keys()):
        if live.get(key) != replayed.get(key):
            yield Violation("fold_is_replay", f"{name} {key}", f"is {live.get(key)!r:.300}, a replay makes it {replayed.get(key)!r:.300}")


def check_settled(audit: Audit, reserved: Iterable[str]) -> Iterator[Violation]:
    """All is well again for long enough: every order has ended, works at its venue, or is in doubt; nothing is reserved any more."""
    for order_id, line in audit.lines.items():
        order = line.order
        waits = order.status in (State.NEW, State.RISK_CHECKED, State.QUEUED, State.PENDING_CANCEL, State.PENDING_REPLACE)
        silent = order.status is State.ROUTED and not all(route.venue_order_id for route in order.live_routes)
        if waits or silent:
            yield Violation("liveness", f"order {order_id}", f"is {order.status} still")
    for order_id in reserved:
        yield Violation("reservations", f"order {order_id}", "is reserved still")


def state_hash(audit: Audit) -> str:
    """One value for everything that the journal made: the same for every replay, on every machine, with every hash seed."""
    orders = [_without_book_keeping(audit.lines[order_id].order) for order_id in sorted(audit.lines)]
    positions = [audit.book.positions[key] for key in sorted(audit.book.positions)]
    return hashlib.sha256(msgspec.json.encode((orders, positions))).hexdigest()


def _without_book_keeping(order: Order) -> Order:
    """`seqs` and `commit` are the host's notes, not the order's state."""
    return msgspec.structs.replace(order, seqs=(), commit=0)
