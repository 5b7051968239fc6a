"""Bugs planted one at a time, to prove that checker and simulation see: each is a plausible mistake, in one place."""

from decimal import Decimal
from typing import Any

from msgspec import structs

import apps.journal.group_commit
import apps.journal.shard_host
import apps.oms.submit
import domain.groups.contingency
import domain.groups.trail_level
import domain.order.decider
import domain.order.order
import domain.order.route_end
import domain.order.venue_reports
from adapters.chain import following
from adapters.codec import encode
from apps.http.app import Refusal
from apps.journal.group_commit import GroupCommit
from apps.journal.list_reactions import ListReactions
from apps.journal.order_repository import OrderRepository
from apps.journal.shard_host import ShardHost
from apps.journal.snapshots import Snapshotter
from apps.journal.subscription import JournalSubscription
from apps.risk.readiness import Readiness
from domain.execution.projection import Executions
from domain.order import transition
from domain.order.auction import Auction
from domain.order.commands import SubmitOrder
from domain.order.events import OrderSubmitted
from domain.order.holdings import Holdings
from domain.order.lifecycle import State
from domain.order.order import Order
from domain.ports import Fenced, Head, Unavailable
from domain.risk.exposure import Exposure
from domain.risk.list_growth import ListGrowth
from domain.values import ZERO, Side
from tests.simulation import planted_algos, planted_wire
from tests.simulation.journal import Disk
from tests.simulation.planting import PLANTS, Patch, plant

__all__ = ["PLANTS", "planted_algos", "planted_wire"]


# The log


@plant("an answer leaves before its commit is appended")
def _() -> list[Patch]:
    async def commit(self: GroupCommit[Any]) -> None:
        _, payload, _ = self._take()
        landed, self._in_flight = self._in_flight, []
        self.durable += len(landed)
        self._advance()
        apps.journal.group_commit._call_all(landed, self.head.seq + 1)
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
                apps.journal.group_commit._call_all(in_flight, self.head.seq + 1)
            raise

    return [(GroupCommit, "_commit", commit)]


@plant("an append whose outcome is unknown counts as refused")
def _() -> list[Patch]:
    good = apps.oms.submit.unavailable

    def unavailable(reason: str, *, unknown: bool) -> Refusal:
        return good(reason, unknown=False)

    return [(apps.oms.submit, "unavailable", unavailable)]


@plant("a writer that was fenced off answers all the same")
def _() -> list[Patch]:
    good = GroupCommit._commit

    async def commit(self: GroupCommit[Any]) -> None:
        try:
            await good(self)
        except Fenced:
            in_flight, self._in_flight = self._in_flight, []
            apps.journal.group_commit._call_all(in_flight, self.head.seq + 1)
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
    good = OrderRepository.recover

    async def recover(self: OrderRepository, journal: Any) -> Head:
        if self.orders.by_id:
            return await journal.head()  # type: ignore[no-any-return]
        return await good(self, journal)

    return [(OrderRepository, "recover", recover)]


# Identity


@plant("a client_order_id that was used makes another order")
def _() -> list[Patch]:
    good = domain.order.decider.decide

    def decide(order: Order | None, command: Any, now_ns: int) -> Any:
        return good(None if isinstance(command, SubmitOrder) else order, command, now_ns)

    return [(apps.journal.shard_host, "decide", decide), (apps.oms.submit.SubmitHandler, "find", lambda self, order_id: None)]


@plant("a trade that comes twice is booked twice")
def _() -> list[Patch]:
    return [(Order, "trade", lambda self, venue, exec_id: None)]


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


@plant("risk answers before it has read the journal", "slow start")
def _() -> list[Patch]:
    return [(Readiness, "shut", None)]


@plant("a released leg of a list counts only for what it works for", "delay", "duplicate")
def _() -> list[Patch]:
    return [(ListGrowth, "_rest", lambda self, group, entry, orders: ZERO)]


@plant("a position that shrinks leaves its reduce-only orders as they are")
def _() -> list[Patch]:
    return [(ShardHost, "_reactions", lambda self, order, facts: ())]


# Folds


@plant("a restart forgets what accounts hold")
def _() -> list[Patch]:
    good = OrderRepository._begin

    async def begin(self: OrderRepository, journal: Any) -> Any:
        began = await good(self, journal)
        self.holdings = Holdings()
        return began

    return [(OrderRepository, "_begin", begin)]


@plant("a follower skips what it cannot have")
def _() -> list[Patch]:
    good = JournalSubscription._hand_over

    async def hand_over(self: JournalSubscription[Any], recorded: Any) -> None:
        await good(self, recorded[1:] if len(recorded) > 2 else recorded)

    return [(JournalSubscription, "_hand_over", hand_over)]


@plant("a follower that comes back applies its last commit again")
def _() -> list[Patch]:
    good_read, good_over = JournalSubscription._read, JournalSubscription._hand_over
    last: dict[int, Any] = {}

    async def hand_over(self: JournalSubscription[Any], recorded: Any) -> None:
        last[id(self)] = (self, recorded[-1:])
        await good_over(self, recorded)

    async def read(self: JournalSubscription[Any]) -> None:
        if (found := last.get(id(self))) is not None and found[0] is self:
            await good_over(self, found[1])
        await good_read(self)

    return [(JournalSubscription, "_hand_over", hand_over), (JournalSubscription, "_read", read)]


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
    def replay(self: OrderRepository, seq: int, events: Any) -> None:
        for event in events:
            self.landed(self.apply(self.find(event.order_id), (event,)), (event,), seq)

    return [(OrderRepository, "_replay", replay)]


# The order


@plant("a cancelled order counts as filled")
def _() -> list[Patch]:
    good = transition.must

    def must(state: State, trigger: str) -> State:
        return State.FILLED if trigger == "venue_cancelled" else good(state, trigger)

    return [(domain.order.route_end, "must", must)]


@plant("quantities are added up as floats")
def _() -> list[Patch]:
    good = domain.order.order._recount

    def recount(order: Order) -> None:
        good(order)
        order.cum_quantity = Decimal(repr(sum(float(t.quantity) for t in order.trades if not t.busted)))

    return [(domain.order.order, "_recount", recount)]


# Lists


@plant("an exit of a list does not notice what the other has traded")
def _() -> list[Patch]:
    return [(domain.groups.contingency, "covered", lambda group, entry, slots: entry.cum_quantity)]


@plant("what follows for a list comes in a commit of its own, if ever")
def _() -> list[Patch]:
    return [(ListReactions, "follow", lambda self, members, facts: ())]


# Openings and closings


@plant("an order for an opening or closing is routed at once")
def _() -> list[Patch]:
    good = Executions._put

    def put(self: Executions, terms: OrderSubmitted, queued_at: int) -> None:
        good(self, structs.replace(terms, auction=None), queued_at)

    return [(Executions, "_put", put), (domain.order.decider, "_is_its_time", lambda order, now: True)]


@plant("an order for an opening or closing is routed although its session is over")
def _() -> list[Patch]:
    return [(Auction, "is_on", lambda self, now_ns: self.at <= now_ns)]


@plant("a trailing stop may loosen")
def _() -> list[Patch]:
    def tighter(side: Side, stop_price: Decimal, than: Decimal | None) -> bool:
        return True

    return [(domain.groups.trail_level, "tighter", tighter), (domain.order.decider, "tighter", tighter)]
