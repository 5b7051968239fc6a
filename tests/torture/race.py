"""Thirty-two clients race for a limit that fits ten orders, over HTTP and in NATS batches at once: never eleven, and never nine."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from adapters.codec import encode
from apps.http.app import fast_path
from apps.http.caller import LOCAL_CALLER
from domain.market.price_history import DailyClose, history_of
from domain.order.commands import Terms
from tests.apps.risk_house import House, Message
from tests.domain.risk.scene import INSTRUMENTS, order

CLIENTS: Final = 32
FITS: Final = 10
TELL_EVERY: Final = 1_000
ROUNDS_A_HOUSE: Final = 100
BATCH_MAX: Final = 6

LIMITS: Final[dict[str, dict[str, Any]]] = {
    "position_limit": {"enabled": {"position_limit"}, "position_notional_max": Decimal(10_000)},
    "concentration_limit": {"enabled": {"concentration_limit"}, "concentration_max": Decimal("0.1")},
    "buying_power": {"enabled": {"buying_power"}, "buying_power_initial": Decimal(5_000)},
    "var_limit": {"enabled": {"var_limit"}, "var_max": Decimal(1_000)},
    "max_open_orders": {"enabled": set(), "open_orders_max": FITS},
}
"""Each fits ten orders of 10 PENNY at 100 and no more. A fall by a tenth is the only scenario, so 1000 USD have a value at risk of 100."""


@dataclass
class Came:
    rounds: int = 0
    approved: int = 0
    ways: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        ways = ", ".join(f"{count} {way}" for way, count in sorted(self.ways.items()))
        return f"{self.rounds} rounds of {CLIENTS} clients: {self.approved} approved, {FITS} in every one ({ways})"


def house_with(limit: str) -> House:
    bounds = LIMITS[limit]
    house = House(**{**bounds, "enabled": frozenset(bounds["enabled"]), "order_quantity_max": Decimal(100)})
    closes = [DailyClose(day, "PENNY", Decimal(price), "race") for day, price in enumerate((100, 90))]
    house.risk.learn(history_of(closes, INSTRUMENTS, 2, returns=1, age_max_days=7))
    return house


async def race(rounds: int, seed: int, tell: Callable[[str], None], make: Callable[[str], House] = house_with) -> Came:
    """AssertionError when other than ten passed, or when what is at stake afterwards is not what ten are worth."""
    came, chance, houses = Came(), random.Random(seed), dict[str, House]()
    for number in range(rounds):
        limit = list(LIMITS)[number % len(LIMITS)]
        if number % (ROUNDS_A_HOUSE * len(LIMITS)) < len(LIMITS):
            houses[limit] = make(limit)
        house = houses[limit]
        account = f"racer-{number}"
        answers = await _round(house, account, chance, came.ways)
        assert sum(answers) == FITS, f"round {number}, {limit}: {sum(answers)} of {len(answers)} passed"
        stake = house.risk.exposure.look(account)
        assert (stake.worst, stake.orders) == (Decimal(1_000 * FITS), FITS), (
            f"round {number}, {limit}: {stake.worst} at stake, {stake.orders} orders"
        )
        came.rounds, came.approved = came.rounds + 1, came.approved + FITS
        if came.rounds % TELL_EVERY == 0:
            tell(f"{came.rounds} of {rounds} races")
    return came


async def _round(house: House, account: str, chance: random.Random, ways: Counter[str]) -> list[bool]:
    """All at once, some alone over HTTP, some together in a batch over NATS, in an order of chance."""
    orders = [order(account, f"{account}-{n}", "buy", "10", "PENNY", "@100") for n in range(CLIENTS)]
    asking = []
    while orders:
        if chance.random() < 0.75:
            asking.append(_over_http(house, orders.pop(), chance.randint(0, 3)))
            ways["over HTTP"] += 1
        else:
            batch = [orders.pop() for _ in range(min(chance.randint(1, BATCH_MAX), len(orders)))]
            asking.append(_over_nats(house, batch, chance.randint(0, 3)))
            ways["in batches"] += len(batch)
    chance.shuffle(asking)
    return [approved for answers in await asyncio.gather(*asking) for approved in answers]


async def _over_http(house: House, terms: Terms, turns: int) -> list[bool]:
    """Through the raw handler, as uvicorn would call it."""
    fields = {
        "account": terms.account,
        "symbol": terms.symbol,
        "side": terms.side,
        "quantity": "10",
        "price": 100,
        "order_id": terms.order_id,
    }
    body, sent = json.dumps(fields).encode(), list[Any]()

    async def receive() -> dict[str, Any]:
        for _ in range(turns):
            await asyncio.sleep(0)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/check", "query_string": b"", "headers": [], "caller": LOCAL_CALLER}
    await fast_path(_nothing_else, {("POST", "/check"): house.door.check})(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    return [json.loads(sent[1]["body"])["approved"]]


async def _nothing_else(*_: Any) -> None:
    raise AssertionError("only /check is asked")


async def _over_nats(house: House, batch: list[Terms], turns: int) -> list[bool]:
    for _ in range(turns):
        await asyncio.sleep(0)
    inbox = f"inbox-{batch[0].order_id}"
    await house.handler.on_request(Message(encode(batch), inbox))  # type: ignore[arg-type]
    (reply,) = [payload for subject, payload in house.sent.messages if subject == inbox]
    house.sent.messages.clear()
    return [one["approved"] for one in json.loads(reply)]
