"""A client's way to oms and back. A request or its answer may be lost on it."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from apps.http.app import Refusal
from domain.ports import Unavailable
from tests.simulation.services import Oms
from tests.simulation.world import World

HTTP_TIMEOUT_S: Final = 2.5


class ClientWay:
    """`oms` is the process that answers at the door now; None without one."""

    def __init__(self, world: World, oms: Callable[[], Oms | None], chance: random.Random) -> None:
        self._world = world
        self._oms = oms
        self._random = chance

    async def ask(self, request: Callable[[Oms], Any]) -> Any:
        """Send one request. Return None if it was refused, or if its answer is lost."""
        oms, chance = self._oms(), self._random
        await asyncio.sleep(0.0002 + 0.0005 * chance.random())
        if oms is None or not oms.alive:
            return None
        deaf = chance.random() < self._world.weather.drop
        asked = oms.run(_answered(request, oms))
        done, _ = await asyncio.wait([asked], timeout=0.02 * chance.random() if deaf else HTTP_TIMEOUT_S)
        if deaf or not done or asked.cancelled():
            return None
        if (error := asked.exception()) is not None:
            self._world.violated("no_500", "oms", repr(error))
            return None
        return asked.result()


async def _answered(request: Callable[[Oms], Any], oms: Oms) -> Any:
    try:
        return await request(oms)
    except (Refusal, Unavailable):
        return None
