"""Bugs planted between us and the venues: their sessions, what is sent to them, and what is made of their answers."""

from typing import Any

import msgspec

import domain.execution.projection
import domain.order.decider
import domain.order.route_end
import domain.order.venue_reports
from apps.exeq import in_doubt
from apps.exeq.executor import Executor
from apps.exeq.in_doubt import InDoubtRoutes
from apps.exeq.kill_switch import ExeqKillSwitch
from apps.exeq.router import Router
from apps.live_gateway.session import Sessions
from apps.oms.report_sessions import VenueSessions
from domain.execution.projection import Executions
from domain.execution.routing import NoRoute
from domain.order.commands import DoubtRoute, ReportKind, RouteOrder
from domain.order.events import OrderRouted
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.paper.book import PaperOrder
from tests.simulation.planting import Patch, plant

# The venue's session


@plant("a hole in a venue's reports is ignored")
def _() -> list[Patch]:
    good = VenueSessions._take

    def take(self: VenueSessions, report: Any) -> None:
        if report.report_seq > self._applied.get(report.venue, 0):
            self._applied[report.venue] = report.report_seq - 1
        good(self, report)

    return [(VenueSessions, "_take", take)]


@plant("an old report is taken again", "duplicate", "contradicts itself", "talks nonsense")
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
    """It takes what an earlier process routed for its own."""
    good, good_send = Executor.apply, Executor._send

    def apply(self: Executor, commits: Any) -> None:
        self._is_past = lambda seq: False
        good(self, commits)

    def send(self: Executor) -> None:
        routed, epoch = self.executions.to_send, self.ownership.epoch or 0
        routed[:] = [msgspec.structs.replace(request, epoch=epoch) for request in routed]
        good_send(self)

    return [(Executor, "apply", apply), (Executor, "_send", send)]


@plant("a route is sent before it is logged")
def _() -> list[Patch]:
    good = Executor._decide

    def decide(self: Executor, order: Any) -> Any:
        command = good(self, order)
        if isinstance(command, RouteOrder):
            fold = Executions()
            fold.apply(order)
            fold.apply(OrderRouted(order_id=order.order_id, at=0, status=State.ROUTED, legs=command.legs, policy=command.policy))
            self._put([("new", fold.to_send[0])])
        return command

    return [(Executor, "_decide", decide)]


@plant("a route that a venue did not answer in time counts as absent", "freeze", "cut", "drop")
def _() -> list[Patch]:
    good = InDoubtRoutes._conclusion

    def conclusion(self: InDoubtRoutes, request: Any, known: bool | None) -> Any:
        return good(self, request, None if known else False) if known is not True else []

    async def asked(self: InDoubtRoutes, request: Any) -> bool | None:
        return False

    return [(InDoubtRoutes, "_conclusion", conclusion), (InDoubtRoutes, "_known", asked), (in_doubt, "NEGATIVES_NEEDED", 1)]


@plant("silence is measured against the clock of another machine", "clock jump", "drop")
def _() -> list[Patch]:
    async def look(self: InDoubtRoutes) -> None:
        before = self._executor._clock.now_ns() - int(in_doubt.ANSWER_DEADLINE_S * 1e9)
        for request in self._executor.executions.unanswered(before):
            self._executor.ask_soon(self._conclusion(request, await self._known(request)))

    return [(InDoubtRoutes, "_round", look)]


@plant("a doubt that a refused cancel took back is not said again")
def _() -> list[Patch]:
    good = InDoubtRoutes._conclusion

    def conclusion(self: InDoubtRoutes, request: Any, known: bool | None) -> Any:
        said = request.route_id in self._doubted
        return [c for c in good(self, request, known) if not (said and isinstance(c, DoubtRoute))]

    return [(InDoubtRoutes, "_conclusion", conclusion)]


@plant("a cancel that was lost is not said again")
def _() -> list[Patch]:
    return [(InDoubtRoutes, "_cancel_again", lambda self: None)]


@plant("an order that oms does not find yet is given up", "append trouble", "journal slow", "two writers")
def _() -> list[Patch]:
    good = Executor._settled

    def settled(self: Executor, command: Any, answer: Any) -> bool:
        if answer.code == "order_not_found":
            answer = msgspec.structs.replace(answer, ok=True)
        return good(self, command, answer)

    return [(Executor, "_settled", settled)]


@plant("what was forbidden since it was routed is sent", "kill switch", "delay", "journal slow", "stale reader")
def _() -> list[Patch]:
    return [(ExeqKillSwitch, "forbids", lambda self, account, symbol, venue=None: None)]


@plant("an order that a venue has and says nothing about is not in doubt", "never answers")
def _() -> list[Patch]:
    return [(in_doubt, "TAKEN", "nothing that a venue says")]


@plant("other terms are sent before the venue has the order", "delay", "answers late")
def _() -> list[Patch]:
    return [(domain.execution.projection, "_is_due", lambda working, asked: True)]


@plant("other terms that wait for the first word are forgotten", "delay", "answers late")
def _() -> list[Patch]:
    good = Executions._replace

    def replace(self: Executions, event: Any) -> None:
        if (working := self.working.get(event.order_id)) is not None and event.leg.route_id in working.answered:
            good(self, event)

    return [(Executions, "_replace", replace)]


# Answers


@plant("a cancel that a venue refused before it had the order is over", "answers late")
def _() -> list[Patch]:
    return [(domain.order.venue_reports, "NOT_YET", frozenset())]


@plant("an order that goes back to the queue keeps the old terms", "delay", "is busy")
def _() -> list[Patch]:
    return [(domain.order.route_end, "applied_in_queue", lambda order, now: ())]


@plant("a fill that crosses a cancel is dropped")
def _() -> list[Patch]:
    good = domain.order.venue_reports.PRICED[ReportKind.FILL]

    def fill(order: Order, *told: Any) -> Any:
        return () if order.status is State.PENDING_CANCEL else good(order, *told)

    return _answers("PRICED", fill=fill)


def _answers(table: str, **changed: Any) -> list[Patch]:
    """Other answers to some kinds of a venue's reports."""
    known = getattr(domain.order.venue_reports, table)
    return [(domain.order.venue_reports, table, {**known, **{ReportKind(kind): answer for kind, answer in changed.items()}})]


@plant("a fill that comes after the end is dropped")
def _() -> list[Patch]:
    good = domain.order.venue_reports.PRICED[ReportKind.FILL]
    return _answers("PRICED", fill=lambda order, *told: () if order.closed else good(order, *told))


@plant("an overfill is cut to what was left")
def _() -> list[Patch]:
    good = domain.order.venue_reports.PRICED[ReportKind.FILL]

    def fill(order: Order, report: Any, *told: Any) -> Any:
        if report.quantity is not None and report.quantity > order.leaves_quantity > 0:
            report = msgspec.structs.replace(report, quantity=order.leaves_quantity)
        return good(order, report, *told)

    return _answers("PRICED", fill=fill)


@plant("a trade of an unknown order is dropped")
def _() -> list[Patch]:
    good = domain.order.venue_reports.reported
    return [(domain.order.decider, "reported", lambda order, report, now: () if order is None else good(order, report, now))]


@plant("a trade that contradicts one that is booked is dropped")
def _() -> list[Patch]:
    return [(domain.order.venue_reports, "_same_trade", lambda seen, report: True)]


@plant("a trade that was taken back stays")
def _() -> list[Patch]:
    return _answers("REPORTS", bust=lambda order, report, now: ())


# Icebergs


@plant("a venue is not told how much of an iceberg it may show")
def _() -> list[Patch]:
    good = Executions._request

    def request(self: Executions, *of: Any) -> Any:
        return msgspec.structs.replace(good(self, *of), display_quantity=None)

    return [(Executions, "_request", request)]


@plant("the route of an iceberg does not record how much is shown")
def _() -> list[Patch]:
    good = Router.decide

    def decide(self: Router, *of: Any, **how: Any) -> Any:
        found = good(self, *of, **how)
        if isinstance(found, NoRoute):
            return found
        return msgspec.structs.replace(found, legs=tuple(msgspec.structs.replace(leg, display_quantity=None) for leg in found.legs))

    return [(Router, "decide", decide)]


@plant("a venue shows all of an iceberg once its first part has traded")
def _() -> list[Patch]:
    good = PaperOrder.next_part

    def next_part(self: PaperOrder) -> Any:
        return self.leaves if self.cum_quantity else good.fget(self)  # type: ignore[attr-defined]

    return [(PaperOrder, "next_part", property(next_part))]


@plant("an iceberg trades more than it shows")
def _() -> list[Patch]:
    return [(PaperOrder, "visible", property(lambda self: self.leaves))]
