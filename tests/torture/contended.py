"""Two oms write one shard, and every order is sent to both at once: one of them wins it, and both give the same answer in the end."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.faults.scene import PATIENT, order, risk_that_says_yes, submitted
from tests.live import LiveServer
from tests.process import LiveService

CLIENTS: Final = 25
EACH_ACCOUNT: Final = 500
"""Orders of one account: none of them is ever closed, and an account may have a thousand open."""
ANSWERED_WITHIN_S: Final = 60.0
APART_MAX_S: Final = 0.004
"""The second copy of an order is sent so much later at most: about as long as a commit takes."""
TELL_EVERY: Final = 1_000

Tell = Callable[[str], None]


@dataclass
class Came:
    """What the two answered: `won` is one that made the order, `repeated` one that found it made, the others were asked again."""

    orders: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    recoveries: list[int] = field(default_factory=list)

    def line(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return f"{self.orders} orders sent to both, each in the journal once: {outcomes}; recoveries {self.recoveries}"


async def contend(count: int, seed: int, nats: LiveServer, home: Path, tell: Tell = lambda line: None) -> Came:
    """`count` orders, each sent to both. AssertionError when one has two winners, or none. Each oms has a data directory of its own."""
    came = Came()
    first, second = (LiveService("oms", nats, home / name, changes=PATIENT) for name in ("first", "second"))
    try:
        async with risk_that_says_yes(nats.url), first.client() as one, second.client() as other:
            first.start()
            second.start()
            numbers = iter(range(count))

            async def client() -> None:
                for n in numbers:
                    await _both(n, random.Random(f"{seed} {n}"), one, other, came.outcomes)
                    came.orders += 1
                    if came.orders % TELL_EVERY == 0:
                        tell(f"{came.orders} of {count} orders: {dict(came.outcomes)}")

            await asyncio.gather(*(client() for _ in range(CLIENTS)))
            came.recoveries = [(await each.get("/stats")).json()["recoveries"] for each in (one, other)]
            assert await submitted(nats) == {f"o-{n}": 1 for n in range(count)}
    finally:
        first.stop()
        second.stop()
    assert came.outcomes["won"] <= count, came.line()
    assert sum(came.recoveries) > 0, "no writer lost a race: it proves nothing"
    return came


async def _both(n: int, chance: random.Random, one: httpx.AsyncClient, other: httpx.AsyncClient, outcomes: Counter[str]) -> None:
    body = order(f"o-{n}", account=f"account-{n // EACH_ACCOUNT}")
    delays = [0.0, chance.uniform(0, APART_MAX_S)]
    chance.shuffle(delays)
    pairs = zip((one, other), delays, strict=True)
    answers = await asyncio.gather(*(_until_answered(client, body, delay, outcomes) for client, delay in pairs))
    assert len({(answer["order_id"], answer["seq"]) for answer in answers}) == 1, answers


async def _until_answered(client: httpx.AsyncClient, body: dict[str, str], delay_s: float, outcomes: Counter[str]) -> dict[str, Any]:
    """200 in the end, from this very oms."""
    await asyncio.sleep(delay_s)
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        for turn in itertools.count(1):
            answer = await client.post("/orders", json=body)
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                outcomes["repeated" if found.get("replayed") else "won"] += 1
                return found
            assert answer.status_code == 503, answer.text
            outcomes[answer.json()["outcome"]] += 1
            await asyncio.sleep(min(0.05 * turn, 0.5))
    raise AssertionError("unreachable")
