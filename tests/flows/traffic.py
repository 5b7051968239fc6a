"""Orders sent in spite of everything: whatever happens, each is asked for again under the same client_order_id until it is answered."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.stack import LiveStack

ACCOUNTS: Final = 4
CONNECTIONS: Final = 12
MOVING: Final = 12
"""Accepted orders beyond the seeds that show that the flow runs."""
SEED: Final = "0.3"
QUANTITY: Final = "0.001"
AGAIN_S: Final = 0.1
ANSWER_WITHIN_S: Final = 120.0
RISK_WAS_SILENT: Final = ("risk_timeout", "risk_error")


@dataclass
class Asked:
    """One order as its client knows it. `tries` past the first are those that got no answer, or 503."""

    body: dict[str, str]
    tries: int = 0
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        return bool(self.answer["status"] == "submitted")


class Traffic:
    """A run of orders of four accounts that always trade at once: a holding each, then buys and sells in turn."""

    def __init__(self, stack: LiveStack, run: str) -> None:
        self.accounts = [f"{run}-{number}" for number in range(ACCOUNTS)]
        self.asked: list[Asked] = []
        self.over = False
        self._stack = stack
        self._url = stack.url("oms")  # it stays the same over a restart

    async def seed(self) -> None:
        """A holding for each account, so that it may sell. Risk may have had no time for a first order: then another one."""
        async with self._client() as http:
            for account in self.accounts:
                for number in itertools.count():
                    asked = Asked(_order(account, f"seed-{number}", "buy", SEED, "45900"))
                    await self._ask(http, asked)
                    if asked.accepted:
                        break
                    assert number < 5, asked.answer
                await self._filled(http, asked.answer["order_id"])

    async def _filled(self, http: httpx.AsyncClient, order_id: str) -> None:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while (await http.get(f"/orders/{order_id}")).json().get("status") != "filled":
                await asyncio.sleep(AGAIN_S)

    async def moving(self) -> None:
        """Until orders of the flow were accepted, beyond the seeds: before that a strike hits nothing."""
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while sum(bool(asked.answer) and asked.accepted for asked in self.asked) < ACCOUNTS + MOVING:
                await asyncio.sleep(AGAIN_S)

    async def flow(self, orders: int, a_second: float) -> None:
        """This many orders, or until it is `over`, from several connections, none sent before its time. Returns when all are answered."""
        work = enumerate(self._orders(orders))
        began = asyncio.get_running_loop().time()

        async def send() -> None:
            async with self._client() as http:
                for number, asked in work:
                    await asyncio.sleep(began + number / a_second - asyncio.get_running_loop().time())
                    await self._ask(http, asked)

        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))

    def _orders(self, count: int) -> Iterator[Asked]:
        for number in itertools.takewhile(lambda _: not self.over, range(count)):
            turn, place = divmod(number, ACCOUNTS)
            side, price = ("sell", "44700") if turn % 2 else ("buy", "45300")
            yield Asked(_order(self.accounts[place], f"o-{number}", side, QUANTITY, price))

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._url, timeout=60, limits=httpx.Limits(max_connections=1))

    async def _ask(self, http: httpx.AsyncClient, asked: Asked) -> None:
        self.asked.append(asked)
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while True:
                asked.tries += 1
                try:
                    answer = await http.post("/orders", json=asked.body)
                except httpx.TransportError:
                    answer = None
                if answer is not None and answer.status_code == 200:
                    asked.answer = answer.json()
                    return
                assert answer is None or answer.status_code in (429, 503), answer.text
                await asyncio.sleep(AGAIN_S)

    @property
    def tries_in_vain(self) -> int:
        return sum(asked.tries - 1 for asked in self.asked)

    def refusals(self) -> set[str]:
        return {asked.answer["reason"] for asked in self.asked if not asked.accepted}


def _order(account: str, name: str, side: str, quantity: str, price: str) -> dict[str, str]:
    terms = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "price": price, "type": "limit"}
    return {"account": account, "client_order_id": name, **terms}


def first_answer(asked: Asked) -> str:
    """Without the flag that says how often it was asked for."""
    return json.dumps({name: value for name, value in asked.answer.items() if name != "replayed"}, sort_keys=True)
