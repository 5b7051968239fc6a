"""Keys are revoked under load: no request that is sent a second after the answer passes, at whatever instant the revocation comes."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from tests.stack import LiveStack

CONNECTIONS: Final = 24
PACE_S: Final = CONNECTIONS / 1000
"""Between two orders of a connection: a thousand a second in all, as far as the machine goes."""
WARM_S: Final = (0.2, 0.8)
PROMISED_S: Final = 1.0
AFTER_S: Final = 1.3

Tell = Callable[[str], None]


@dataclass
class Came:
    """What the revocations came to. `latest_s`: when the last accepted order was sent, after the answer; negative: before it."""

    revoked: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latest_s: float = float("-inf")

    def line(self) -> str:
        found = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return f"{self.revoked} keys revoked: {found}; the last accepted order was sent {self.latest_s * 1000:.0f} ms after an answer"


async def revoke(rounds: int, seed: int, home: Path, tell: Tell) -> Came:
    """Create a key, trade with it, and revoke it meanwhile, `rounds` times on one stack. AssertionError if an order passes too late."""
    came, choice = Came(), random.Random(seed)
    stack = LiveStack(home / "data", "--fills", "sqlite", "--access", "keys")
    stack.start()
    try:
        key = (stack.data_dir / "secrets/cli.key").read_text().strip()
        async with httpx.AsyncClient(base_url=stack.url("risk"), headers={"authorization": f"Bearer {key}"}, timeout=30) as risk:
            for number in range(rounds):
                await _round(number, choice.uniform(*WARM_S), stack, risk, came)
                if (number + 1) % 10 == 0:
                    tell(came.line())
    finally:
        stack.close()
    return came


async def _round(number: int, warm_s: float, stack: LiveStack, risk: httpx.AsyncClient, came: Came) -> None:
    wanted = {"account": f"r{number}", "scopes": ["trade"], "rate": 10_000, "burst": 10_000}
    created = (await risk.post("/access/keys", json=wanted)).json()
    loop, sent, ended = asyncio.get_running_loop(), list[tuple[float, int]](), asyncio.Event()
    address = urlsplit(stack.url("oms"))
    key = f"{created['key_id']}.{created['secret']}"
    senders = [
        asyncio.create_task(_sends(address.hostname or "", address.port or 0, key, f"{number}-{each}", sent, ended))
        for each in range(CONNECTIONS)
    ]
    await asyncio.sleep(warm_s)
    answer = await risk.post(f"/access/keys/{created['key_id']}/revoke", json={"reason": "torture"})
    answered = loop.time()
    assert answer.status_code == 200, answer.text
    await asyncio.sleep(AFTER_S)
    ended.set()
    await asyncio.gather(*senders)
    accepted = [at - answered for at, status in sent if status == 200]
    assert accepted, "no order was accepted: it proves nothing"
    assert max(accepted) < PROMISED_S, f"an order sent {max(accepted):.3f} s after the revocation's answer was accepted"
    assert any(at > answered + PROMISED_S for at, _ in sent), "no order was sent late enough to prove something"
    came.revoked += 1
    came.statuses.update(status for _, status in sent)
    came.latest_s = max(came.latest_s, *accepted)


async def _sends(host: str, port: int, key: str, name: str, sent: list[tuple[float, int]], ended: asyncio.Event) -> None:
    """Send orders over one connection until told otherwise; note when each was sent, and the status of its answer."""
    loop, number = asyncio.get_running_loop(), 0
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while not ended.is_set():
            number += 1
            order = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "40000", "client_order_id": f"{name}-{number}"}
            body = json.dumps(order).encode()
            head = f"POST /orders HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
            at = loop.time()
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            sent.append((at, await _status(reader)))
            await asyncio.sleep(max(at + PACE_S - loop.time(), 0))
    finally:
        writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(" ", 2)[1])
