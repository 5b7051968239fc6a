"""live-gateway as a process on ports of its own, and who plays oms and exeq before it."""

import asyncio
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.codec import decoder, encode
from apps.connections.venue_lists import SentRequest, Verb
from domain.market.quotes import Quote
from domain.order.commands import VenueReport, VenueRequest
from domain.values import OrderType, Side, TimeInForce
from tests.children import started
from tests.live import LiveServer
from tests.ports import free_ports

CHECKOUT = Path(__file__).parents[2]
START_TIMEOUT_S = 120.0
WAIT_S = 120.0

REPORTS = decoder(list[VenueReport])
_QUOTE = decoder(Quote)


class Gateway:
    """The service as `trade up` runs it, on ports of its own."""

    def __init__(self, server: LiveServer, quotes: Path | None = None, speed: str = "stepped", **environment: str) -> None:
        port, metrics_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self.output = server.home / "gateway.out"
        self._environment = os.environ | {
            "TRADE_HOST": "127.0.0.1",
            "TRADE_PORT": str(port),
            "TRADE_METRICS_PORT": str(metrics_port),
            "TRADE_NATS_URL": server.url,
            "TRADE_NATS_MONITOR_URL": server.monitor_url,
            **environment,
        }
        if quotes:
            self._environment |= {"TRADE_QUOTES": str(quotes), "TRADE_QUOTES_SPEED": speed}
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> "subprocess.Popen[bytes]":
        with self.output.open("wb") as output:
            return started(
                (sys.executable, "-m", "apps.live_gateway"), cwd=CHECKOUT, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )

    async def start(self) -> None:
        self._process = self.launch()
        try:
            await self._ready(self._process)
        except BaseException:
            self.end()
            raise

    async def _ready(self, process: "subprocess.Popen[bytes]") -> None:
        async with asyncio.timeout(START_TIMEOUT_S), httpx.AsyncClient(base_url=self.url, timeout=60) as http:
            while True:
                assert process.poll() is None, self.output.read_text()
                try:
                    if (await http.get("/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(timeout=120)

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as http:
            return (await http.get(path)).json()

    async def advance(self, **how: object) -> Any:
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as http:
            answer = await http.post("/quotes/advance", json=how)
            assert answer.status_code == 200, answer.text
            return answer.json()


class Trader:
    """Plays oms and exeq: sends requests, keeps every report and tick that comes."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.reports: list[VenueReport] = []
        self.ticks: list[Quote] = []
        self._news = asyncio.Event()

    @classmethod
    async def open(cls, url: str) -> "Trader":
        trader = cls(await bus.connect(url, "trader", closed=lambda: None))
        await trader.client.subscribe("venue.*.reports.0", cb=trader._on_reports)
        await trader.client.subscribe("ticks.>", cb=trader._on_tick)
        await bus.flush(trader.client)
        return trader

    async def _on_reports(self, message: Msg) -> None:
        reports = REPORTS.decode(message.data)
        assert {message.subject} == {f"venue.{report.venue}.reports.0" for report in reports}
        self.reports += reports
        self._news.set()

    async def _on_tick(self, message: Msg) -> None:
        self.ticks.append(_QUOTE.decode(message.data))
        self._news.set()

    async def send(self, *requests: VenueRequest, verb: Verb = "new") -> None:
        await self.client.publish("venue.PAPER_A.requests.0", encode([SentRequest(verb, request) for request in requests]))

    async def heard(self, count: int) -> list[str]:
        """The first `count` reports as text, once they are there."""
        async with asyncio.timeout(WAIT_S):
            while len(self.reports) < count:
                self._news.clear()
                await self._news.wait()
        return [f"{r.report_seq} {r.route_id} {r.report}" for r in self.reports]

    async def session(self, within_s: float = WAIT_S, **asked: object) -> Any:
        answer = await self.client.request("venue.PAPER_A.session.0", encode(asked), timeout=within_s)
        return decoder(dict[str, Any]).decode(answer.data)


def order(name: str, quantity: str, *, side: Side = Side.BUY, price: str | None = None, symbol: str = "BTCUSD") -> VenueRequest:
    return VenueRequest(
        order_id=f"order-{name}",
        route_id=name,
        venue="PAPER_A",
        account="alice",
        symbol=symbol,
        side=side,
        type=OrderType.LIMIT if price else OrderType.MARKET,
        quantity=Decimal(quantity),
        price=Decimal(price) if price else None,
        time_in_force=TimeInForce.GTC,
    )
