"""One service alone, as a process against real servers: started, killed, stopped in its tracks and brought back by a test."""

import contextlib
import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import yaml

from adapters import bus
from adapters.controls import CONTROL_JOURNAL, make
from apps.connections.nats import patiently
from apps.runtime.failpoint import VARIABLE
from apps.stack.ports import HOST
from apps.stack.program import Program, http_answers
from apps.stack.services import CHECKOUT, MODULES
from config.loading import BACKEND
from domain.ports import Unavailable
from tests.aside import Aside
from tests.live import LiveProcess, LiveServer
from tests.ports import free_ports

NO_SERVER = "redis://127.0.0.1:1"
"""Where no server is: what a service only reads from may be away."""

Changes = Mapping[str, Mapping[str, object]]


class LiveService(LiveProcess):
    """oms, risk, exeq, live-gateway or projector, with a data directory and ports that it keeps over its lives."""

    def __init__(
        self, name: str, nats: LiveServer, home: Path, *, nats_url: str = "", valkey_url: str = NO_SERVER, changes: Changes | None = None
    ):
        """`nats_url` may be a proxy's; `changes` are laid over the service's own configuration file: section, key, value."""
        home.mkdir(parents=True, exist_ok=True)
        port, metrics_port = free_ports(2)
        environment = {
            "PYTHONUNBUFFERED": "1",
            "TRADE_HOST": HOST,
            "TRADE_PORT": str(port),
            "TRADE_METRICS_PORT": str(metrics_port),
            "TRADE_NATS_URL": nats_url or nats.url,
            "TRADE_NATS_MONITOR_URL": nats.monitor_url,
            "TRADE_VALKEY_URL": valkey_url,
            "TRADE_FILLS": "sqlite",
            "TRADE_DATA_DIR": str(home),
            "TRADE_CONFIG": str(_configuration(name, home, changes or {})),
            VARIABLE: "",
        }

        def probe() -> None:
            http_answers(port, "/ready")

        program = Program(
            name=name,
            kind="service",
            command=(sys.executable, "-m", MODULES[name]),
            probe=probe,
            ports={"http": port, "metrics": metrics_port},
            environment=environment,
            cwd=CHECKOUT,
        )
        super().__init__(program, home)
        self._nats = nats
        self.makes_controls = True
        self._replicas = int(str((changes or {}).get("nats", {}).get("replicas", 1)))

    def begin(self, **environment: str) -> None:
        """Run it and do not wait. Who follows the controls waits for risk to make their stream: here a test did, where no risk runs."""
        if self.program.name in ("oms", "exeq") and self.makes_controls:
            aside = Aside()
            with contextlib.suppress(Unavailable):  # the server is away: then the scene is about that
                aside.call(_make_controls(self._nats.url, self._replicas))
            aside.close()
        super().begin(**environment)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.program.ports['http']}"

    def client(self, timeout_s: float = 30.0) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=timeout_s)

    def is_ready(self) -> bool:
        return not self._silence()


async def _make_controls(url: str, replicas: int) -> None:
    """On as many servers as the journal: else the scene ends with the one that has it."""
    client = await bus.connect(url, "risk's part", closed=lambda: None, timeout_s=1.0)
    try:
        if replicas == 1:
            await make(client, CONTROL_JOURNAL)
        else:
            await patiently(lambda: make(client, CONTROL_JOURNAL, replicas))  # servers of a cluster agree first on who makes it
    finally:
        await client.close()


def _configuration(name: str, home: Path, changes: Changes) -> Path:
    """The checkout's file with the changes laid over it."""
    settings: dict[str, Any] = deepcopy(yaml.safe_load((BACKEND / name / "config.yaml").read_text()))
    for section, keys in changes.items():
        settings.setdefault(section, {}).update(keys)
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file
