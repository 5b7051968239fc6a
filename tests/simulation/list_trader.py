"""Clients that place lists: brackets and pairs, asked again until they are answered, and some of them cancelled."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from apps.http.app import Refusal
from domain.audit.list_audit import ObservedListAnswer
from domain.order.commands import ListTerms, Terms
from domain.order.group import ListType, Role, Trigger, list_id_of
from domain.ports import Unavailable
from domain.values import OrderType, Side, order_id_of
from tests.simulation import market
from tests.simulation.services import Oms
from tests.simulation.world import World

LISTS = 6
PLACED_IN = 4
"""One history of this many has lists."""
ASK_AGAIN_S, ASK_AGAIN_MAX = 0.4, 400
HTTP_TIMEOUT_S = 2.5
BY = "PKLISTS2222222222222"
FAR = Decimal("99.50")
"""A stop that the market never reaches. One at the bid is reached at once."""

Listed = tuple[ListTerms, list[Terms]]


class ListTrader:
    """Only accounts that may go short, and entries that buy: what an exit may sell is then no question of the journal alone."""

    def __init__(self, world: World, oms: Callable[[], Oms | None]) -> None:
        self._world = world
        self._oms = oms
        self._random = world.random("lists")
        self.answers: list[ObservedListAnswer] = []
        self.waiting = 0

    async def trade(self, horizon_s: float) -> None:
        if self._world.seed % PLACED_IN != PLACED_IN - 1:
            return
        chance = self._random
        tasks = []
        for number in range(LISTS):
            await asyncio.sleep(chance.random() * horizon_s / LISTS)
            tasks.append(asyncio.create_task(self._one(_made(number, random.Random(chance.random())), random.Random(chance.random()))))
        for task in tasks:
            await task

    async def _one(self, made: Listed, chance: random.Random) -> None:
        await self._until_answered(made)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 3)
            exits = chance.random() < 0.5
            await self._asked(lambda oms: _cancelled(oms, made[0].list_id, exits=exits))
        if chance.random() < 0.3:
            await self._until_answered(made)

    async def _until_answered(self, made: Listed) -> None:
        asked, legs = made
        self.waiting += 1
        for _ in range(ASK_AGAIN_MAX):
            found = await self._asked(lambda oms: oms.lists.submit(asked, legs, None, by=BY))
            if found is not None:
                outcome = "rejected" if found.group.rejected else "submitted"
                self._world.tell("client list %s %s: %s %s", asked.account, asked.client_list_id, outcome, found.seq)
                self.answers.append(ObservedListAnswer(asked.account, asked.client_list_id, outcome, asked.list_id, found.seq))
                self.waiting -= 1
                return
            await asyncio.sleep(ASK_AGAIN_S * (0.5 + self._random.random()))
        self._world.violated("liveness", f"{asked.account} {asked.client_list_id}", "its list was never answered")

    async def _asked(self, ask: Callable[[Oms], Any]) -> Any:
        """One request; None if it was refused, or if its answer is lost on the way."""
        oms, chance = self._oms(), self._random
        await asyncio.sleep(0.0002 + 0.0005 * chance.random())
        if oms is None or not oms.alive or not hasattr(oms, "lists"):
            return None
        deaf = chance.random() < self._world.weather.drop
        asked = oms.run(_answered(ask, oms))
        done, _ = await asyncio.wait([asked], timeout=0.02 * chance.random() if deaf else HTTP_TIMEOUT_S)
        if deaf or not done or asked.cancelled():
            return None
        if (error := asked.exception()) is not None:
            self._world.violated("no_500", "oms", repr(error))
            return None
        return asked.result()


async def _answered(ask: Callable[[Oms], Any], oms: Oms) -> Any:
    try:
        return await ask(oms)
    except (Refusal, Unavailable):
        return None


async def _cancelled(oms: Oms, list_id: str, *, exits: bool) -> None:
    members = oms.host.book.members(list_id)
    lead = next((order for order in members.values() if order.group is not None), None)
    if lead is not None:
        await oms.lists.cancel(lead, exits=exits, by=BY)


def _made(number: int, chance: random.Random) -> Listed:
    name, quantity = f"l-{number}", Decimal(chance.randint(5, 80)) / 10
    list_id = list_id_of(market.SHORT, name)
    if chance.random() < 0.3:
        reduce = chance.random() < 0.5
        role = Role.ALTERNATIVE if reduce else Role.LEG
        legs = [_leg(f"{name}-{n}", role, Side.SELL, quantity, price, None, list_id) for n, price in enumerate((market.BID, market.ASK))]
        return ListTerms(list_id=list_id, account=market.SHORT, client_list_id=name, kind=ListType.OCO, reduce=reduce), legs
    strict = chance.random() < 0.6
    take, stop = chance.choice((market.BID, market.MID)), chance.choice((market.BID, FAR))
    legs = [
        _leg(f"{name}-e", Role.ENTRY, Side.BUY, quantity, chance.choice((market.ASK, market.MID)), None, list_id),
        _leg(f"{name}-t", Role.TAKE_PROFIT, Side.SELL, quantity, take, None, list_id),
        _leg(f"{name}-s", Role.STOP_LOSS, Side.SELL, quantity, None, stop, list_id, exclusive=strict),
    ]
    trigger = chance.choice((Trigger.PARTIAL, Trigger.PARTIAL, Trigger.FULL))
    return ListTerms(
        list_id=list_id, account=market.SHORT, client_list_id=name, kind=ListType.BRACKET, trigger=trigger, strict=strict
    ), legs


def _leg(
    name: str,
    role: Role,
    side: Side,
    quantity: Decimal,
    price: Decimal | None,
    stop: Decimal | None,
    list_id: str,
    *,
    exclusive: bool = False,
) -> Terms:
    return Terms(
        order_id=order_id_of(market.SHORT, name),
        account=market.SHORT,
        client_order_id=name,
        symbol=market.SYMBOL,
        side=side,
        order_type=OrderType.STOP if price is None else OrderType.LIMIT,
        quantity=quantity,
        price=price,
        stop_price=stop,
        group_id=list_id,
        role=str(role),
        exclusive=exclusive,
    )
