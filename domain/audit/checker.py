"""The independent checker: named invariants of a journal, of replies to clients, of requests to venues, and of every fold.

It shares the table and `evolve` with the core and counts everything else in its own way (domain/audit/journal_audit.py). It raises
for no finding: each breach is a Violation with the invariant's name. No violations means that every check ran and passed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from domain.audit import state_hash as hashes
from domain.audit.journal_audit import Audit, ObservedBounds, ObservedCommit, ObservedOrder, Violation
from domain.order import events as e
from domain.order.commands import ReportKind, VenueReport
from domain.order.group import HELD_ROLES
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.paper.events import Reported, RequestTaken, VenueEvent
from domain.values import ZERO, Side, order_id_of, signed

__all__ = [
    "Audit",
    "ObservedAnswer",
    "ObservedBounds",
    "ObservedCommit",
    "ObservedMark",
    "ObservedOrder",
    "ObservedSend",
    "Violation",
    "check_answers",
    "check_fold",
    "check_journal",
    "check_kept",
    "check_reduce_only",
    "check_sends",
    "check_settled",
    "check_venue",
    "state_hash",
]


class ObservedMark(msgspec.Struct, frozen=True):
    """The high-water mark that is kept outside the journal."""

    seq: int
    chain: str


class ObservedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The reply to one submit: when it was sent and answered (one clock for all), and the journal's last sequence then.

    `outcome`: submitted, rejected, reused (422), not_accepted (429, 503, no connection) or unknown.
    """

    account: str
    client_order_id: str
    outcome: str
    asked_at: int = 0
    told_at: int = 0
    seq: int = 0
    head: int = 0
    replayed: bool = False


class ObservedSend(msgspec.Struct, frozen=True):
    """One request that execution sent to a venue, and the journal's last sequence at that moment."""

    verb: str
    order_id: str
    route_id: str
    head: int


def check_journal(commits: Iterable[ObservedCommit], *, bounds: ObservedBounds | None = None, mark: ObservedMark | None = None) -> Audit:
    """Check everything that the journal alone shows. Read `violations` of the result; the rest of it is input of the checks below."""
    audit = Audit(bounds)
    marked = mark is None or not mark.seq
    for commit in commits:
        audit.take(commit)
        if mark is not None and commit.seq == mark.seq:
            marked = True
            if commit.chain != mark.chain:
                audit.violated("high_water_mark", commit.seq, "the journal has another commit here than the mark")
    if not marked and mark is not None:
        audit.violated("high_water_mark", audit.seq, f"the journal ends before its mark at {mark.seq}: it was restored or truncated")
    return audit


def check_answers(audit: Audit, answers: Sequence[ObservedAnswer]) -> Iterator[Violation]:
    """Check that acknowledged orders are in the journal, replies never change, and no order is there unrequested or after a refusal."""
    by_client: defaultdict[tuple[str, str], list[ObservedAnswer]] = defaultdict(list)
    for answer in answers:
        by_client[answer.account, answer.client_order_id].append(answer)
    for key, replies in by_client.items():
        yield from _answers_of_one(audit, " ".join(key), audit.lines.get(order_id_of(*key)), replies)
    for key in audit.clients.keys() - by_client.keys():
        if audit.lines[audit.clients[key]].order.group_id:
            continue  # an order of a list: see list_audit.py
        yield Violation("asked_for", " ".join(key), "was never submitted by any client")


def _answers_of_one(audit: Audit, where: str, line: ObservedOrder | None, replies: Sequence[ObservedAnswer]) -> Iterator[Violation]:
    final = [answer for answer in replies if answer.outcome in ("submitted", "rejected")]
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
    if line is not None and all(answer.outcome == "not_accepted" for answer in replies):
        yield Violation("no_ghost", where, f"was never accepted, and is in the journal at {line.born}")
    for answer in final:
        before = [other for other in replies if other is not answer and other.asked_at <= answer.told_at]
        if answer.replayed and not any(other.outcome in ("submitted", "rejected", "unknown") for other in before):
            yield Violation("no_ghost", where, "is answered as a repeat, but every request before was refused")
    if line is None and any(answer.outcome == "reused" for answer in replies):
        yield Violation("same_answer", where, "was refused as a reused id, but the id was never used")


def check_sends(audit: Audit, sends: Sequence[ObservedSend]) -> Iterator[Violation]:
    """Check that each route is sent once, a replace only after the venue's first report, and nothing before it is in the journal."""
    sent = Counter(send.route_id for send in sends if send.verb == "new")
    for route_id, times in sent.items():
        if times > 1:
            yield Violation("sent_once", route_id, f"was sent {times} times")
    for send in sends:
        line = audit.lines.get(send.order_id)
        logged = 0 if line is None else line.legs.get(send.route_id, 0) if send.verb == "new" else line.asked.get(send.verb, 0)
        if not 0 < logged <= send.head:
            when = f"journaled at {logged}" if logged else "never journaled"
            yield Violation("logged_before_wire", send.route_id, f"{send.verb} was sent at {send.head}, {when}")
        if send.verb == "replace" and line is not None and not 0 < line.words.get(send.route_id, 0) <= send.head:
            yield Violation("replaced_after_first_word", send.route_id, f"was sent a replace at {send.head}, before its venue had it")


def check_kept(audit: Audit) -> Iterator[Violation]:
    """Check that requests before the venue's first report are kept: a cancel stays open, and the queue takes over the requested terms.

    Not an invariant of `Audit` itself: journals of 0.2.0 and earlier may legally hold both.
    """
    for order_id, line in audit.lines.items():
        for seq, what in line.dropped:
            yield Violation("early_request_is_kept", f"{seq} order {order_id}", what)


def check_venue(audit: Audit, venue: str, events: Sequence[VenueEvent], *, settled: bool) -> Iterator[Violation]:
    """Check that every booked trade is one of the venue's; if `settled`, also the reverse, and that both agree on what still works."""
    reports = [event.report for event in events if isinstance(event, Reported)]
    if [r.report_seq for r in reports] != list(range(1, len(reports) + 1)):
        yield Violation("venue_numbers", venue, "its report numbers have a gap")
    theirs: dict[tuple[str, str], VenueReport] = {}
    for report in reports:
        if report.report is ReportKind.FILL:
            first = theirs.setdefault((venue, report.exec_id), report)
            if settled and _content(first) != _content(report) and (venue, report.exec_id) not in audit.aside:
                yield Violation("venue_trades", venue, f"trade {report.exec_id} was contradicted, and the report was not quarantined")
    ours = {key: order_id for key, order_id in audit.trades.items() if key[0] == venue}
    for key in ours.keys() - theirs.keys():
        yield Violation("venue_trades", venue, f"trade {key[1]} was booked and never made")
    for key in ours.keys() & theirs.keys():
        booked, made = audit.lines[ours[key]].trades[key], theirs[key]
        if (booked.order_id, booked.quantity, booked.price, booked.fee) != _content(made):
            yield Violation("venue_trades", venue, f"trade {key[1]} was booked with other content than at the venue")
    if not settled:
        return
    for key in theirs.keys() - ours.keys() - audit.aside:
        yield Violation("venue_trades", venue, f"trade {key[1]} was made and neither booked nor quarantined")
    busted = {(venue, r.exec_id) for r in reports if r.report is ReportKind.BUST}
    for key in ours.keys() & (busted ^ {key for key, order_id in ours.items() if key in audit.lines[order_id].busted}):
        yield Violation("venue_trades", venue, f"trade {key[1]} was busted on one side only")
    aside = {exec_id for _, exec_id in theirs.keys() & audit.aside - ours.keys()}
    yield from _same_view(audit, venue, _working(events, aside))


def _content(trade: VenueReport) -> tuple[object, ...]:
    return trade.order_id, trade.quantity, trade.price, trade.fee


class _AtVenue(msgspec.Struct):
    """A route in its venue's own journal."""

    order_id: str
    quantity: Decimal
    cum: Decimal = ZERO
    ended: bool = False

    def apply(self, report: VenueReport, *, seen: bool) -> None:
        quantity = report.quantity or ZERO
        match report.report:
            case ReportKind.FILL if not seen:
                self.cum += quantity
            case ReportKind.BUST:
                self.cum -= quantity
            case ReportKind.REPLACED:
                self.quantity = quantity
            case ReportKind.CANCELLED | ReportKind.EXPIRED | ReportKind.REJECTED:
                self.ended = True
        self.ended = self.ended or self.cum >= self.quantity


def _working(events: Iterable[VenueEvent], aside: set[str]) -> dict[str, str]:
    """Return the routes that still work at the venue, with their orders. Quarantined trades are ignored."""
    routes: dict[str, _AtVenue] = {}
    trades = set(aside)
    for event in events:
        match event:
            case RequestTaken():
                routes.setdefault(event.request.route_id, _AtVenue(event.request.order_id, event.request.quantity))
            case Reported(report=report) if (route := routes.get(report.route_id)) is not None and not route.ended:
                route.apply(report, seen=report.exec_id in trades)
                trades.add(report.exec_id)
    return {route_id: route.order_id for route_id, route in routes.items() if not route.ended}


def _same_view(audit: Audit, venue: str, theirs: Mapping[str, str]) -> Iterator[Violation]:
    """Check that the same routes work on both sides; an order in doubt may be either."""
    ours = {
        route.route_id: line.order for line in audit.lines.values() for route in line.order.routes if route.venue == venue and route.live
    }
    for route_id, order in ours.items():
        if route_id not in theirs and not order.closed and order.status is not State.IN_DOUBT:
            yield Violation("venue_view", route_id, f"{order.status} here, and does not work at {venue}")
    for route_id in theirs.keys() - ours.keys():
        yield Violation("venue_view", route_id, f"works at {venue}, and not here")


def check_fold(name: str, live: Mapping[str, object], replayed: Mapping[str, object]) -> Iterator[Violation]:
    """Check that a fold maintained live equals the replay of the whole journal."""
    for key in sorted(live.keys() | replayed.keys()):
        if live.get(key) != replayed.get(key):
            yield Violation("fold_is_replay", f"{name} {key}", f"is {live.get(key)!r:.300}, a replay gives {replayed.get(key)!r:.300}")


def check_settled(audit: Audit, reserved: Iterable[str]) -> Iterator[Violation]:
    """Check that after recovery every order has ended, works at its venue, or is in doubt, and that nothing is reserved."""
    for order_id, line in audit.lines.items():
        order = line.order
        waits = order.status in (State.NEW, State.RISK_CHECKED, State.QUEUED, State.PENDING_CANCEL, State.PENDING_REPLACE)
        silent = order.status is State.ROUTED and not all(route.venue_order_id for route in order.live_routes)
        if (waits and not _may_wait(order)) or silent:
            yield Violation("liveness", f"order {order_id}", f"is still {order.status}")
    for order_id in reserved:
        yield Violation("reservations", f"order {order_id}", "is still reserved")


def _may_wait(order: Order) -> bool:
    """Return whether the order may wait longer: a held leg, a stop that the market has not reached, an opening or closing not come."""
    held = order.role in HELD_ROLES and order.status is State.RISK_CHECKED
    waits = ((order.exclusive or order.trail is not None) and not order.triggered) or order.waits_for_auction
    return held or (waits and order.status is State.QUEUED)


def state_hash(audit: Audit) -> str:
    """Return one hash of the whole journal's result: equal for every replay, on every machine, with every hash seed."""
    orders = hashes.orders_state(line.order for line in audit.lines.values())
    return hashes.state_hash((orders, hashes.positions_state(audit.book.positions.values())))


def check_reduce_only(commits: Iterable[ObservedCommit]) -> Iterator[Violation]:
    """Check that no commit leaves reduce-only orders beyond their position, and that none opens one before its venue could know.

    For journals of writers that cut these orders: older ones did not.
    """
    watch = _ReduceOnly()
    for commit in commits:
        yield from watch.take(commit)


class _ReduceOnly:
    """A separate fold. `_asked`: orders whose venue was asked to cut or cancel them, or that had ended; `_refused`: without success."""

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._held: Counter[tuple[str, str]] = Counter()
        self._asked: set[str] = set()
        self._refused: set[str] = set()

    def take(self, commit: ObservedCommit) -> Iterator[Violation]:
        moved: dict[tuple[str, str], None] = {}
        for event in commit.events:
            if isinstance(event, e.OrderFilled | e.TradeBusted):
                moved[event.account, event.symbol] = None
                yield from self._traded(event, commit.seq)
            if (isinstance(event, e.OrderSubmitted) and event.reduce_only) or event.order_id in self._orders:
                order = self._evolved(event)
                moved[order.account, order.symbol] = None
        for key in moved:
            yield from self._beyond(key, commit.seq)

    def _evolved(self, event: e.OrderEvent) -> Order:
        order = self._orders[event.order_id] = evolve(self._orders.get(event.order_id), event)
        match event:
            case e.CancelRequested() | e.ReplaceRequested():
                self._asked.add(order.order_id)
                self._refused.discard(order.order_id)
            case e.CancelRejected():
                self._refused.add(order.order_id)
        if order.closed:
            self._asked.add(order.order_id)
        return order

    def _traded(self, event: e.OrderFilled | e.TradeBusted, seq: int) -> Iterator[Violation]:
        key = event.account, event.symbol
        moved = signed(event.side, event.quantity)
        before = Decimal(self._held[key])
        if isinstance(event, e.TradeBusted):
            self._held[key] = before - moved  # type: ignore[assignment]
            return
        self._held[key] = before + moved  # type: ignore[assignment]
        surprising = event.late or event.overfill or event.corrects is not None or event.order_id in self._asked
        if event.order_id in self._orders and not surprising and event.quantity > _closes(before, event.side):
            yield Violation(
                "reduce_only",
                str(seq),
                f"order {event.order_id} traded {event.quantity} with {before} held, without a cancel or replace before it",
            )

    def _beyond(self, key: tuple[str, str], seq: int) -> Iterator[Violation]:
        """Check the resting orders. Those with a pending request, or in doubt, wait for a reply."""
        held = Decimal(self._held[key])
        for side in Side:
            resting = [o for o in self._orders.values() if (o.account, o.symbol) == key and o.side is side and not self._waits(o)]
            total = sum((order.leaves_quantity for order in resting), ZERO)
            if total > _closes(held, side):
                yield Violation("reduce_only", str(seq), f"{key[0]} has reduce-only {side} orders for {total} {key[1]} and holds {held}")

    def _waits(self, order: Order) -> bool:
        doubtful = order.status is State.IN_DOUBT and order.order_id in self._asked
        return order.status in (State.PENDING_CANCEL, State.PENDING_REPLACE) or order.order_id in self._refused or doubtful


def _closes(held: Decimal, side: Side) -> Decimal:
    return max(held if side is Side.SELL else -held, ZERO)
