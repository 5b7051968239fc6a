"""gateway as a process against simulated venues, and the frames that it wrote."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import yaml
from nats.aio.client import Client

from adapters import bus
from adapters.feed import API
from domain.market.venues.feed import Frame, FrameKind, RawFrames
from tests.children import started
from tests.live import LiveServer
from tests.ports import free_ports
from tests.venues import VenueSimulator

CHECKOUT = Path(__file__).parents[2]
WAIT_S: Final = 120.0
POLL_S: Final = 0.02
QUICK: Final = {"stale_after_sec": 2, "mute_after_sec": 60, "connection_age_max_sec": 3600}


def venue(simulator: VenueSimulator, *symbols: str) -> dict[str, object]:
    """The section of a venue in the configuration."""
    return {"kind": simulator.kind, "ws_url": simulator.ws_url, "rest_url": simulator.rest_url, "symbols": list(symbols)}


async def until(met: Callable[[], object], seconds: float = WAIT_S) -> None:
    """Poll until a condition is met."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(POLL_S)


class MarketGateway:
    """The service on ports of its own."""

    def __init__(self, home: Path, core: str, market: str, venues: Mapping[str, object], **sections: object) -> None:
        home.mkdir(exist_ok=True)
        port, metrics_port = free_ports(2)
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        config = home / "gateway.yaml"
        config.write_text(yaml.safe_dump({"venues": dict(venues), "liveness": QUICK, **sections}))
        self._environment = os.environ | {
            "TRADE_CONFIG": str(config),
            "TRADE_PORT": str(port),
            "TRADE_METRICS_PORT": str(metrics_port),
            "TRADE_LOG_DIR": str(home),
            "TRADE_NATS_URL": core,
            "TRADE_MARKET_NATS_URL": market,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, **environment: str) -> "MarketGateway":
        with (self.home / "gateway.out").open("ab") as output:
            command = (sys.executable, "-m", "apps.gateway")
            self.process = started(command, cwd=CHECKOUT, env=self._environment | environment, stdout=output, stderr=output)
        return self

    def end(self, number: int = signal.SIGTERM) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(number)
        return process.wait(WAIT_S)

    def said(self) -> str:
        return (self.home / "gateway.out").read_text()

    async def get(self, path: str) -> httpx.Response | None:
        """The answer; None while there is none."""
        assert self.process is None or self.process.poll() is None, self.said()
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                return await client.get(self.url + path)
        except httpx.TransportError:
            return None

    async def until(self, path: str, met: Callable[[httpx.Response], object]) -> httpx.Response:
        end = time.monotonic() + WAIT_S
        while True:
            answer = await self.get(path)
            if answer is not None and met(answer):
                return answer
            assert time.monotonic() < end, f"{path}: {answer and answer.text}\n{self.said()}"
            await asyncio.sleep(POLL_S)

    async def ready(self) -> None:
        await self.until("/ready", lambda answer: answer.status_code == 200)


class RawReader:
    """Reads MARKET_RAW from its first message."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._subject = f"market.raw.{name}"
        self._next = 1
        self.messages: list[RawFrames] = []

    @classmethod
    @asynccontextmanager
    async def on(cls, server: LiveServer, name: str) -> "AsyncIterator[RawReader]":
        client = await bus.connect(server.url, "test", closed=lambda: None)
        try:
            yield cls(client, name)
        finally:
            await client.close()

    async def request(self, subject: str, **fields: object) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await bus.request(self._client, subject, json.dumps(fields).encode(), WAIT_S))
        return answer

    async def read(self) -> "RawReader":
        """Read what is new."""
        while True:
            answer = await self.request(f"{API}.STREAM.MSG.GET.MARKET_RAW", seq=self._next, next_by_subj=self._subject)
            if "error" in answer:
                return self
            self._next = answer["message"]["seq"] + 1
            self.messages.append(msgspec.json.decode(base64.b64decode(answer["message"]["data"]), type=RawFrames))

    async def until(self, met: Callable[["RawReader"], object]) -> None:
        end = time.monotonic() + WAIT_S
        while not met(await self.read()):
            assert time.monotonic() < end, self.texts()[-5:]
            await asyncio.sleep(POLL_S)

    def frames(self, epoch: int | None = None) -> list[tuple[int, Frame]]:
        """Each frame with its number, as stored."""
        taken = [message for message in self.messages if epoch in (None, message.epoch)]
        return [(message.n + place, frame) for message in taken for place, frame in enumerate(message.frames)]

    def texts(self, kind: FrameKind = FrameKind.FRAME, epoch: int | None = None) -> list[str]:
        return [frame.text for _, frame in self.frames(epoch) if frame.kind == kind]

    @property
    def epochs(self) -> list[int]:
        return list(dict.fromkeys(message.epoch for message in self.messages))
