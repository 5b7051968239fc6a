"""The `eventsourcing` library as its guide has it: aggregates and an application over its PostgreSQL recorder, behind FastAPI.

Each command is one save, which is one transaction; the life is submit, route, fill. A thread pool carries its synchronous calls.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import uvicorn
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from fastapi import FastAPI

from tests.bench.peers.body import Submit

THREADS = 16


class Order(Aggregate):
    """One order. Its id follows from the client's, so a repeated submit meets the first."""

    @event("Submitted")
    def __init__(self, account: str, client_order_id: str, symbol: str, side: str, quantity: Decimal, price: Decimal) -> None:
        self.account, self.client_order_id, self.symbol, self.side = account, client_order_id, symbol, side
        self.quantity, self.price = quantity, price
        self.status = "queued"

    @staticmethod
    def create_id(client_order_id: str, **_: Any) -> UUID:
        return uuid5(NAMESPACE_URL, f"/orders/{client_order_id}")

    @event("Routed")
    def route(self, venue: str) -> None:
        self.status = "routed"

    @event("Filled")
    def fill(self, quantity: Decimal, price: Decimal) -> None:
        self.status = "filled"


class Desk(Application[UUID]):
    """The positions of the checks are kept in memory, as risk keeps them."""

    def submit(self, asked: Submit) -> UUID:
        order = Order(
            account=asked.account,
            client_order_id=asked.client_order_id,
            symbol=asked.symbol,
            side=asked.side,
            quantity=asked.quantity,
            price=asked.price,
        )
        self.save(order)
        made: UUID = order.id
        return made

    def live(self, order_id: UUID) -> None:
        order: Order = self.repository.get(order_id)
        order.route("PAPER_A")
        self.save(order)
        order = self.repository.get(order_id)
        order.fill(order.quantity, order.price)
        self.save(order)


app = FastAPI()
desk = Desk(env=dict(os.environ))
threads = ThreadPoolExecutor(THREADS)
lived = 0


@app.post("/orders")
async def submit(asked: Submit) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    order_id = await loop.run_in_executor(threads, desk.submit, asked)
    loop.run_in_executor(threads, desk.live, order_id).add_done_callback(count)
    return {"status": "submitted", "order_id": str(order_id)}


def count(done: asyncio.Future[None]) -> None:
    global lived
    done.result()
    lived += 1


@app.get("/filled")
async def filled() -> int:
    return lived


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["USUAL_PORT"]), log_config=None, access_log=False)
