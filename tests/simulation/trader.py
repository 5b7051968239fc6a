"""Clients: they submit with ids of their own, ask again when they hear nothing, cancel some, and write down what they were told."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from apps.http.app import Refusal
from apps.oms.cancel import cancel
from apps.oms.replace import NewTerms
from apps.oms.submit import unavailable
from domain.audit.checker import ObservedAnswer
from domain.market.trading_hours import SECOND_NS
from domain.order.auction import Auction
from domain.order.commands import Terms
from domain.order.order import Order
from domain.order.trail import Trail, TrailTrigger
from domain.ports import Unavailable
from domain.values import AT_SESSIONS, OrderType, Side, TimeInForce, order_id_of
from tests.simulation import market
from tests.simulation.client_way import HTTP_TIMEOUT_S
from tests.simulation.services import Oms
from tests.simulation.world import BEGIN_NS, World

ACCOUNTS = ("alice", "bob")
ASK_AGAIN_S = 0.3
ASK_AGAIN_MAX = 400
BY = "PKTRADER222222222222"
"""The key of every client: what it asks for goes through the journal, the folds and the checker."""
EXITS = range(9, 100, 2)
"""Orders that only reduce, when they are of an account that may also go short. The first orders open something to reduce."""
TIMED = range(4, 100, 5)
"""Orders that wait for an opening or closing, in every third seed, if they are good till cancelled."""
ICEBERGS_IN = 3
"""Every third history has icebergs."""
TRAILS = range(4, 100, 7)
"""Orders that are trailing stops, if they are not among those. The market stands still, so they follow it once, and after each replace."""
FINAL = ("submitted", "rejected", "reused")


class Trader:
    """`oms` is the process that answers at the door now; None without one."""

    def __init__(self, world: World, oms: Callable[[], Oms | None], journal_head: Callable[[], int]) -> None:
        self._world = world
        self._oms = oms
        self._head = journal_head
        self._random = world.random("trader")
        self._icebergs = world.random("icebergs")
        self.answers: list[ObservedAnswer] = []
        self.waiting = 0
        self.calm = False

    async def trade(self, orders: int, horizon_s: float) -> None:
        """All of the day's orders, each at its moment, side by side."""
        chance = self._random
        plans = sorted(chance.random() * horizon_s for _ in range(orders))
        loop = asyncio.get_running_loop()
        scripts = []
        for number, at in enumerate(plans):
            script = random.Random(chance.random())
            await asyncio.sleep(max(at - loop.time(), 0))
            scripts.append(asyncio.create_task(self._one(number, script)))
        for finished in scripts:
            await finished

    async def _one(self, number: int, chance: random.Random) -> None:
        terms = self._terms(number, chance)
        asked = [asyncio.create_task(self._until_answered(terms)) for _ in range(2 if chance.random() < 0.1 else 1)]
        if chance.random() < 0.05:
            other = msgspec.structs.replace(terms, quantity=terms.quantity + 1)
            asked.append(asyncio.create_task(self._until_answered(other)))
        if chance.random() < 0.25:
            await asyncio.sleep(chance.random() * 1.5)
            await self._replace(terms, chance)
        if chance.random() < 0.35:
            await asyncio.sleep(chance.random() * 1.5)
            await self.cancel(terms.order_id, attempts=3)
        for answer in asked:
            await answer
        if chance.random() < 0.2:
            await asyncio.sleep(chance.random() * 3)
            await self._until_answered(terms)

    def _terms(self, number: int, chance: random.Random) -> Terms:
        account, name = chance.choice(ACCOUNTS), f"c-{number}"
        flips = account == market.SHORT
        side = Side.BUY if chance.random() < (0.5 if flips else 0.65) else Side.SELL
        kind = OrderType.MARKET if chance.random() < 0.2 else OrderType.LIMIT
        touch = market.ASK if side is Side.BUY else market.BID
        price = None if kind is OrderType.MARKET else touch if chance.random() < 0.7 else market.MID
        lived = TimeInForce.GTC if chance.random() < 0.75 else chance.choice((TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD))
        expire_at = BEGIN_NS + int((self._world.loop.time() + chance.random() * 4) * 1e9) if lived is TimeInForce.GTD else None
        terms = Terms(
            order_id=order_id_of(account, name),
            account=account,
            client_order_id=name,
            symbol=market.SYMBOL,
            side=side,
            order_type=kind,
            quantity=Decimal(chance.randint(1, 100 if flips else 140 if side is Side.BUY else 60)) / 10,
            price=price,
            time_in_force=lived,
            expire_at=expire_at,
            priority=chance.randint(0, 2),
        )
        if self._world.seed % 3 == 0 and number in TIMED and lived is TimeInForce.GTC:
            terms = _timed(terms, number, BEGIN_NS + int(self._world.loop.time() * 1e9))
        if flips and number in EXITS:
            terms = _exit(terms)
        elif number in TRAILS and terms.auction is None:
            terms = _trailing(terms, number)
        return self._hidden(terms) if self._world.seed % ICEBERGS_IN == ICEBERGS_IN - 1 else terms

    def _hidden(self, terms: Terms) -> Terms:
        """Half of the orders that may rest show only a part of themselves."""
        rests = terms.price is not None and terms.time_in_force in (TimeInForce.GTC, TimeInForce.GTD)
        most = int(terms.quantity * 10) - 1
        if not rests or most < 1 or self._icebergs.random() < 0.5:
            return terms
        return msgspec.structs.replace(terms, display_quantity=Decimal(self._icebergs.randint(1, most)) / 10)

    async def _until_answered(self, terms: Terms) -> None:
        self.waiting += 1
        for _ in range(ASK_AGAIN_MAX):
            if await self._submit(terms) in FINAL:
                self.waiting -= 1
                return
            await asyncio.sleep(ASK_AGAIN_S * (0.5 + self._random.random()))
        self._world.violated("liveness", f"{terms.account} {terms.client_order_id}", "its submit was never answered")

    async def _submit(self, terms: Terms) -> str:
        asked_at = self._world.steady_ns()
        outcome, seq, replayed = await self._asked(lambda oms: oms.intake.submit(terms, by=BY))
        answer = ObservedAnswer(
            account=terms.account,
            client_order_id=terms.client_order_id,
            outcome=outcome,
            asked_at=asked_at,
            told_at=self._world.steady_ns(),
            seq=seq,
            head=self._head(),
            replayed=replayed,
        )
        self.answers.append(answer)
        self._world.tell("client %s %s %s x%s: %s %s", terms.account, terms.client_order_id, terms.side, terms.quantity, outcome, seq or "")
        return outcome

    async def _replace(self, terms: Terms, chance: random.Random) -> None:
        """PATCH /orders/{id}: more or less of it, or another price; asked again like every other request."""
        quantity = Decimal(chance.randint(1, 140)) / 10 if chance.random() < 0.7 else None
        price = chance.choice((market.BID, market.MID, market.ASK)) if terms.price is not None and chance.random() < 0.6 else None
        trail = Decimal(chance.randint(1, 9)) / 100 if terms.trail is not None else None
        if quantity is None and price is None and trail is None:
            return
        name = f"{terms.client_order_id} {quantity} @ {price}" + ("" if trail is None else f" trail {trail}")
        asked = NewTerms(quantity, price, None, name, trail_amount=trail)
        for _ in range(3):
            outcome, *_ = await self._asked(lambda oms: _replaced(oms, terms.order_id, asked))
            self._world.tell("client replaces %s by %s @%s: %s", terms.order_id, quantity, price, outcome)
            if outcome in ("done", "refused", "reused"):
                return
            await asyncio.sleep(ASK_AGAIN_S)

    async def cancel(self, order_id: str, *, attempts: int) -> None:
        """DELETE /orders/{id}, until oms has said yes or no, or for this many times."""
        for _ in range(attempts):
            outcome, *_ = await self._asked(lambda oms: _cancelled(oms, order_id))
            self._world.tell("client cancels %s: %s", order_id, outcome)
            if outcome in ("done", "refused"):
                return
            await asyncio.sleep(ASK_AGAIN_S)

    async def _asked(self, ask: Callable[[Oms], Any]) -> tuple[str, int, bool]:
        """One request and what came of it. The way there and back may fail; a request whose answer is lost has unknown outcome."""
        oms, chance, weather = self._oms(), self._random, self._world.weather
        await asyncio.sleep(0.0002 + 0.0005 * chance.random())
        if oms is None or not oms.alive:
            return "not_accepted", 0, False
        deaf = chance.random() < weather.drop
        asked = oms.run(_answered(ask, oms))
        done, _ = await asyncio.wait([asked], timeout=0.02 * chance.random() if deaf else HTTP_TIMEOUT_S)
        if deaf:
            self._world.fired("client gone")
        if deaf or not done or asked.cancelled():
            return "unknown", 0, False
        if (error := asked.exception()) is not None:
            self._world.violated("no_500", "oms", repr(error))
            return "unknown", 0, False
        found: tuple[str, int, bool] = asked.result()
        return found


def _exit(terms: Terms) -> Terms:
    """A small reduce-only order that rests, while others of the account move the position under it. No chance is drawn for it."""
    some = (terms.quantity // 4 + 1) / 2
    resting = msgspec.structs.replace(terms, order_type=OrderType.LIMIT, price=market.MID, quantity=some, reduce_only=True)
    return msgspec.structs.replace(resting, time_in_force=TimeInForce.GTC, expire_at=None, auction=None)


def _timed(terms: Terms, number: int, now_ns: int) -> Terms:
    """An order for a session that opens or closes within 1.5 s, and is over a second or a minute later. No chance is drawn for it."""
    at = now_ns + number % 4 * SECOND_NS // 2
    session = Auction("PAPER_A", at, at + (SECOND_NS if number % 2 else 60 * SECOND_NS))
    return msgspec.structs.replace(terms, time_in_force=AT_SESSIONS[number % 2], auction=session)


def _trailing(terms: Terms, number: int) -> Terms:
    """A trailing stop. Each third one is reached at once, by the stop price that it begins with. No chance is drawn for it."""
    touch = market.ASK if terms.side is Side.BUY else market.BID
    trail = Trail(
        amount=Decimal(number % 5 + 1) / 100,
        trigger=TrailTrigger.LAST if number % 5 == 4 else TrailTrigger.TOUCH,
        limit_offset=Decimal("0.02") if number % 2 else None,
        activation_price=touch if number % 4 == 0 else None,
    )
    asked = msgspec.structs.replace(terms, order_type=OrderType.TRAILING_STOP, price=None, stop_price=None if number % 3 else touch)
    return msgspec.structs.replace(asked, trail=trail, time_in_force=TimeInForce.GTC, expire_at=None)


async def _answered(ask: Callable[[Oms], Any], oms: Oms) -> tuple[str, int, bool]:
    """An answer as the client sees it: the words and codes of HTTP."""
    try:
        answer = await ask(oms)
    except Refusal as refusal:
        if refusal.status == 422:
            return "reused", 0, False
        unknown = refusal.status == 503 and refusal.extra.get("outcome") == "unknown"
        return ("unknown" if unknown else "refused" if refusal.status in (404, 409) else "not_accepted"), 0, False
    if isinstance(answer, int):
        return "done", answer, False
    return ("rejected" if answer.order.refused else "submitted"), answer.seq, answer.replayed


async def _cancelled(oms: Oms, order_id: str) -> int:
    return (await cancel(oms.host, _found(oms, order_id), by=BY)).seq


async def _replaced(oms: Oms, order_id: str, asked: NewTerms) -> int:
    order = _found(oms, order_id)
    await oms.replaces.replace(order, asked, by=BY)
    return order.seqs[-1] if order.seqs else 0


def _found(oms: Oms, order_id: str) -> Order:
    """The order that a request names, as the routes look it up."""
    if not oms.host.ready:
        raise Refusal(503, "journal_unavailable", "recovering", outcome="not_accepted")
    try:
        order = oms.host.find(order_id)
    except Unavailable as trouble:
        raise unavailable(str(trouble), unknown=False) from trouble
    if order is None:
        raise Refusal(404, "order_not_found", "there is no such order")
    return order
