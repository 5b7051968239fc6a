"""Bugs planted one at a time, to prove that checker and simulation see: each is a mistake that somebody could make, in one place."""

from decimal import Decimal
from typing import Any

import msgspec

import apps.commits
import apps.host
import apps.oms.intake
import domain.actor
import domain.legs
import domain.order
import domain.venue_reports
from adapters.chain import following
from adapters.codec import encode
from apps.bookkeeper import Bookkeeper
from apps.commits import GroupCommit
from apps.exeq import doubts
from apps.exeq.doubts import Doubts
from apps.exeq.executor import Executor
from apps.follower import Follower
from apps.gateway.session import Sessions
from apps.http import Refusal
from apps.oms.sessions import VenueSessions
from apps.risk.gate import Gate
from apps.snapshots import Snapshotter
from domain.commands import DoubtRoute, ReportKind, RouteOrder, SubmitOrder
from domain.events import OrderRouted
from domain.executions import Executions
from domain.lifecycle import State
from domain.order import Order
from domain.ports import Fenced, Head, Unavailable
from domain.risk.exposure import Exposure
from tests.simulation.journal import Disk
from tests.simulation.planting import PLANTS, Patch, plant

__all__ = ["PLANTS"]


# The log


@plant("an answer leaves before its commit is appended")
def _() -> list[Patch]:
    async def commit(self: GroupCommit[Any]) -> None:
        payload, _ = self._take()
        landed, self._in_flight = self._in_flight, []
        self.durable += len(landed)
        self._advance()
        apps.commits._call_all(landed, self.head.seq + 1)
        self.head = await self._journal.append(payload, self.head)

    return [(GroupCommit, "_commit", commit)]


@plant("an append whose outcome is unknown counts as stored")
def _() -> list[Patch]:
    good = GroupCommit._commit

    async def commit(self: GroupCommit[Any]) -> None:
        try:
            await good(self)
        except Unavailable as trouble:
            if trouble.unknown:
                in_flight, self._in_flight = self._in_flight, []
                apps.commits._call_all(in_flight, self.head.seq + 1)
            raise

    return [(GroupCommit, "_commit", commit)]


@plant("an append whose outcome is unknown counts as refused")
def _() -> list[Patch]:
    good = apps.oms.intake.unavailable

    def unavailable(reason: str, *, unknown: bool) -> Refusal:
        return good(reason, unknown=False)

    return [(apps.oms.intake, "unavailable", unavailable)]


@plant("a writer that was fenced off answers all the same")
def _() -> list[Patch]:
    good = GroupCommit._commit

    async def commit(self: GroupCommit[Any]) -> None:
        try:
            await good(self)
        except Fenced:
            in_flight, self._in_flight = self._in_flight, []
            apps.commits._call_all(in_flight, self.head.seq + 1)
            raise

    return [(GroupCommit, "_commit", commit)]


@plant("the journal stores a commit without looking at the one before it")
def _() -> list[Patch]:
    def store(self: Disk, payload: bytes, after: Head) -> Head:
        last = self.head
        head = Head(last.seq + 1, last.n + 1, following(last, payload))
        self.log.store(head, payload)
        return head

    return [(Disk, "store", store)]


@plant("a recovery keeps the memory it had")
def _() -> list[Patch]:
    good = Bookkeeper.recover

    async def recover(self: Bookkeeper, journal: Any) -> Head:
        if self.orders.by_id:
            return await journal.head()  # type: ignore[no-any-return]
        return await good(self, journal)

    return [(Bookkeeper, "recover", recover)]


# Identity


@plant("a client_order_id that was used makes another order")
def _() -> list[Patch]:
    good = domain.actor.decide

    def decide(order: Order | None, command: Any, now_ns: int) -> Any:
        return good(None if isinstance(command, SubmitOrder) else order, command, now_ns)

    return [(apps.host, "decide", decide), (apps.oms.intake.Intake, "_find", lambda self, order_id: None)]


@plant("a trade that comes twice is booked twice")
def _() -> list[Patch]:
    return [(Order, "trade", lambda self, venue, exec_id: None)]


# The venue's session


@plant("a hole in a venue's reports is ignored")
def _() -> list[Patch]:
    good = VenueSessions._take

    def take(self: VenueSessions, report: Any) -> None:
        if report.report_seq > self._applied.get(report.venue, 0):
            self._applied[report.venue] = report.report_seq - 1
        good(self, report)

    return [(VenueSessions, "_take", take)]


@plant("an old report is taken again")
def _() -> list[Patch]:
    good = VenueSessions._take

    def take(self: VenueSessions, report: Any) -> None:
        if report.report_seq <= self._applied.get(report.venue, 0):
            self._host.execute(report, lambda outcome: None)
        else:
            good(self, report)

    return [(VenueSessions, "_take", take)]


@plant("a report that cannot be taken just now counts as taken", "store trouble", "busts", "fills after the end")
def _() -> list[Patch]:
    return [(VenueSessions, "_stored", lambda self, outcome: None)]


@plant("the number of a report counts as applied before its commit is stored")
def _() -> list[Patch]:
    return [(VenueSessions, "restart", lambda self: None)]


@plant("a resend leaves out the first report that was asked for")
def _() -> list[Patch]:
    good = Sessions._resend

    def resend(self: Sessions, host: Any, shard: int, first: int) -> Any:
        return good(self, host, shard, first + 1)

    return [(Sessions, "_resend", resend)]


# Execution


@plant("after a restart everything that was routed is sent again")
def _() -> list[Patch]:
    good = Executor.apply

    def apply(self: Executor, commits: Any) -> None:
        self.is_past = lambda seq: False
        good(self, commits)

    return [(Executor, "apply", apply)]


@plant("a route is sent before it is logged")
def _() -> list[Patch]:
    good = Executor._decide

    def decide(self: Executor, order: Any) -> Any:
        command = good(self, order)
        if isinstance(command, RouteOrder):
            fold = Executions()
            fold.apply(order)
            fold.apply(OrderRouted(order_id=order.order_id, at=0, status=State.ROUTED, legs=command.legs, policy=command.policy))
            self._put("new", fold.to_send[0])
        return command

    return [(Executor, "_decide", decide)]


@plant("a route that a venue did not answer in time counts as absent")
def _() -> list[Patch]:
    good = Doubts._conclusion

    def conclusion(self: Doubts, request: Any, known: bool | None) -> Any:
        return good(self, request, None if known else False) if known is not True else []

    async def asked(self: Doubts, request: Any) -> bool | None:
        return False

    return [(Doubts, "_conclusion", conclusion), (Doubts, "_known", asked), (doubts, "NEGATIVES_NEEDED", 1)]


@plant("silence is measured against the clock of another machine", "clock jump", "drop")
def _() -> list[Patch]:
    async def look(self: Doubts) -> None:
        before = self._executor._clock.now_ns() - int(doubts.ANSWER_DEADLINE_S * 1e9)
        for request in self._executor.executions.unanswered(before):
            self._executor.ask_soon(self._conclusion(request, await self._known(request)))

    return [(Doubts, "_round", look)]


@plant("a doubt that a refused cancel took back is not said again")
def _() -> list[Patch]:
    good = Doubts._conclusion

    def conclusion(self: Doubts, request: Any, known: bool | None) -> Any:
        said = request.route_id in self._doubted
        return [c for c in good(self, request, known) if not (said and isinstance(c, DoubtRoute))]

    return [(Doubts, "_conclusion", conclusion)]


@plant("a cancel that was lost is not said again")
def _() -> list[Patch]:
    return [(Doubts, "_cancel_again", lambda self: None)]


@plant("an order that oms does not find yet is given up", "append trouble", "journal slow", "two writers")
def _() -> list[Patch]:
    good = Executor._settled

    def settled(self: Executor, command: Any, answer: Any) -> bool:
        if answer.code == "order_not_found":
            answer = msgspec.structs.replace(answer, ok=True)
        return good(self, command, answer)

    return [(Executor, "_settled", settled)]


# Risk


@plant("risk checks and does not reserve")
def _() -> list[Patch]:
    return [(Exposure, "reserve", lambda self, order_id, reservation: None)]


@plant("a reservation is released twice")
def _() -> list[Patch]:
    def release(self: Exposure, order_id: str) -> None:
        reservation = self.reservations.pop(order_id, None)
        if reservation is not None:
            self._discount(reservation.open)
            self._discount(reservation.open)

    return [(Exposure, "release", release)]


@plant("a reservation that was never journaled is never released")
def _() -> list[Patch]:
    return [(Exposure, "release_before", lambda self, at_ns: [])]


@plant("risk answers before it has read the journal", "crash", "stale reader")
def _() -> list[Patch]:
    return [(Gate, "shut", None)]


# Folds


@plant("a follower skips what it cannot have")
def _() -> list[Patch]:
    good = Follower._hand_over

    async def hand_over(self: Follower[Any], recorded: Any) -> None:
        await good(self, recorded[1:] if len(recorded) > 2 else recorded)

    return [(Follower, "_hand_over", hand_over)]


@plant("a follower that comes back applies its last commit again")
def _() -> list[Patch]:
    good_read, good_over = Follower._read, Follower._hand_over
    last: dict[int, Any] = {}

    async def hand_over(self: Follower[Any], recorded: Any) -> None:
        last[id(self)] = (self, recorded[-1:])
        await good_over(self, recorded)

    async def read(self: Follower[Any]) -> None:
        if (found := last.get(id(self))) is not None and found[0] is self:
            await good_over(self, found[1])
        await good_read(self)

    return [(Follower, "_hand_over", hand_over), (Follower, "_read", read)]


@plant("a snapshot holds an older state than it says")
def _() -> list[Patch]:
    def keep(self: Snapshotter[Any], store: Any, head: Head) -> str:
        body = encode(self._fold.state())
        store.store(self._name, self._schema, head, getattr(self, "older", body))
        self.older = body  # type: ignore[attr-defined]
        return str(len(body))

    return [(Snapshotter, "_keep", keep)]


@plant("a commit that the order store has seen is applied again")
def _() -> list[Patch]:
    def replay(self: Bookkeeper, seq: int, events: Any) -> None:
        for event in events:
            self.landed(self.apply(self.find(event.order_id), (event,)), (event,), seq)

    return [(Bookkeeper, "_replay", replay)]


# The order


@plant("a cancelled order counts as filled")
def _() -> list[Patch]:
    good = domain.legs.must

    def must(state: State, trigger: str) -> State:
        return State.FILLED if trigger == "venue_cancelled" else good(state, trigger)

    return [(domain.legs, "must", must)]


@plant("quantities are added up as floats")
def _() -> list[Patch]:
    good = domain.order._recount

    def recount(order: Order) -> None:
        good(order)
        order.cum_quantity = Decimal(repr(sum(float(t.quantity) for t in order.trades if not t.busted)))

    return [(domain.order, "_recount", recount)]


@plant("a fill that crosses a cancel is dropped")
def _() -> list[Patch]:
    good = domain.venue_reports.REPORTS[ReportKind.FILL]

    def fill(order: Order, report: Any, now: int) -> Any:
        return () if order.status is State.PENDING_CANCEL else good(order, report, now)

    reports = {**domain.venue_reports.REPORTS, ReportKind.FILL: fill}
    return [(domain.venue_reports, "REPORTS", reports)]


def _reports(**changed: Any) -> list[Patch]:
    """Other answers to some kinds of a venue's reports."""
    return [
        (
            domain.venue_reports,
            "REPORTS",
            {**domain.venue_reports.REPORTS, **{ReportKind(kind): answer for kind, answer in changed.items()}},
        )
    ]


@plant("a fill that comes after the end is dropped")
def _() -> list[Patch]:
    good = domain.venue_reports.REPORTS[ReportKind.FILL]
    return _reports(fill=lambda order, report, now: () if order.closed else good(order, report, now))


@plant("an overfill is cut to what was left")
def _() -> list[Patch]:
    good = domain.venue_reports.REPORTS[ReportKind.FILL]

    def fill(order: Order, report: Any, now: int) -> Any:
        if report.quantity is not None and report.quantity > order.leaves_quantity > 0:
            report = msgspec.structs.replace(report, quantity=order.leaves_quantity)
        return good(order, report, now)

    return _reports(fill=fill)


@plant("a trade of an unknown order is dropped")
def _() -> list[Patch]:
    good = domain.venue_reports.reported
    return [(domain.actor, "reported", lambda order, report, now: () if order is None else good(order, report, now))]


@plant("a trade that contradicts one that is booked is dropped")
def _() -> list[Patch]:
    return [(domain.venue_reports, "_same_trade", lambda seen, report: True)]


@plant("a trade that was taken back stays")
def _() -> list[Patch]:
    return _reports(bust=lambda order, report, now: ())
