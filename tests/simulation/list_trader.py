"""Clients that place lists: brackets and pairs, asked again until they are answered, and some of them cancelled."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal

import msgspec

from domain.audit.list_audit import ObservedListAnswer
from domain.order.commands import ListTerms, Terms
from domain.order.group import ListType, Role, Trigger, list_id_of
from domain.order.trail import Trail
from domain.values import OrderType, Side, opposite, order_id_of
from tests.simulation import market
from tests.simulation.client_way import ClientWay
from tests.simulation.services import Oms
from tests.simulation.trader import ACCOUNTS
from tests.simulation.world import World

LISTS = 6
PLACED_IN = 4
"""One history of this many has lists."""
OPENING, OPENING_IN = 6, 8
"""How many more lists have a leg that opens a position, and one history of how many has them."""
ASK_AGAIN_S, ASK_AGAIN_MAX = 0.4, 400
BY = "PKLISTS2222222222222"
NEVER = {Side.BUY: Decimal("99.50"), Side.SELL: Decimal("100.50")}
"""By the entry's side, a stop that the market never reaches. One at the touch is reached at once."""

Listed = tuple[ListTerms, list[Terms]]


class ListTrader:
    """Lists of every type, of accounts that may go short and of those that may not, with entries on both sides."""

    def __init__(self, world: World, oms: Callable[[], Oms | None]) -> None:
        self._world = world
        self._random = world.random("lists")
        self._way = ClientWay(world, oms, self._random)
        self.answers: list[ObservedListAnswer] = []

    async def trade(self, horizon_s: float) -> None:
        if self._world.seed % PLACED_IN != PLACED_IN - 1:
            return
        opening = OPENING if self._world.seed % OPENING_IN == OPENING_IN - 1 else 0
        other = self._world.random("opening lists")
        await asyncio.gather(
            self._all(LISTS, horizon_s, self._random, _made),
            self._all(opening, horizon_s / 2, other, _opening),
        )

    async def _all(self, count: int, horizon_s: float, chance: random.Random, make: Callable[[int, random.Random], Listed]) -> None:
        tasks = []
        for number in range(count):
            await asyncio.sleep(chance.random() * horizon_s / count)
            tasks.append(asyncio.create_task(self._one(make(number, random.Random(chance.random())), random.Random(chance.random()))))
        for task in tasks:
            await task

    async def _one(self, made: Listed, chance: random.Random) -> None:
        await self._until_answered(made)
        if chance.random() < 0.3:
            await asyncio.sleep(chance.random() * 3)
            exits = chance.random() < 0.5
            await self._way.ask(lambda oms: _cancelled(oms, made[0].list_id, exits=exits))
        if chance.random() < 0.3:
            await self._until_answered(made)

    async def _until_answered(self, made: Listed) -> None:
        asked, legs = made
        for _ in range(ASK_AGAIN_MAX):
            found = await self._way.ask(lambda oms: oms.lists.submit(asked, legs, None, by=BY))
            if found is not None:
                outcome = "rejected" if found.group.rejected else "submitted"
                self._world.tell("client list %s %s: %s %s", asked.account, asked.client_list_id, outcome, found.seq)
                self.answers.append(ObservedListAnswer(asked.account, asked.client_list_id, outcome, asked.list_id, found.seq))
                return
            await asyncio.sleep(ASK_AGAIN_S * (0.5 + self._random.random()))
        self._world.violated("liveness", f"{asked.account} {asked.client_list_id}", "its list was never answered")


async def _cancelled(oms: Oms, list_id: str, *, exits: bool) -> None:
    members = oms.host.book.members(list_id)
    lead = next((order for order in members.values() if order.group is not None), None)
    if lead is not None:
        await oms.lists.cancel(lead, exits=exits, by=BY)


def _made(number: int, chance: random.Random) -> Listed:
    kind = chance.choice((ListType.BRACKET, ListType.BRACKET, ListType.BRACKET, ListType.OCO, ListType.OTO, ListType.NONE))
    name, quantity = f"l-{number}", Decimal(chance.randint(5, 80)) / 10
    account = chance.choice(ACCOUNTS)
    made = Made(account, name, Side.BUY if chance.random() < 0.65 else Side.SELL, list_id_of(account, name))
    asked = ListTerms(list_id=made.list_id, account=account, client_list_id=name, kind=kind)
    if kind is ListType.OCO:
        reduce = chance.random() < 0.5
        role = Role.ALTERNATIVE if reduce else Role.LEG
        legs = [made.leg(str(n), role, made.side, quantity, price) for n, price in enumerate((market.BID, market.ASK))]
        return msgspec.structs.replace(asked, reduce=reduce), legs
    if kind is ListType.NONE:
        legs = [made.leg(str(n), Role.LEG, side, quantity, market.MID) for n, side in enumerate((made.side, opposite(made.side)))]
        return asked, legs
    asked = msgspec.structs.replace(asked, trigger=chance.choice((Trigger.PARTIAL, Trigger.PARTIAL, Trigger.FULL)))
    entry = made.leg("e", Role.ENTRY, made.side, quantity, chance.choice((made.near, market.MID)))
    if kind is ListType.OTO:
        return asked, [entry, made.leg("c", Role.CLOSING, opposite(made.side), quantity, chance.choice((made.far, market.MID)))]
    strict, out = chance.random() < 0.6, opposite(made.side)
    stop = chance.choice((made.far, NEVER[made.side]))
    legs = [
        entry,
        made.leg("t", Role.TAKE_PROFIT, out, quantity, chance.choice((made.far, market.MID))),
        made.leg("s", Role.STOP_LOSS, out, quantity, None, stop, exclusive=strict),
    ]
    if number % 2:
        legs[-1] = msgspec.structs.replace(legs[-1], order_type=OrderType.TRAILING_STOP, trail=Trail(amount=Decimal("0.05")))
    return msgspec.structs.replace(asked, strict=strict), legs


def _opening(number: int, chance: random.Random) -> Listed:
    """An entry that trades bit by bit, and a leg that follows it: most on the entry's side, some on the other."""
    account, name = market.SHORT, f"o-{number}"
    made = Made(account, name, Side.BUY if chance.random() < 0.8 else Side.SELL, list_id_of(account, name))
    asked = ListTerms(list_id=made.list_id, account=account, client_list_id=name, kind=ListType.OTO)
    side = made.side if chance.random() < 0.8 else opposite(made.side)
    quantities = [Decimal(chance.randint(40, 120)) / 10 for _ in range(2)]
    entry = made.leg("e", Role.ENTRY, made.side, quantities[0], made.near)
    return asked, [entry, made.leg("h", Role.HELD, side, quantities[1], chance.choice((made.near, market.MID)))]


class Made(msgspec.Struct, frozen=True):
    """What all orders of one list share."""

    account: str
    name: str
    side: Side
    list_id: str

    @property
    def near(self) -> Decimal:
        """The price at which the entry trades at once."""
        return market.ASK if self.side is Side.BUY else market.BID

    @property
    def far(self) -> Decimal:
        """The price at which an exit trades at once."""
        return market.BID if self.side is Side.BUY else market.ASK

    def leg(
        self,
        name: str,
        role: Role,
        side: Side,
        quantity: Decimal,
        price: Decimal | None,
        stop: Decimal | None = None,
        *,
        exclusive: bool = False,
    ) -> Terms:
        client_order_id = f"{self.name}-{name}"
        return Terms(
            order_id=order_id_of(self.account, client_order_id),
            account=self.account,
            client_order_id=client_order_id,
            symbol=market.SYMBOL,
            side=side,
            order_type=OrderType.STOP if price is None else OrderType.LIMIT,
            quantity=quantity,
            price=price,
            stop_price=stop,
            group_id=self.list_id,
            role=str(role),
            exclusive=exclusive,
        )
