"""Clients that place parents: twaps and icebergs, asked again until they are answered, some of them paused, changed and cancelled."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from domain.audit.algo_audit import ObservedAlgoAnswer
from domain.groups.schedule import SECOND
from domain.order.algo import AlgoParams, AlgoTerms, CatchUp, ChildPlace, OnEnd, Parent, Strategy, algo_id_of
from domain.order.algo_commands import AmendAlgo
from domain.order.legs import Candidate
from domain.values import Side
from tests.simulation import market
from tests.simulation.client_way import ClientWay
from tests.simulation.services import Oms
from tests.simulation.trader import ACCOUNTS
from tests.simulation.world import BEGIN_NS, World

PARENTS: Final = 3
PLACED_IN: Final = 4
"""One history of this many has parents."""
ASK_AGAIN_S, ASK_AGAIN_MAX = 0.4, 400
BY: Final = "PKALGOS2222222222222"
ARRIVAL: Final = Candidate(venue="PAPER_A", bid=market.BID, ask=market.ASK)


class AlgoTrader:
    """Parents of an account that may go short, and of one that may not."""

    def __init__(self, world: World, oms: Callable[[], Oms | None]) -> None:
        self._world = world
        self._random = world.random("algos")
        self._way = ClientWay(world, oms, self._random)
        self.answers: list[ObservedAlgoAnswer] = []

    async def trade(self, horizon_s: float) -> None:
        if self._world.seed % PLACED_IN != 1:
            return
        tasks = []
        for number in range(PARENTS):
            await asyncio.sleep(self._random.random() * horizon_s / PARENTS)
            chance = random.Random(self._random.random())
            tasks.append(asyncio.create_task(self._one(self._made(number, chance), chance)))
        for task in tasks:
            await task

    async def _one(self, made: AlgoTerms, chance: random.Random) -> None:
        await self._until_answered(made)
        await asyncio.sleep(chance.random() * 2)
        verb = chance.choice(("pause", "amend", "cancel", "nothing", "nothing"))
        await self._way.ask(lambda oms: _told(oms, made.algo_id, verb))
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random())
            await self._way.ask(lambda oms: _told(oms, made.algo_id, "resume"))
        await self._until_answered(made)

    async def end(self) -> None:
        """Cancel what is left: the clock of oms may be an hour behind the end of a parent."""
        for answer in list(self.answers):
            await self._way.ask(lambda oms, answer=answer: _told(oms, answer.algo_id, "cancel"))  # type: ignore[misc]

    async def _until_answered(self, made: AlgoTerms) -> None:
        for _ in range(ASK_AGAIN_MAX):
            found = await self._way.ask(lambda oms: oms.algos.submit(made, ARRIVAL, lambda: None, by=BY))
            if found is not None:
                outcome = "submitted" if found.parent.denial is None else "rejected"
                self._world.tell("client algo %s %s: %s %s", made.account, made.client_algo_id, outcome, found.seq)
                self.answers.append(ObservedAlgoAnswer(made.account, made.client_algo_id, outcome, made.algo_id, found.seq))
                return
            await asyncio.sleep(ASK_AGAIN_S * (0.5 + self._random.random()))
        self._world.violated("liveness", f"{made.account} {made.client_algo_id}", "its parent was never answered")

    def _made(self, number: int, chance: random.Random) -> AlgoTerms:
        now, name, account = BEGIN_NS + int(self._world.loop.time() * 1e9), f"p-{number}", chance.choice(ACCOUNTS)
        iceberg = chance.random() < 0.3
        side = Side.BUY if chance.random() < 0.65 else Side.SELL
        at_touch = market.ASK if side is Side.BUY else market.BID
        params = AlgoParams(
            seed=chance.randint(0, 1000),
            interval_sec=Decimal("0.3"),
            child=chance.choice(tuple(ChildPlace)),
            variance_pct=Decimal(chance.choice((0, 30))),
            jitter_pct=Decimal(chance.choice((0, 50))),
            catch_up=chance.choice(tuple(CatchUp)),
            on_end=chance.choice(tuple(OnEnd)),
            participation_max_pct=Decimal(20) if chance.random() < 0.3 else None,
            display_quantity=Decimal(1) if iceberg else None,
        )
        return AlgoTerms(
            algo_id=algo_id_of(account, name),
            account=account,
            client_algo_id=name,
            symbol=market.SYMBOL,
            side=side,
            quantity=Decimal(chance.randint(5, 60)) / 10,
            strategy=Strategy.ICEBERG if iceberg else Strategy.TWAP,
            limit_price=chance.choice((market.MID, at_touch)) if iceberg else None,
            end_at=now + chance.randint(2, 6) * SECOND,
            params=params,
        )


async def _told(oms: Oms, algo_id: str, verb: str) -> Parent | None:
    parent = oms.algos.find(algo_id)
    if parent is None:
        return None
    match verb:
        case "pause":
            return await oms.algos.pause(parent, "", keeps_child=parent.version % 2 == 0, by=BY)
        case "resume":
            return await oms.algos.resume(parent, "", by=BY)
        case "cancel":
            return await oms.algos.cancel(parent, by=BY)
        case "amend":
            return await oms.algos.amend(parent, _one_more)
    return None


def _one_more(parent: Parent) -> AmendAlgo:
    kept = {"limit_price": parent.limit_price, "end_at": parent.end_at, "params": parent.params}
    return AmendAlgo(order_id=parent.algo_id, by=BY, quantity=parent.quantity + 1, **kept)  # type: ignore[arg-type]
