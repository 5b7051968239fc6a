"""Every route of every service, in memory: a query that it does not understand is refused, and HEAD is answered as GET is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from adapters.clock import SystemClock
from adapters.memory import MemoryJournal
from apps.connections.controls import Scopes
from apps.exeq import local_kill_endpoint, reconciliation_endpoint, route_preview
from apps.exeq import routes as exeq_routes
from apps.exeq.reconciliation import VenueReconciliation, beside
from apps.http.app import Handler, application, fast_path, with_head
from apps.http.authority import Authority, KeysKnown
from apps.http.route_scopes import EVERYWHERE
from apps.live_gateway.fault_endpoint import misbehaviour_routes
from apps.live_gateway.routes import gateway_routes
from apps.risk.decision_lookup import Decisions
from apps.runtime import probes
from apps.runtime.chassis import cancelled
from apps.runtime.health import Health
from config.loading import SERVICES as SETTINGS
from config.settings import Settings
from domain.access.keys import KeyRing
from domain.execution.order_rules import OrderRules
from domain.market.quotes import Market
from tests import routes
from tests.apps.callers import as_caller
from tests.apps.oms_house import living
from tests.apps.one_executor import OneExecutor
from tests.apps.risk_house import House
from tests.apps.submits import INSTRUMENTS
from tests.apps.test_exeq_restart import Exeq

LEAVES = ("/docs", "/openapi.json")


def health(good: str, bad: str) -> Health:
    return Health(good, bad, structlog.get_logger())


@dataclass
class Chassis:
    """Stands for the chassis: what operations say about a service."""

    name: str = "one"
    health: Health = field(default_factory=lambda: health("healthy", "unhealthy"))
    ready: Health = field(default_factory=lambda: health("ready", "not_ready"))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    authority: Authority = field(default_factory=lambda: Authority("open", KeyRing(), EVERYWHERE, SystemClock(), KeysKnown(SystemClock())))
    settings: Settings = field(default_factory=lambda: SETTINGS["oms"].model_validate({}))

    def stats(self) -> dict[str, Any]:
        return {"orders": 7}


@asynccontextmanager
async def oms(_: Path) -> AsyncIterator[Handler]:
    async with living() as (house, _http):
        yield house.app


@asynccontextmanager
async def risk(_: Path) -> AsyncIterator[Handler]:
    house = House()
    unreachable = Decisions.at("http://127.0.0.1:1", KeyRing())
    app = application("risk", house.door.router(), house.control_door.router(), unreachable.router())
    following = asyncio.create_task(house.symbols.run())
    yield fast_path(app, {("POST", "/check"): house.door.check})
    await cancelled(following)
    await unreachable.close()


@asynccontextmanager
async def exeq(directory: Path) -> AsyncIterator[Handler]:
    async with Exeq(MemoryJournal(), directory).live() as found:
        reads = exeq_routes.router(OneExecutor(found.executor), Market(), SystemClock())
        switch = local_kill_endpoint.router(found.switch, None, Scopes({"BTCUSDT"}, {"PAPER_A"}), SystemClock())  # type: ignore[arg-type]
        preview = route_preview.router(OneExecutor(found.executor), OrderRules(INSTRUMENTS, KeyRing().may_trade), SystemClock())
        passes = reconciliation_endpoint.router(VenueReconciliation([], 60.0, beside({}), SystemClock()))
        yield application("exeq", reads, preview, passes, switch)


@asynccontextmanager
async def gateway(_: Path) -> AsyncIterator[Handler]:
    yield application("live-gateway", gateway_routes({}, None), misbehaviour_routes({}, allowed=True))


@asynccontextmanager
async def every_service(_: Path) -> AsyncIterator[Handler]:
    yield application("one", probes.router(Chassis()))  # type: ignore[arg-type]


@asynccontextmanager
async def starting(_: Path) -> AsyncIterator[Handler]:
    yield probes.closed(Chassis(), "starting")  # type: ignore[arg-type]


SERVICES = [oms, risk, exeq, gateway, every_service, starting]


@pytest.fixture(params=SERVICES, ids=lambda service: service.__name__)
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    service: Callable[[Path], AbstractAsyncContextManager[Handler]] = request.param
    async with service(tmp_path) as app, asked(app) as client:
        yield client


def asked(app: Handler) -> httpx.AsyncClient:
    """As it is served: behind what answers HEAD."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(with_head(app))), base_url="http://here")


async def test_a_query_that_a_route_does_not_understand_is_malformed_and_pointed_at(door: httpx.AsyncClient) -> None:
    document = (await door.get("/openapi.json")).json()
    questions = list(routes.wrong_queries(document))
    assert questions
    for method, url, pointer in questions:
        answer = await door.request(method, url)
        found = answer.json()
        told = (answer.status_code, found["code"], found.get("pointer"), found.get("within"))
        assert told == (400, "malformed", pointer, "query"), (method, url)
    for path in LEAVES:
        assert (await door.get(f"{path}?no_such=1")).json()["pointer"] == "?no_such"


async def test_head_is_answered_as_get_without_a_body_wherever_get_is(door: httpx.AsyncClient) -> None:
    document = (await door.get("/openapi.json")).json()
    for url in (*routes.reads(document), *LEAVES):
        got, headed = await door.get(url), await door.head(url)
        assert (headed.status_code, dict(headed.headers), headed.content) == (got.status_code, dict(got.headers), b""), url


async def test_head_is_not_offered_where_get_is_not(door: httpx.AsyncClient) -> None:
    document = (await door.get("/openapi.json")).json()
    for _, address, _known in routes.addresses(document):
        if (await door.get(address)).status_code == 405:
            refused = await door.head(address)
            assert refused.status_code == 405
            assert not {"GET", "HEAD"} & set(refused.headers["allow"].split(", "))


async def test_the_metrics_port_takes_no_query_and_answers_head() -> None:
    async with asked(probes.gauges(Chassis())) as client:  # type: ignore[arg-type]
        for path in probes.METRICS_PATHS:
            refused = await client.get(f"{path}?no_such=1")
            assert (refused.status_code, refused.json()["pointer"]) == (400, "?no_such")
            got, headed = await client.get(path), await client.head(path)
            assert (headed.status_code, headed.headers["content-type"], headed.content) == (200, got.headers["content-type"], b"")
        assert (await client.post("/metrics")).headers["allow"] == "GET, HEAD"
        assert (await client.head("/nothing")).status_code == 404


async def test_metrics_are_for_loopback_and_the_named_networks_and_health_is_for_all() -> None:
    named = SETTINGS["oms"].model_validate({"access": {"metrics_networks": ["172.16.0.0/12"], "proxies": ["10.0.0.1"]}})
    for settings, admitted, refused in (
        (SETTINGS["oms"].model_validate({}), ["127.0.0.1", "::1"], ["172.18.0.5", "192.168.1.1", "203.0.113.9"]),
        (named, ["127.0.0.1", "172.18.0.5", "::ffff:172.18.0.5"], ["192.168.1.1", "203.0.113.9"]),
    ):
        app = with_head(probes.gauges(Chassis(settings=settings)))  # type: ignore[arg-type]
        for peer in (*admitted, *refused):
            transport = httpx.ASGITransport(app=app, client=(peer, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                for claim in ({}, {"x-forwarded-for": "127.0.0.1"}):
                    answer = await client.get("/metrics", headers=claim)
                    assert answer.status_code == (200 if peer in admitted else 403), peer
                    assert peer in admitted or answer.json()["code"] == "network_refused"
                assert (await client.get("/health")).status_code == 200
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=("10.0.0.1", 1)), base_url="http://here") as client:
        for whose, status in (("172.18.0.5", 200), ("203.0.113.9", 403)):
            assert (await client.get("/metrics", headers={"x-forwarded-for": whose})).status_code == status


async def test_a_raw_handler_is_held_to_the_parameters_of_its_twin() -> None:
    async def raw(*_: Any) -> None:
        raise AssertionError("it is not reached")

    router = APIRouter()
    router.add_api_route("/twin", lambda explain=1: None, methods=["POST"])
    app: FastAPI = application("one", router)
    async with asked(fast_path(app, {("POST", "/twin"): raw, ("POST", "/alone"): raw})) as client:
        for url, pointer in (
            ("/twin?validate=true", "?validate"),
            ("/alone?explain=1", "?explain"),
            ("/twin?explain=1&explain=2", "?explain"),
        ):
            answer = await client.post(url)
            assert (answer.status_code, answer.json()["pointer"]) == (400, pointer)
