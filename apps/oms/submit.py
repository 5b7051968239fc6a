"""Submits: one order per client_order_id, permanently; the risk check before the commit; a response only after its acknowledgement."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from apps.http.app import Refusal
from apps.http.problem import untradable as untradable
from apps.journal.shard_host import Landed
from apps.journal.shard_hosts import Hosts
from apps.oms.risk_client import RiskCheck
from apps.runtime.failpoint import failpoint
from domain.instruments import Denial
from domain.order.commands import RiskDecision, SubmitOrder, Terms
from domain.order.order import Order
from domain.order.terms import same_terms
from domain.ports import ShardElsewhere, Unavailable
from domain.shards import Shards

RETRY_AFTER_S: Final = 1


class SubmitResult(msgspec.Struct, frozen=True):
    """Result of a submit: the order and the sequence of its first commit."""

    order: Order
    seq: int
    replayed: bool = False


class SubmitHandler:
    """Handles at most `in_flight_max` submits at once; further ones are refused, not queued."""

    def __init__(
        self,
        hosts: Hosts,
        risk: RiskCheck,
        *,
        forbids: Callable[[Terms], str | None],
        informed: Callable[[], bool],
        open_orders_max: int,
        in_flight_max: int,
    ) -> None:
        """`forbids`: returns the control's reason to refuse an order, or None. `informed`: whether the controls are read up to now."""
        self._hosts = hosts
        self._risk = risk
        self._open_orders_max = open_orders_max
        self._in_flight_max = in_flight_max
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._accounts: Counter[str] = Counter()
        self.stopping = False
        self._forbids = forbids
        self._informed = informed

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    async def submit(self, terms: Terms, denial: Denial | None = None, *, by: str) -> SubmitResult:
        """Submit an order. A known id returns its first result, even if the same terms could no longer trade. `by`: the client's key id.

        Refusal 422 (`denial`: the terms cannot trade now; or the id was used with another body), 429, 503 (outcome not_accepted or
        unknown).
        """
        self.admit(terms.account)
        while (first := self._in_flight.get(terms.order_id)) is not None:
            await asyncio.wait([first])
        known = self.find(terms.order_id)
        if known:
            return await self._repeated(known, terms)
        self.unused(terms)
        if denial:
            await self.proven(terms.account)
            raise untradable(denial)
        return await self._new(terms, by)

    @property
    def shards(self) -> Shards:
        return self._hosts.shards

    def admit(self, account: str) -> None:
        """Check that a submit may be taken now. Refusal 429, 503."""
        host = self._hosts.of(account)
        if self.stopping or not host.ready:
            raise unavailable(host.trouble, unknown=False)
        if not self._informed():
            raise unavailable("controls are not loaded yet; retry", unknown=False)
        if len(self._in_flight) >= self._in_flight_max:
            raise Refusal(429, "overloaded", "too many submits are in flight; retry", headers={"Retry-After": str(RETRY_AFTER_S)})

    def find(self, order_id: str) -> Order | None:
        """Return the order with this id, if there is one. Refusal 503."""
        try:
            return self._hosts.of_id(order_id).find(order_id)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    def unused(self, terms: Terms) -> None:
        """Check that no replace has the id as its name. Refusal 422, 503."""
        try:
            other = self._hosts.of(terms.account).book.replaced_as(terms.account, terms.client_order_id)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble
        if other is not None:
            raise reused(terms.client_order_id, other)

    async def proven(self, account: str) -> None:
        """Wait until the memory of the account's shard is known to match the journal: an unknown id is also read from memory."""
        try:
            await self._hosts.of(account).proven()
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    async def _new(self, terms: Terms, by: str) -> SubmitResult:
        mine = self._in_flight[terms.order_id] = asyncio.get_running_loop().create_future()
        self._accounts[terms.account] += 1
        try:
            decision = self._checked_locally(terms) or await self._risk.check(terms)
            failpoint("after_risk")
            self.unused(terms)
            decision = self.forbidden(terms) or decision  # a control may have changed since; no other task runs before the commit
            command = SubmitOrder(order_id=terms.order_id, by=by, terms=terms, decision=decision)
            landed = await self._hosts.of(terms.account).perform(command)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=trouble.unknown) from trouble
        finally:
            mine.set_result(None)
            del self._in_flight[terms.order_id]
            self._accounts[terms.account] -= 1
        return await self._answered(landed, terms)

    async def _answered(self, landed: Landed, terms: Terms) -> SubmitResult:
        assert landed.order is not None
        if not landed.events:
            return await self._repeated(landed.order, terms)
        return SubmitResult(landed.order, landed.seq)

    def forbidden(self, terms: Terms) -> RiskDecision | None:
        """Return the denial by a control that is in force; None without one."""
        reason = self._forbids(terms)
        return RiskDecision(order_id=terms.order_id, limits_version=0, denial=Denial(reason), source="oms") if reason else None

    def _checked_locally(self, terms: Terms) -> RiskDecision | None:
        """Return oms's own denial: by a control, or by the account's open orders, including those in flight. None otherwise."""
        if forbidden := self.forbidden(terms):
            return forbidden
        return self.too_many(terms)

    def count(self, account: str, orders: int) -> None:
        """Count orders of a list among those in flight; a negative number takes them back."""
        self._accounts[account] += orders

    def too_many(self, terms: Terms) -> RiskDecision | None:
        """Return the denial of an order for which its account has too many open ones, those in flight included."""
        found = self._hosts.of(terms.account).orders.open_count(terms.account) + self._accounts[terms.account]
        if found <= self._open_orders_max:
            return None
        denial = Denial("max_open_orders", str(found), str(self._open_orders_max), "orders")
        return RiskDecision(order_id=terms.order_id, limits_version=0, denial=denial, source="oms")

    async def _repeated(self, order: Order, terms: Terms) -> SubmitResult:
        """Return the first result again, once it is durable."""
        try:
            await self._hosts.of(order.account).settled(order)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=True) from trouble
        if not same_terms(order, terms):
            raise reused(terms.client_order_id, order)
        return SubmitResult(order, order.seqs[0], replayed=True)


def reused(client_order_id: str, order: Order) -> Refusal:
    """Build the 422 refusal of an id that was used before, for `order`."""
    return Refusal(422, "client_order_id_reused", f"client_order_id {client_order_id} was used for another order", order_id=order.order_id)


def unavailable(reason: str | Unavailable, *, unknown: bool) -> Refusal:
    """Build the 503 refusal. `unknown` is not a failure: the caller retries with the same client_order_id."""
    if isinstance(reason, ShardElsewhere):
        owner = {"owner": reason.owner} if reason.owner else {}
        return Refusal(
            503, "shard_unavailable", str(reason), outcome="not_accepted", shard=reason.shard, headers={"Retry-After": "1"}, **owner
        )
    if unknown:
        return Refusal(
            503, "outcome_unknown", f"{reason}; retry with the same client_order_id", outcome="unknown", headers={"Retry-After": "1"}
        )
    return Refusal(503, "journal_unavailable", str(reason), outcome="not_accepted", headers={"Retry-After": "1"})
