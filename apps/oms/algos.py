"""Parents of algos: submitted, changed, paused and ended for clients; their children submitted for exeq."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Final

import msgspec

from apps.http.app import Refusal
from apps.journal.shard_hosts import Hosts
from apps.oms.risk_client import RiskCheck
from apps.oms.submit import RETRY_AFTER_S, SubmitHandler, unavailable, untradable
from apps.runtime.failpoint import failpoint
from domain.groups.parent import AlgoRefused, is_committed
from domain.instruments import Denial
from domain.order import algo as a
from domain.order import algo_commands as ac
from domain.order.commands import AlgoCommand, RiskDecision, Terms
from domain.order.legs import Candidate
from domain.ports import Unavailable
from domain.values import OrderType, Side, derived_id

IN_FLIGHT_MAX: Final = 256
"""Parents that are being submitted or changed; one more is refused with 429."""

CODES: Final = {
    "illegal_transition": "a parent that is {state} cannot do this",
    "quantity_committed": "the quantity has traded already, or is in an order that may trade",
}


class AlgoResult(msgspec.Struct, frozen=True):
    """Result of a submit: the parent, and the sequence of its first commit."""

    parent: a.Parent
    seq: int
    replayed: bool = False


class AlgoHandler:
    """Submits and changes parents. `client_algo_id` names a parent for all time, as client_order_id names an order."""

    def __init__(self, hosts: Hosts, intake: SubmitHandler, risk: RiskCheck, open_max: int) -> None:
        """`open_max`: parents of one account that have not ended."""
        self._hosts = hosts
        self._intake = intake
        self._risk = risk
        self._open_max = open_max
        self._in_flight: dict[str, asyncio.Future[None]] = {}
        self._accounts: dict[str, str] = {}
        """The accounts of the parents in flight."""

    async def submit(self, terms: a.AlgoTerms, arrival: Candidate | None, check: Callable[[], None], *, by: str) -> AlgoResult:
        """Submit a parent. A known id returns its first result, even if the same terms could no longer trade.

        `check` raises the refusal of terms that cannot trade now. Refusal 409 `client_algo_id_reused`, 422, 429, 503.
        """
        self._intake.admit(terms.account)
        async with self._alone(terms.algo_id):
            if (known := self.find(terms.algo_id)) is not None:
                return await self._repeated(known, terms)
            await self._intake.proven(terms.account)
            check()
            self._accounts[terms.algo_id] = terms.account
            try:
                decision = await self._decision(question(terms))
                found = await self._perform(ac.SubmitAlgo(order_id=terms.algo_id, by=by, terms=terms, decision=decision, arrival=arrival))
            finally:
                del self._accounts[terms.algo_id]
        return AlgoResult(found, found.seqs[0])

    @contextlib.asynccontextmanager
    async def _alone(self, algo_id: str) -> AsyncIterator[None]:
        """Wait until no other request submits or changes the parent, and let none begin meanwhile. Refusal 429."""
        if len(self._in_flight) >= IN_FLIGHT_MAX:
            raise Refusal(429, "overloaded", "too many algos are in flight; retry", headers={"Retry-After": str(RETRY_AFTER_S)})
        while (first := self._in_flight.get(algo_id)) is not None:
            await asyncio.wait([first])
        mine = self._in_flight[algo_id] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            mine.set_result(None)
            del self._in_flight[algo_id]

    def find(self, algo_id: str) -> a.Parent | None:
        """Return any parent. Refusal 503."""
        try:
            return self._hosts.of_id(algo_id).book.parents.find(algo_id)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=False) from trouble

    async def _decision(self, asked: Terms) -> RiskDecision:
        """Ask risk, unless oms refuses by itself."""
        if (own := self._intake.forbidden(asked) or self._too_many(asked)) is not None:
            return own
        try:
            decision = await self._risk.check(asked)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=trouble.unknown) from trouble
        failpoint("after_risk")
        return self._intake.forbidden(asked) or decision  # a control may have changed since; no other task runs before the commit

    def _too_many(self, asked: Terms) -> RiskDecision | None:
        if asked.replaces:
            return None
        waiting = sum(account == asked.account for algo_id, account in self._accounts.items() if algo_id != asked.order_id)
        found = self._hosts.of(asked.account).book.parents.open_count(asked.account) + waiting + 1
        if found <= self._open_max:
            return None
        denial = Denial("max_open_algos", str(found), str(self._open_max), "algos")
        return RiskDecision(order_id=asked.order_id, limits_version=0, denial=denial, source="oms")

    async def _repeated(self, parent: a.Parent, terms: a.AlgoTerms) -> AlgoResult:
        """Return the first result again, once it is durable."""
        await self.settled(parent, unknown=True)
        if not same_terms(parent.asked, terms):
            detail = f"client_algo_id {terms.client_algo_id} was used for another algo"
            raise Refusal(409, "client_algo_id_reused", detail, algo_id=terms.algo_id)
        return AlgoResult(parent, parent.seqs[0], replayed=True)

    async def settled(self, *parents: a.Parent, unknown: bool = False) -> None:
        """Wait until everything these parents show is durable. Refusal 503; `unknown`: whether the request may have taken effect."""
        try:
            for host in dict.fromkeys(self._hosts.of(parent.account) for parent in parents) or self._hosts.all:
                await host.parents.settled(*(parent for parent in parents if self._hosts.of(parent.account) is host))
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=unknown) from trouble

    async def _perform(self, command: AlgoCommand) -> a.Parent:
        """Refusal 409, 503."""
        try:
            found = await self._hosts.of_id(command.order_id).parents.perform(command)
        except Unavailable as trouble:
            raise unavailable(trouble, unknown=trouble.unknown) from trouble
        if isinstance(found, AlgoRefused):
            raise _refusal(command.order_id, found)
        return found

    async def pause(self, parent: a.Parent, reason: str, *, keeps_child: bool, by: str) -> a.Parent:
        """Refusal 409, 503."""
        command = ac.PauseAlgo(order_id=parent.algo_id, by=by, source="client", reason=reason or "requested", keeps_child=keeps_child)
        return await self._perform(command)

    async def resume(self, parent: a.Parent, reason: str, *, by: str) -> a.Parent:
        """Refusal 409, 503; 422 when a control forbids the parent to trade."""
        if (own := self._intake.forbidden(question(parent.asked))) is not None and own.denial is not None:
            raise untradable(own.denial)
        return await self._perform(ac.ResumeAlgo(order_id=parent.algo_id, by=by, source="client", reason=reason))

    async def cancel(self, parent: a.Parent, *, by: str) -> a.Parent:
        """Refusal 409, 503."""
        return await self._perform(ac.CancelAlgo(order_id=parent.algo_id, by=by))

    async def amend(self, parent: a.Parent, change: Callable[[a.Parent], ac.AmendAlgo]) -> a.Parent:
        """Change a parent's terms. Risk is asked if they may weigh more. Refusal 409, 422, 429, 503.

        `change` returns all terms as they are to be, from the present ones. It is called while no other change is made: none is lost.
        """
        async with self._alone(parent.algo_id):
            parent = self.find(parent.algo_id) or parent
            wanted = change(parent)
            if parent.state in a.LIVE and (asked := _asked_of_change(parent, wanted)) is not None:
                decision = await self._decision(asked)
                if decision.denial is not None:
                    raise untradable(decision.denial)
                wanted = msgspec.structs.replace(wanted, decision=decision)
            return await self._perform(wanted)


def _asked_of_change(parent: a.Parent, wanted: ac.AmendAlgo) -> Terms | None:
    """Return what risk is asked about a change; None if nothing weighs more.

    It is what no child has. At a looser price it is also what children have: if they end, that would trade at the new price.
    """
    quantity = parent.free_quantity + wanted.quantity - parent.quantity
    if _is_looser(parent, wanted.limit_price):
        quantity += parent.working_quantity + parent.doubtful_quantity
    elif wanted.quantity <= parent.quantity and wanted.limit_price == parent.limit_price:
        return None
    if not quantity:
        return None
    asked = _question(parent.asked, quantity, wanted.limit_price)
    return msgspec.structs.replace(asked, order_id=amend_id(parent), replaces=parent.algo_id)


def _is_looser(parent: a.Parent, limit_price: Decimal | None) -> bool:
    """Return whether a parent may trade at worse prices with this limit; None is no limit."""
    if limit_price is None or parent.limit_price is None:
        return limit_price is None and parent.limit_price is not None
    return limit_price > parent.limit_price if parent.side is Side.BUY else limit_price < parent.limit_price


def check_quantity(parent: a.Parent, quantity: Decimal) -> None:
    """Check that a parent may be changed to a quantity. Refusal 409."""
    if parent.state in a.LIVE and is_committed(parent, quantity):
        raise _refusal(parent.algo_id, AlgoRefused("quantity_committed", parent.state))


def _refusal(algo_id: str, refused: AlgoRefused) -> Refusal:
    return Refusal(409, refused.code, CODES[refused.code].format(state=refused.state), algo_id=algo_id, state=refused.state)


def amend_id(parent: a.Parent) -> str:
    """Return the id under which risk reserves what a change may add."""
    return derived_id("amend", parent.algo_id, str(parent.version))


def question(terms: a.AlgoTerms) -> Terms:
    """Return the terms in which risk is asked about a parent's full quantity."""
    return _question(terms, terms.quantity, terms.limit_price)


def _question(terms: a.AlgoTerms, quantity: Decimal, limit_price: Decimal | None) -> Terms:
    return Terms(
        order_id=terms.algo_id,
        account=terms.account,
        client_order_id=terms.client_algo_id,
        symbol=terms.symbol,
        side=Side(terms.side),
        order_type=OrderType.MARKET if limit_price is None else OrderType.LIMIT,
        quantity=quantity,
        price=limit_price,
        group_id=terms.algo_id,
        role=a.PARENT,
    )


def same_terms(first: a.AlgoTerms, again: a.AlgoTerms) -> bool:
    """Return whether a repeated submit has the terms of the first one. What was made here is not compared."""
    return _asked(first) == _asked(again)


def _asked(terms: a.AlgoTerms) -> a.AlgoTerms:
    params = msgspec.structs.replace(terms.params, seed=0) if terms.seeded else terms.params
    return msgspec.structs.replace(terms, params=params, end_at=None if terms.time_in_force == "day" else terms.end_at)
