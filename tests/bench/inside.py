"""`python -m tests.bench.inside`: what an order costs inside oms, by step, without a wire: CPU microseconds and allocated blocks an order.

The journal is in memory, risk approves at once, no reader takes the notifications; everything between is oms as it runs.
"""

import argparse
import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry
from starlette.types import Message

from adapters.clock import SystemClock
from adapters.codec import encode
from adapters.memory import MemoryJournal
from adapters.orderstore import SqliteOrderStore
from apps.http.caller import LOCAL_CALLER
from apps.journal.group_commit import Pace
from apps.journal.shard_host import ShardHost
from apps.oms.alarms import OrderAlarms
from apps.oms.child_spawner import ChildSpawner
from apps.oms.command_handler import CommandHandler
from apps.oms.metrics import OmsMetrics
from apps.oms.report_sessions import VenueSessions
from apps.oms.submit import SubmitHandler
from apps.oms.submit_body import TermsReader
from apps.oms.submit_endpoint import SubmitEndpoint
from config.catalogue import load_instruments
from domain.access.keys import KeyRing
from domain.order.commands import ReportKind, RiskDecision, Terms, VenueReport
from domain.order.events import Leg
from domain.order.lifecycle import State
from domain.values import Liquidity, OrderType, use_exact_arithmetic
from tests.bench.load import order_body

AT_ONCE = 64
VENUE = "PAPER_A"
CHECKS = (
    "order_size_limit 45.3 100000,order_size_limit 0.001 10000,price_collar 12.5 9000.1,position_limit 45.3 1000000,"
    "short_restriction 0.001 0.1,concentration_limit 45.3 25000.00,buying_power 22.65 97750.0,var_limit 0.62831 50000;"
    "mid 45000.005 120;2026-01-31"
)


class Approves:
    async def check(self, terms: Terms) -> RiskDecision:
        return RiskDecision(order_id=terms.order_id, limits_version=1, checks=CHECKS, reference=Decimal("45000.5"))


class NeverSubscribed:
    """Takes notifications as an outbox does, and sends none."""

    def __init__(self) -> None:
        self.bytes = 0

    def put(self, subject: str, payload: bytes) -> None:
        self.bytes += len(subject) + len(payload)


class Said:
    """A message as the NATS client hands it over."""

    reply = "reply"
    subject = f"venue.{VENUE}.reports.0"

    def __init__(self, data: bytes) -> None:
        self.data = data


class Spent:
    """CPU seconds of the process and blocks allocated, by step."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}

    @contextmanager
    def on(self, step: str) -> Iterator[None]:
        before = time.process_time()
        yield
        self.cpu_s[step] = self.cpu_s.get(step, 0.0) + time.process_time() - before


async def post(door: SubmitEndpoint, body: bytes) -> bytes:
    said: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        said.append(message.get("body", b""))

    await door({"type": "http", "headers": [], "caller": LOCAL_CALLER}, receive, send)
    return said[-1]


def report(kind: ReportKind, order: dict[str, Any], seq: int, **more: Any) -> VenueReport:
    order_id = order["order_id"]
    return VenueReport(
        report=kind,
        order_id=order_id,
        route_id=f"{order_id}-1",
        venue=VENUE,
        report_seq=seq,
        at=time.time_ns(),
        account=order["account"],
        symbol="BTCUSDT",
        side=order["side"],
        venue_order_id=f"V{seq}",
        **more,
    )


def allowing(host: ShardHost) -> SubmitHandler:
    """An intake that no control forbids anything."""
    return SubmitHandler(
        host,
        Approves(),  # type: ignore[arg-type]
        forbids=lambda terms: None,
        informed=lambda: True,
        open_orders_max=10_000,
        in_flight_max=1000,
    )


async def lives(count: int, directory: Path) -> tuple[Spent, dict[str, float]]:
    """`count` orders, 64 at once, each from its request to its fill."""
    registry, client = CollectorRegistry(), NeverSubscribed()
    metrics, clock = OmsMetrics(registry), SystemClock()
    host = ShardHost(MemoryJournal(), clock, store=SqliteOrderStore(directory / "orders.db"), pace=Pace(wait_s=0))
    host.on_landed, host.on_append = OrderAlarms(metrics), metrics.appended
    running = asyncio.create_task(host.run())
    intake = allowing(host)
    door = SubmitEndpoint(
        TermsReader(load_instruments().instruments, "default", frozenset(OrderType), KeyRing().may_trade), intake, clock, metrics
    )
    sessions = VenueSessions(None, host, [VENUE], 0, failed=sys.exit)  # type: ignore[arg-type]
    desk = CommandHandler(host, ChildSpawner(host, intake, Approves()), client, failed=sys.exit)  # type: ignore[arg-type]
    while not host.ready:
        await asyncio.sleep(0.01)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    spent, seq = Spent(), 0
    before = time.process_time()
    for first in range(0, count, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        bodies = [order_body("inside", number) for number in numbers]
        with spent.on("submit"):
            answers = await asyncio.gather(*(post(door, body) for body in bodies))
        orders = [json.loads(body) | json.loads(answer) for body, answer in zip(bodies, answers, strict=True)]
        assert all(order["status"] == "submitted" for order in orders), orders[0]
        routes = [
            {
                "command": "route",
                "order_id": o["order_id"],
                "legs": [Leg(f"{o['order_id']}-1", VENUE, Decimal("0.001"))],
                "policy": "best_price",
            }
            for o in orders
        ]
        said = Said(encode(routes))
        with spent.on("route"):
            await desk._on_commands(said)  # type: ignore[arg-type]
            await landed(host)
        for step, kind, more in (
            ("accepted", ReportKind.ACCEPTED, {}),
            (
                "fill",
                ReportKind.FILL,
                {"quantity": Decimal("0.001"), "price": Decimal(45_000), "fee": Decimal("0.045"), "liquidity": Liquidity.TAKER},
            ),
        ):
            reports = []
            for order in orders:
                seq += 1
                reports.append(report(kind, order, seq, **(more | ({"exec_id": f"E{seq}"} if more else {}))))
            with spent.on(step):
                await sessions._on_reports(Said(encode(reports)))  # type: ignore[arg-type]
                await landed(host)
    await asyncio.sleep(0.5)
    running.cancel()
    assert host.orders.states[State.FILLED] == count, host.orders.states
    spent.cpu_s["all"] = time.process_time() - before
    return spent, {"notification_bytes": client.bytes / count}


async def landed(host: ShardHost) -> None:
    """Until everything said so far is in the journal."""
    commits = host._commits
    assert commits is not None
    await commits.settled(commits.added)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=12_800)
    arguments = parser.parse_args()
    use_exact_arithmetic()
    with tempfile.TemporaryDirectory() as directory:
        spent, sizes = uvloop.run(lives(arguments.orders, Path(directory)))
    for step, seconds in spent.cpu_s.items():
        print(f"{step:<10} {seconds * 1e6 / arguments.orders:8.1f} us an order")
    print(sizes)


if __name__ == "__main__":
    main()
