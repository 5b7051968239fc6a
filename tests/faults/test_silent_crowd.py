"""More silent connections than a service keeps: health, cancels and orders are answered all the same."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from config.settings import CONNECTIONS_MAX
from tests.faults.scene import PATIENT, order, risk_that_says_yes
from tests.live import LiveServer
from tests.process import LiveService

SILENT: Final = CONNECTIONS_MAX + 100
FILES: Final = 2 * SILENT + 256


@contextlib.contextmanager
def silent_crowd(url: str, size: int, say: bytes = b"") -> Iterator[list[socket.socket]]:
    """How many connections send nothing, or begin a request and stop."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))
    address = urlsplit(url)
    with contextlib.ExitStack() as opened:
        crowd = [opened.enter_context(socket.create_connection((address.hostname, address.port or 80), timeout=10)) for _ in range(size)]
        for each in crowd if say else ():
            with contextlib.suppress(ConnectionError):
                each.sendall(say)
        yield crowd


async def test_silent_connections_give_way_to_health_cancels_and_orders(fresh_nats: LiveServer, tmp_path: Path) -> None:  # FAILURES 60
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url):
        oms.start()
        async with oms.client() as kept:  # its idle connection is among the first that give way
            resting = [(await kept.post("/orders", json=order(f"resting-{n}"))).json()["order_id"] for n in range(2)]
            for number, say in enumerate((b"", b"POST /orders HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")):
                with silent_crowd(oms.url, SILENT, say):
                    async with oms.client() as late:
                        assert "status" in (await late.get("/health")).json(), "its own word, not that there is no room"
                        cancelled = await late.delete(f"/orders/{resting[number]}")
                        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
                        submitted = await late.post("/orders", json=order(f"late-{number}"))
                        assert (submitted.status_code, submitted.json()["status"]) == (200, "submitted")
                    again = await kept.post("/orders", json=order(f"kept-{number}"))
                    assert (again.status_code, again.json()["status"]) == (200, "submitted")
        oms.stop()
