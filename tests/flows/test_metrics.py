"""What Prometheus finds: every series that an alarm or a dashboard asks for, and numbers that an order has moved."""

import re
import time
from collections.abc import Sequence
from typing import Final

import httpx

from tests.deploy.test_alarms import alarms, generator
from tests.flows.doors import Doors
from tests.stack import SERVICES, LiveStack

NOT_SERIES: Final = {"sum", "by", "le", "rate", "increase", "changes", "scalar", "max", "offset", "or", "histogram_quantile", "up"}
"""Words of the language, and what Prometheus itself adds."""
JOINS: Final = {"and", "unless", "group_right"}
MARKET: Final = ("market_", "normalizer_", "sink_")
"""How the series of services that not every stack runs begin."""


def pages(stack: LiveStack, services: Sequence[str] = SERVICES) -> str:
    return "\n".join(stack.metrics_page(name) for name in services)


def asked() -> set[str]:
    boards = generator()
    panels = (*boards.DESK, *boards.ENGINE_ROOM, *boards.MARKET)
    queries = [query for panel in panels if panel.kind != "table" for query in panel.queries.values()]
    ignored = r"\{[^}]*\}|\[[^\]]*\]|(by|on) \([^)]*\)|\d+m"
    expressions = [re.sub(ignored, "", text) for text in [*queries, *(a["expr"] for a in alarms())]]
    return {word for text in expressions for word in re.findall(r"[a-z][a-z_]+", text)} - NOT_SERIES - JOINS


def existing(page: str) -> set[str]:
    told = dict(re.findall(r"^# TYPE (\w+) (\w+)$", page, re.M))
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
    return {name + suffix for name, kind in told.items() for suffix in suffixes.get(kind, ("",))}


def test_every_series_that_is_asked_for_exists(running: LiveStack) -> None:
    assert {name for name in asked() if not name.startswith(MARKET)} - existing(pages(running)) == set()


def value(page: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", page, re.M)
    return float(found.group(1)) if found else 0.0


def test_an_order_moves_the_numbers_of_every_hop(running: LiveStack, doors: Doors) -> None:
    moved = (
        'oms_orders_total{outcome="submitted",reason=""}',
        "oms_submit_seconds_count",
        "oms_append_seconds_count",
        "oms_commit_events_count",
        'risk_check_seconds_count{way="check"}',
        'journal_follow_seconds_count{reader="risk"}',
        'journal_follow_seconds_count{reader="exeq"}',
        'journal_follow_seconds_count{reader="positions"}',
        'journal_follow_seconds_count{reader="fills"}',
        "exeq_sends_total",
        "oms_journal_sequence",
        "journal_read_sequence",
    )
    before = pages(running)
    body = {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.001, "price": 45500, "type": "limit", "account": "metrics"}
    assert httpx.post(f"{running.url('oms')}/orders", json=body).json()["status"] == "submitted"
    deadline = time.monotonic() + 15
    while still := [series for series in moved if value(pages(running), series) <= value(before, series)]:
        assert time.monotonic() < deadline, still
        time.sleep(0.2)
    assert value(pages(running), "service_healthy") == 1
