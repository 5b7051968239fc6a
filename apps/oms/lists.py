"""Submits and cancels of lists: all orders of a list are accepted together or not at all, in one commit and after one question to risk."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from apps.http.app import Refusal
from apps.journal.list_reactions import Landed
from apps.journal.shard_host import IdTaken
from apps.journal.shard_hosts import Hosts
from apps.oms.list_body import of_leg
from apps.oms.risk_client import RiskCheck
from apps.oms.submit import RETRY_AFTER_S, SubmitHandler, unavailable, untradable
from apps.runtime.failpoint import failpoint
from domain.instruments import Denial
from domain.order.algo import CHILD
from domain.order.commands import CancelList, RecordList, RiskDecision, SubmitOrder, Terms
from domain.order.group import LIST_REJECTED, ListTerms, OrderGroup
from domain.order.index import lead_of
from domain.order.order import Order
from domain.order.terms import same_terms
from domain.ports import Unavailable

IN_FLIGHT_MAX: Final = 256
"""Lists between request and response; one more is refused with 429."""

Members = dict[str, Order]
Recorded = tuple[Landed | IdTaken, Members]


class ListResult(msgspec.Struct, frozen=True):
    """Result of a submit: the list's lead, its orders as they were submitted, and the sequence of their commit."""

    lead: Order
    orders: tuple[Order, ...]
    seq: int
    replayed: bool = False

    @property
    def group(self) -> OrderGroup:
        assert self.lead.group is not None, "a lead has a group"
        return self.lead.group


class ListHandler:
    """Submits lists with the checks of single orders. `client_list_id` names a list for all time, as client_order_id names an order."""

    def __init__(self, hosts: Hosts, intake: SubmitHandler, risk: RiskCheck, open_lists_max: int) -> None:
        """`open_lists_max`: of one account."""
        self._hosts = hosts
        self._intake = intake
        self._risk = risk
        self._open_lists_max = open_lists_max
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._owners: dict[str, str] = {}
        """The accounts of the lists in flight."""

    async def submit(self, asked: ListTerms, legs: Sequence[Terms], denied: tuple[int, Denial] | None, *, by: str) -> ListResult:
        """Submit a list. A known id returns its first result, even if the same orders could no longer trade.

        Refusal 422 (`denied`: this leg cannot trade now; or an id was used with another body), 429, 503.
        """
        self._intake.admit(asked.account)
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            raise Refusal(429, "overloaded", "too many lists are in flight; retry", headers={"Retry-After": str(RETRY_AFTER_S)})
        while (first := self._in_flight.get(asked.list_id)) is not None:
            await asyncio.wait([first])
        if known := self._members(asked.list_id):
            return await self._repeated(known, asked, legs)
        self._unused(legs)
        for number, terms in enumerate(legs):
            if (other := self._intake.find(terms.order_id)) is not None:
                raise _leg_reused(other, terms, number)
        if denied is not None:
            await self._intake.proven(asked.account)
            raise of_leg(untradable(denied[1]), denied[0])
        return await self._new(asked, legs, by)

    async def cancel(self, lead: Order, *, exits: bool, by: str) -> None:
        """Cancel a list; with `exits` also the orders that protect a position. Refusal 409 when it has ended otherwise, 503."""
        group = lead.group
        assert group is not None, "a list has a lead"
        if group.ended and group.ended != "cancelled":
            detail = f"a list that has ended ({group.ended}) cannot be cancelled"
            raise Refusal(409, "illegal_transition", detail, list_id=lead.group_id, state=group.ended)
        try:
            await self._hosts.of(lead.account).perform(CancelList(order_id=lead.order_id, by=by, exits=exits))
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=trouble.unknown) from trouble

    def _unused(self, legs: Sequence[Terms]) -> None:
        """Check that no replace has the id of a leg as its name. Refusal 422, 503."""
        for number, terms in enumerate(legs):
            try:
                self._intake.unused(terms)
            except Refusal as refusal:
                raise of_leg(refusal, number) from None

    def _members(self, list_id: str) -> Members:
        try:
            return self._hosts.of_id(list_id).book.members(list_id)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    async def _new(self, asked: ListTerms, legs: Sequence[Terms], by: str) -> ListResult:
        mine = self._in_flight[asked.list_id] = asyncio.get_running_loop().create_future()
        self._owners[asked.list_id] = asked.account
        self._intake.count(asked.account, len(legs))
        try:
            decisions = self._checked_locally(asked, legs) or await self._risk.check_list(legs)
            failpoint("after_risk")
            self._unused(legs)
            decisions = self._forbidden(legs) or decisions  # a control may have changed since; no other task runs before the commit
            landed, members = await self._recorded(asked, legs, _together(decisions), by)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=trouble.unknown) from trouble
        finally:
            mine.set_result(None)
            del self._in_flight[asked.list_id], self._owners[asked.list_id]
            self._intake.count(asked.account, -len(legs))
        if isinstance(landed, IdTaken):
            number = [terms.order_id for terms in legs].index(landed.order.order_id)
            raise _leg_reused(landed.order, legs[number], number)
        assert landed.order is not None, "a list has a lead"
        return ListResult(landed.order, tuple(members[terms.order_id] for terms in legs), landed.seq)

    async def _recorded(self, asked: ListTerms, legs: Sequence[Terms], decisions: Sequence[RiskDecision], by: str) -> Recorded:
        """Record the list; return the outcome with the orders, which are read while they are certainly in memory."""
        waiting: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        host = self._hosts.of(asked.account)

        def then(outcome: Landed | IdTaken | Unavailable) -> None:
            if waiting.done():
                return
            if isinstance(outcome, Unavailable):
                waiting.set_exception(outcome)
            else:
                waiting.set_result((outcome, host.book.members(asked.list_id)))

        commands = [
            SubmitOrder(order_id=terms.order_id, by=by, terms=terms, decision=decision)
            for terms, decision in zip(legs, decisions, strict=True)
        ]
        rejected = any(not decision.approved for decision in decisions)
        ids = tuple(terms.order_id for terms in legs)
        host.submit_list(commands, RecordList(order_id=ids[0], by=by, list=asked, members=ids, rejected=rejected), then)
        return await waiting

    def _forbidden(self, legs: Sequence[Terms]) -> list[RiskDecision]:
        """Return oms's own decisions if a control forbids one of the orders; else none."""
        found = [self._intake.forbidden(terms) for terms in legs]
        return [own or _approved(terms) for own, terms in zip(found, legs, strict=True)] if any(found) else []

    def _checked_locally(self, asked: ListTerms, legs: Sequence[Terms]) -> list[RiskDecision]:
        if forbidden := self._forbidden(legs):
            return forbidden
        denial = self._intake.too_many(legs[0])
        mine = self._hosts.of(asked.account).orders.open_of(asked.account)
        opened = {order.group_id for order in mine if order.group_id and order.role != CHILD}
        opened |= {list_id for list_id, account in self._owners.items() if account == asked.account}
        if denial is None and len(opened) > self._open_lists_max:
            found = Denial("max_open_lists", str(len(opened)), str(self._open_lists_max), "lists")
            denial = RiskDecision(order_id=legs[0].order_id, limits_version=0, denial=found, source="oms")
        return [denial, *map(_approved, legs[1:])] if denial is not None else []

    async def _repeated(self, members: Members, asked: ListTerms, legs: Sequence[Terms]) -> ListResult:
        """Return the first result again, once it is durable."""
        lead = lead_of(members)
        try:
            await self._hosts.of(asked.account).settled(*members.values())
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=True) from trouble
        assert lead is not None, "a list has a lead"
        group = lead.group
        assert group is not None, "a lead has a group"
        first = [members[slot[0]] for slot in group.slots]
        same = (group.kind, group.trigger, group.strict, group.reduce) == (asked.kind, asked.trigger, asked.strict, asked.reduce)
        if not same or len(first) != len(legs) or not all(map(same_terms, first, legs)):
            detail = f"client_list_id {asked.client_list_id} was used for another list"
            raise Refusal(422, "client_list_id_reused", detail, list_id=asked.list_id)
        return ListResult(lead, tuple(first), lead.seqs[0], replayed=True)


def _approved(terms: Terms) -> RiskDecision:
    return RiskDecision(order_id=terms.order_id, limits_version=0, source="oms")


def _together(decisions: Sequence[RiskDecision]) -> Sequence[RiskDecision]:
    """Return the decisions with every order rejected if one is."""
    if all(decision.approved for decision in decisions):
        return decisions
    denial = Denial(LIST_REJECTED)
    return [msgspec.structs.replace(decision, denial=denial, source="oms") if decision.approved else decision for decision in decisions]


def _leg_reused(order: Order, terms: Terms, number: int) -> Refusal:
    detail = f"client_order_id {terms.client_order_id} was used for another order"
    return of_leg(Refusal(422, "client_order_id_reused", detail, order_id=order.order_id), number)
