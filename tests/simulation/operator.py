"""People with a kill switch: they throw it, are told who obeys, and arm it again after a while. What they were told must be true."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from domain.order.commands import VenueRequest
from domain.risk.controls import Armed, ControlEvent, KillThrown, SymbolBlocked, SymbolUnblocked, scopes_of
from tests.simulation import market
from tests.simulation.services import RiskService
from tests.simulation.world import World

BLOCK = f"block:{market.SYMBOL}"
SCOPES = ("all", "account:alice", "account:bob", f"symbol:{market.SYMBOL}", "venue:PAPER_A", BLOCK)
ANSWER_S = 3.5
ASK_AGAIN_S = 0.3
ARM_AGAIN_MAX = 200

Make = Callable[[int], ControlEvent]


class Operator:
    """`obeyed`: scopes of which nothing may be sent now, as a service acknowledged. One person is `busy` with a scope at a time."""

    def __init__(self, world: World, risk: Callable[[], RiskService]) -> None:
        self._world = world
        self._risk = risk
        self.obeyed: set[str] = set()
        self.busy: set[str] = set()

    async def throw(self, scope: str) -> bool:
        """One request. True when it is stored, as far as the operator knows."""
        kind: Any = SymbolBlocked if scope == BLOCK else KillThrown
        what = {"symbol": market.SYMBOL} if scope == BLOCK else {"scope": scope}
        obeyed = await self._asked(lambda version: kind(version=version, at=1, who="ann", reason="test", **what))
        self._world.tell("operator throws %s: %s", scope, obeyed)
        if obeyed is not None and "unknown" not in obeyed.values():
            self.obeyed.add(scope)
        return obeyed is not None

    async def arm(self, scope: str) -> None:
        """Until it is done: who was not told may have been heard all the same."""
        self.obeyed.discard(scope)
        kind: Any = SymbolUnblocked if scope == BLOCK else Armed
        what = {"symbol": market.SYMBOL} if scope == BLOCK else {"scope": scope, "token": "t"}
        for _ in range(ARM_AGAIN_MAX):
            if await self._asked(lambda version: kind(version=version, at=1, who="bob", reason="test", **what)) is not None:
                self._world.tell("operator arms %s", scope)
                return
            await asyncio.sleep(ASK_AGAIN_S)
        self._world.violated("liveness", f"the switch {scope}", "was never armed again")

    async def _asked(self, make: Make) -> Mapping[str, str] | None:
        """POST to risk: durable, and who obeys. None when there is no answer, or none that says so."""
        risk = self._risk()
        if not risk.alive or not hasattr(risk, "control_log"):
            return None
        asked = risk.run(_recorded(risk, make))
        await asyncio.wait([asked], timeout=ANSWER_S)
        if not asked.done() or asked.cancelled() or asked.exception() is not None:
            return None
        found: Mapping[str, str] = asked.result()
        return found

    def seen(self, request: VenueRequest) -> None:
        """Something new leaves for a venue."""
        scopes = (*scopes_of(request.account, request.symbol, request.venue), f"block:{request.symbol}")
        for scope in self.obeyed.intersection(scopes):
            self._world.violated("obeyed", request.route_id, f"was sent though {scope} is forbidden, and all services obey")


async def _recorded(risk: RiskService, make: Make) -> Mapping[str, str]:
    stored = await risk.control_log.record(make)
    return await risk.obeying.of(stored.seq)
