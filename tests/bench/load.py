"""An open-loop load on POST /orders: latency counts from the moment an order was meant to be sent, whatever held it up."""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

ACCOUNTS = 10
SEED_QUANTITY = "0.3"
QUANTITY = "0.001"
SIMULATED_PRICES = (45_300, 44_700)
"""Of a buy and of a sell, which always trade in the simulated market."""
TICK_S = 0.001
"""How often the open loop looks what is due. uvloop counts whole milliseconds: less than one would be none, and a busy loop."""


@dataclass
class Tally:
    """What came of the orders sent."""

    latencies_s: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    accepted: list[int] = field(default_factory=list)
    _looked: int = 0

    def since_last_look(self) -> "Tally":
        """What came since this was asked last."""
        recent = Tally(self.latencies_s[self._looked :])
        self._looked = len(self.latencies_s)
        return recent

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else 0.0


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time; the least Python that speaks HTTP/1.1."""

    def __init__(self, path: str = "/orders") -> None:
        self._head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ".encode()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._peer = transport.get_extra_info("peername")[:2]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, split, body = self._received.partition(b"\r\n\r\n")
        if not split or self._answer is None:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._received = b""
            self._answer.set_result((int(head[9:12]), body))

    async def post(self, body: bytes) -> tuple[int, bytes]:
        assert self._transport
        if self._transport.is_closing():  # an idle connection gives way where many are open
            await asyncio.get_running_loop().create_connection(lambda: self, *self._peer)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(self._head + b"%d\r\n\r\n%s" % (len(body), body))
        return await self._answer


def balanced(number: int, accounts: int = ACCOUNTS) -> tuple[int, str]:
    """The account and the side of the n-th order: each account buys and sells in turn."""
    return number % accounts, "sell" if number // accounts % 2 else "buy"


def order_body(run: str, number: int) -> bytes:
    """Balanced, at prices that always trade."""
    return body_of(run, number)


def body_of(run: str, number: int, accounts: int = ACCOUNTS, prices: tuple[int, int] = SIMULATED_PRICES) -> bytes:
    """The same over any number of accounts, at any prices of a buy and of a sell."""
    account, side = balanced(number, accounts)
    price = prices[side == "sell"]
    return (
        f'{{"account":"load-{account}","client_order_id":"{run}-{number}","symbol":"BTCUSDT","side":"{side}",'
        f'"type":"limit","quantity":{QUANTITY},"price":{price}}}'
    ).encode()


def many_accounts_body(run: str, number: int) -> bytes:
    """Small buys that stay open (no exeq routes them), spread so that no account reaches a limit."""
    return (
        f'{{"account":"wide-{number % 200}","client_order_id":"{run}-{number}","symbol":"BTCUSDT","side":"buy",'
        f'"type":"limit","quantity":{QUANTITY},"price":45300}}'
    ).encode()


OrderBody = Callable[[str, int], bytes]
"""The body of the n-th order of a run."""


def script_body(run: str, number: int) -> bytes:
    """As the user's own load script asks: 45 000 to 45 099, odd orders sell, 0.1 at a time. It runs into its own limits."""
    side = "sell" if number % 2 else "buy"
    return (
        f'{{"account":"script-{number % ACCOUNTS}","client_order_id":"{run}-{number}","symbol":"BTCUSDT","side":"{side}",'
        f'"type":"limit","quantity":0.1,"price":{45_000 + number % 100}}}'
    ).encode()


def seed_body(run: str, account: int, quantity: str = SEED_QUANTITY) -> bytes:
    return (
        f'{{"account":"load-{account}","client_order_id":"{run}-seed-{account}","symbol":"BTCUSDT","side":"buy","type":"market",'
        f'"quantity":{quantity}}}'
    ).encode()


class Load:
    """Sends orders, or what `path` takes, over a fixed set of connections."""

    def __init__(self, port: int, connections: int, body: OrderBody = order_body, path: str = "/orders") -> None:
        self._port = port
        self._path = path
        self._body = body
        self._count = connections
        self._idle: deque[Connection] = deque()
        self.tally = Tally()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, connection = await loop.create_connection(lambda: Connection(self._path), "127.0.0.1", self._port)
            self._idle.append(connection)

    async def once(self, body: bytes) -> None:
        """One order, on the first connection."""
        await self.send(self._idle[0], body, time.perf_counter())

    async def send(self, connection: Connection, body: bytes, meant_at: float, number: int = -1) -> None:
        try:
            status, answer = await connection.post(body)
        except ConnectionError:
            self.tally.outcomes["connection lost"] += 1
            return
        self.tally.latencies_s.append(time.perf_counter() - meant_at)
        parsed = json.loads(answer)
        outcome = parsed.get("status") or parsed.get("code")
        if outcome == "submitted":
            self.tally.accepted.append(number)
        self.tally.outcomes[
            f"{outcome}:{parsed['reason']}" if "reason" in parsed else f"{outcome}" if status == 200 else f"{status} {outcome}"
        ] += 1

    async def at_rate(self, run: str, rate: float, seconds: float) -> float:
        """`rate` a second for `seconds`; returns the seconds it took until the last answer."""
        started = time.perf_counter()
        waiting: deque[tuple[int, float]] = deque()
        tasks: set[asyncio.Task[None]] = set()
        number, total = 0, int(rate * seconds)

        async def work(connection: Connection, order: int, meant_at: float) -> None:
            await self.send(connection, self._body(run, order), meant_at, order)
            while waiting:
                order, meant_at = waiting.popleft()
                await self.send(connection, self._body(run, order), meant_at, order)
            self._idle.append(connection)

        while number < total:
            due = min(int((time.perf_counter() - started) * rate) + 1, total)
            while number < due:
                meant_at = started + number / rate
                if self._idle:
                    task = asyncio.create_task(work(self._idle.popleft(), number, meant_at))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    waiting.append((number, meant_at))
                number += 1
            await asyncio.sleep(TICK_S)
        while tasks:
            await asyncio.wait(set(tasks))
        return time.perf_counter() - started

    async def saturate(self, run: str, orders: int) -> float:
        """Each connection sends its next order when it has its answer; returns the seconds it took."""
        numbers = iter(range(orders))
        started = time.perf_counter()

        async def work(connection: Connection) -> None:
            for number in numbers:
                await self.send(connection, self._body(run, number), time.perf_counter(), number)

        await asyncio.gather(*(work(connection) for connection in self._idle))
        return time.perf_counter() - started
