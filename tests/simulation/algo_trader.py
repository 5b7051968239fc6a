"""Clients that place parents: twaps and icebergs, asked again until they are answered, some of them paused, changed and cancelled."""

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from apps.http.app import Refusal
from domain.audit.algo_audit import ObservedAlgoAnswer
from domain.groups.schedule import SECOND
from domain.order.algo import AlgoParams, AlgoTerms, CatchUp, ChildPlace, OnEnd, Parent, Strategy, algo_id_of
from domain.order.algo_commands import AmendAlgo
from domain.order.legs import Candidate
from domain.ports import Unavailable
from domain.values import Side
from tests.simulation import market
from tests.simulation.services import Oms
from tests.simulation.trader import ACCOUNTS
from tests.simulation.world import BEGIN_NS, World

PARENTS: Final = 3
PLACED_IN: Final = 4
"""One history of this many has parents."""
ASK_AGAIN_S, ASK_AGAIN_MAX = 0.4, 400
HTTP_TIMEOUT_S: Final = 2.5
BY: Final = "PKALGOS2222222222222"
ARRIVAL: Final = Candidate(venue="PAPER_A", bid=market.BID, ask=market.ASK)


class AlgoTrader:
    """Parents of an account that may go short, and of one that may not."""

    def __init__(self, world: World, oms: Callable[[], Oms | None]) -> None:
        self._world = world
        self._oms = oms
        self._random = world.random("algos")
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
        await self._asked(lambda oms: _told(oms, made.algo_id, verb))
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random())
            await self._asked(lambda oms: _told(oms, made.algo_id, "resume"))
        await self._until_answered(made)

    async def end(self) -> None:
        """Cancel what is left: the clock of oms may be an hour behind the end of a parent."""
        for answer in list(self.answers):
            await self._asked(lambda oms, answer=answer: _told(oms, answer.algo_id, "cancel"))  # type: ignore[misc]

    async def _until_answered(self, made: AlgoTerms) -> None:
        for _ in range(ASK_AGAIN_MAX):
            found = await self._asked(lambda oms: oms.algos.submit(made, ARRIVAL, lambda: None, by=BY))
            if found is not None:
                outcome = "submitted" if found.parent.denial is None else "rejected"
                self._world.tell("client algo %s %s: %s %s", made.account, made.client_algo_id, outcome, found.seq)
                self.answers.append(ObservedAlgoAnswer(made.account, made.client_algo_id, outcome, made.algo_id, found.seq))
                return
            await asyncio.sleep(ASK_AGAIN_S * (0.5 + self._random.random()))
        self._world.violated("liveness", f"{made.account} {made.client_algo_id}", "its parent was never answered")

    async def _asked(self, ask: Callable[[Oms], Any]) -> Any:
        """One request; None if it was refused, or if its answer is lost on the way."""
        oms, chance = self._oms(), self._random
        await asyncio.sleep(0.0002 + 0.0005 * chance.random())
        if oms is None or not oms.alive or not hasattr(oms, "algos"):
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


async def _answered(ask: Callable[[Oms], Any], oms: Oms) -> Any:
    try:
        return await ask(oms)
    except (Refusal, Unavailable):
        return None


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
            more = parent.quantity + 1
            wanted = AmendAlgo(
                order_id=algo_id, by=BY, quantity=more, limit_price=parent.limit_price, end_at=parent.end_at, params=parent.params
            )
            return await oms.algos.amend(parent, wanted)
    return None
