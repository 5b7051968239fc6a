"""/health and /ready tell the truth: each dependency killed, frozen and brought back, under all five services at once."""

import time
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import pytest

from tests.live import LiveServer
from tests.process import LiveService

NEEDS: Final = {
    "oms": {"nats", "valkey", "questdb", "risk"},
    "risk": {"nats", "valkey", "questdb"},
    "exeq": {"nats"},
    "live-gateway": {"nats"},
    "projector": {"nats", "valkey", "questdb"},
    "desk": {"nats"},
}
TELLS_WITHIN_S: Final = 120.0
WELL_WITHIN_S: Final = 120.0
POLL_S: Final = 0.2
PATIENT: Final = {"risk_service": {"timeout_sec": 1}}

pytestmark = pytest.mark.timeout(900)


class House:
    """Three servers and five services, each of which a test may take away."""

    def __init__(self, servers: dict[str, LiveServer], services: dict[str, LiveService]) -> None:
        self.servers = servers
        self.services = services
        self.http = httpx.Client(timeout=60)

    def pages(self, page: str, gone: str = "") -> dict[str, tuple[int, str]]:
        """By service, all but `gone`: the status, and the reason if it gives one. 0 when it does not answer."""
        return {name: self._page(service, page) for name, service in self.services.items() if name != gone}

    def _page(self, service: LiveService, page: str) -> tuple[int, str]:
        try:
            answer = self.http.get(f"{service.url}/{page}")
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.json().get("reason", "")

    def all_are_well(self) -> bool:
        return all(status == 200 for page in ("health", "ready") for status, _ in self.pages(page).values())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[House]:
    from apps.stack import servers
    from tests.live import live

    home = tmp_path_factory.mktemp("truth")
    making = {"nats": servers.nats, "valkey": servers.valkey, "questdb": servers.questdb}
    started = {name: live(make, home / name) for name, make in making.items()}
    services: dict[str, LiveService] = {}
    try:
        questdb = {
            "TRADE_FILLS": "questdb",
            "TRADE_QUESTDB_HTTP_URL": started["questdb"].url,
            "TRADE_QUESTDB_PG_URL": started["questdb"].pg_url,
        }
        for name in NEEDS:
            changes = PATIENT if name == "oms" else None
            services[name] = LiveService(name, started["nats"], home / name, valkey_url=started["valkey"].url, changes=changes)
            services[name].begin(**questdb)
        for service in services.values():
            service.ready()
        found = House(started, services)
        with found.http:
            until(found.all_are_well, WELL_WITHIN_S, "all are well")
            yield found
    finally:
        for each in (*services.values(), *started.values()):
            each.kill()


def until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(POLL_S)


def tells_the_truth(house: House, gone: str) -> None:
    """Who needs it turns red and names it; who does not stays green all the while."""
    affected = {name for name, needs in NEEDS.items() if gone in needs and name != gone}
    others = set(NEEDS) - affected - {gone}
    reds: dict[str, str] = {}

    def said() -> bool:
        found = house.pages("health", gone)
        assert {name: found[name] for name in others if found[name][0] != 200} == {}, "no false alarm"
        reds.update({name: reason for name, (status, reason) in found.items() if name in affected and status == 503})
        return all(found[name][0] == 503 for name in affected)

    until(said, TELLS_WITHIN_S, f"{sorted(affected)} say that {gone} is gone; they say {reds}")
    assert all(gone in reason for reason in reds.values()), reds


@pytest.mark.parametrize("gone", ["valkey", "questdb", "nats"])
@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_a_server_that_is_away_turns_those_red_that_need_it_and_they_recover(house: House, gone: str, how: str) -> None:
    # FAILURES 1, 19, 22, 23
    server = house.servers[gone]
    server.freeze() if how == "frozen" else server.kill()
    try:
        tells_the_truth(house, gone)
    finally:
        server.thaw() if how == "frozen" else server.start()
    until(house.all_are_well, WELL_WITHIN_S, f"all are well again; they say {house.pages('health')} {house.pages('ready')}")


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_oms_reports_that_risk_does_not_decide(house: House, how: str) -> None:
    # FAILURES 16
    risk = house.services["risk"]
    environment = {
        "TRADE_FILLS": "questdb",
        "TRADE_QUESTDB_HTTP_URL": house.servers["questdb"].url,
        "TRADE_QUESTDB_PG_URL": house.servers["questdb"].pg_url,
    }
    risk.freeze() if how == "frozen" else risk.kill()
    try:
        tells_the_truth(house, "risk")
    finally:
        risk.thaw() if how == "frozen" else risk.start(**environment)
    until(house.all_are_well, WELL_WITHIN_S, "all are well again")
