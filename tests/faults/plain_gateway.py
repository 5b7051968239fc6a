"""A user's own gateway, as a process: it knows `orders.<account>.new` and `fills.<account>`, and nothing else of the house."""

import asyncio
import json
import sys
from typing import Any

import nats
from nats.aio.msg import Msg

# The quantity says what it does: 0.1 fills at once, 0.2 in two halves, 0.3 has the same fill twice, 0.4 none.


async def main(url: str) -> None:
    client = await nats.connect(url)

    async def fill(order: dict[str, Any], quantity: float, **more: object) -> None:
        told = {name: order[name] for name in ("account", "symbol", "side", "price", "order_id")}
        await client.publish(f"fills.{order['account']}", json.dumps(told | {"quantity": quantity} | more).encode())

    async def on_order(message: Msg) -> None:
        order = json.loads(message.data)
        print(order["order_id"], flush=True)
        match round(order["quantity"] * 10):
            case 1:
                await fill(order, order["quantity"])
            case 2:
                await fill(order, 0.1, trade=1)
                await fill(order, 0.1, trade=2)
            case 3:
                await fill(order, 0.1)
                await fill(order, 0.1)

    await client.subscribe("orders.*.new", cb=on_order)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
