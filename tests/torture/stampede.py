"""Thirty-two clients and a limit that fits exactly ten orders: ten pass, never eleven, over HTTP orders and over NATS batches."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from nats.aio.client import Client

from adapters import bus
from adapters.codec import decoder, encode
from domain.order.commands import RiskDecision, Terms
from domain.values import OrderType, Side
from tests.bench.load import Connection
from tests.faults.scene import PATIENT, connected
from tests.live import LiveServer
from tests.process import LiveService
from tests.torture.killswitch import NO_HISTORY

CLIENTS: Final = 32
FITS: Final = 10
QUANTITY, PRICE = Decimal("0.05"), Decimal(50_000)
"""2 500 USD, of which ten are a quarter of the 100 000 that an account begins with."""
BATCH_MAX: Final = 8
HTTP_EVERY: Final = 5
"""One round of this many goes through oms, the others straight to risk."""
ASK_TIMEOUT_S: Final = 10.0
TELL_EVERY: Final = 500

_DECISIONS: Final = decoder(list[RiskDecision])

Tell = Callable[[str], None]


@dataclass
class Came:
    rounds: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        refused = ", ".join(f"{count} {reason}" for reason, count in self.refusals.most_common())
        return f"{self.rounds} stampedes of {CLIENTS}: {FITS} passed in each; refused {refused}"


async def stampede(rounds: int, seed: int, nats: LiveServer, home: Path, tell: Tell = lambda line: None) -> Came:
    """AssertionError when more or fewer than ten of a round pass."""
    came, chance = Came(), random.Random(seed)
    risk = LiveService("risk", nats, home / "risk", changes=NO_HISTORY)
    oms = LiveService("oms", nats, home / "oms", changes=PATIENT)
    async with AsyncExitStack() as opened:
        for service in (risk, oms):
            opened.callback(service.stop)
            service.begin()
        for service in (risk, oms):
            service.ready()
        clients = [await opened.enter_async_context(connected(nats.url)) for _ in range(4)]
        port = urlsplit(oms.url).port
        assert port is not None
        loop = asyncio.get_running_loop()
        doors = [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(CLIENTS)]
        for number in range(rounds):
            account = f"racer-{seed}-{number}"
            passed = await (_over_http(account, doors, came) if number % HTTP_EVERY == 0 else _over_nats(account, clients, chance, came))
            assert passed == FITS, f"{passed} of {CLIENTS} passed for {account}, {FITS} fit: {came.refusals}"
            came.rounds += 1
            if came.rounds % TELL_EVERY == 0:
                tell(f"{came.rounds} of {rounds} stampedes")
    return came


async def _over_http(account: str, doors: list[Connection], came: Came) -> int:
    async def client(number: int) -> bool:
        order = {"account": account, "client_order_id": f"o-{number}", "symbol": "BTCUSDT", "side": "buy", "quantity": str(QUANTITY)}
        status, answer = await doors[number].post(json.dumps({**order, "price": str(PRICE)}).encode())
        assert status == 200, answer
        said = json.loads(answer)
        came.refusals.update([said["reason"]] if "reason" in said else [])
        return bool(said["status"] == "submitted")

    return sum(await asyncio.gather(*(client(number) for number in range(CLIENTS))))


async def _over_nats(account: str, clients: list[Client], chance: random.Random, came: Came) -> int:
    orders = [_terms(account, number) for number in range(CLIENTS)]
    batches: list[list[Terms]] = []
    while orders:
        size = chance.randint(1, BATCH_MAX)
        batches.append(orders[:size])
        orders = orders[size:]
    asked = (bus.request(chance.choice(clients), "risk.check.order", encode(batch), ASK_TIMEOUT_S) for batch in batches)
    decisions = [decision for reply in await asyncio.gather(*asked) for decision in _DECISIONS.decode(reply)]
    came.refusals.update(decision.denial.code for decision in decisions if decision.denial)
    return sum(decision.approved for decision in decisions)


def _terms(account: str, number: int) -> Terms:
    return Terms(
        order_id=f"{account}-{number}",
        account=account,
        client_order_id=f"o-{number}",
        symbol="BTCUSDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=QUANTITY,
        price=PRICE,
    )
