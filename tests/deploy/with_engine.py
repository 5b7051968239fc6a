"""The whole deployment for real, scene after scene on one stack: `make deploy-test`."""

import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from apps.stack.ports import METRICS_OFFSET, SERVICE_PORTS
from tests.deploy.engine import PROJECT, SERVICES, UP_MAX_S, Deployed, NoEngine, environment, until

OMS: Final = "http://127.0.0.1:8099"
RISK: Final = "http://127.0.0.1:8103"
USERS_ORDER: Final = {"symbol": "BTCUSDT", "side": "buy", "quantity": 0.001, "price": 45500, "type": "limit"}
"""As the user wrote it, at a price that trades."""
STOP_MAX_S: Final = 10
TRIES: Final = 20

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def stack() -> Iterator[Deployed]:
    try:
        deployed = Deployed(environment())
    except NoEngine as reason:
        pytest.fail(str(reason))
    deployed.down(volumes=True)
    deployed.build()
    try:
        deployed.up()
        yield deployed
    finally:
        deployed.down(volumes=True)


KEYS: Final[dict[str, str]] = {}
"""By account, a key that may trade it; `*`: one that reads everything."""


def bearer(stack: Deployed, account: str = "*") -> dict[str, str]:
    """The header of a request for this account, with a key that is made for the first one."""
    if account not in KEYS:
        KEYS[account] = stack.new_key(account, "audit,ops" if account == "*" else "trade,read")
    return {"Authorization": f"Bearer {KEYS[account]}"}


def read(stack: Deployed, path: str, **query: object) -> Any:
    """What oms answers to who may read everything."""
    return httpx.get(f"{OMS}{path}", params={name: str(value) for name, value in query.items()}, headers=bearer(stack), timeout=10).json()


def submitted(stack: Deployed, account: str = "main") -> dict[str, Any]:
    """The user's order. On a busy machine risk may take more than its 5 ms, which refuses it: then a new one is asked for."""
    headers = bearer(stack, account)
    for _ in range(TRIES):
        body = USERS_ORDER | {"client_order_id": uuid.uuid4().hex, "account": account}
        answer = httpx.post(f"{OMS}/orders", json=body, headers=headers, timeout=10).json()
        if answer.get("reason") != "risk_timeout":
            return dict(answer)
        time.sleep(0.2)
    raise AssertionError("risk never answered in time")


def filled(stack: Deployed, order_id: str) -> bool:
    return bool(read(stack, f"/orders/{order_id}")["status"] == "filled")


def orders(stack: Deployed) -> dict[str, str]:
    found: dict[str, str] = {}
    cursor = ""
    while True:
        page = read(stack, "/orders", limit=500, **({"cursor": cursor} if cursor else {}))
        found |= {order["order_id"]: order["status"] for order in page["orders"]}
        cursor = page.get("next") or ""
        if not cursor:
            return found


def is_well(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200


def test_every_container_is_healthy_and_none_was_started_twice(stack: Deployed) -> None:
    for name in (*SERVICES, "nats", "valkey", "questdb"):
        found = stack.inspected(name)
        assert (found["State"]["Health"]["Status"], found["RestartCount"]) == ("healthy", 0), name
    for service in SERVICES:
        said = stack.compose("logs", "--no-log-prefix", service).stdout
        assert "Connected to NATS" in said, service


def test_the_user_s_order_fills_through_the_published_port(stack: Deployed) -> None:
    answer = submitted(stack, "first")
    assert answer["status"] == "submitted"
    until(lambda: filled(stack, answer["order_id"]), 10, "the order is filled")
    position = read(stack, "/positions/first", min_seq=answer["seq"])
    assert position["BTCUSDT"]["quantity"] == 0.001
    until(lambda: len(read(stack, "/fills/first")["fills"]) == 1, 15, "the fill is in QuestDB")
    row = stack.python(
        "projector",
        "import asyncio, asyncpg; from config.loading import load_projector\n"
        "async def main():\n"
        "    c = await asyncpg.connect(str(load_projector().questdb.pg_url))\n"
        "    print(await c.fetchval(\"SELECT count() FROM fills WHERE account = 'first' AND timestamp > dateadd('m', -10, now())\"))\n"
        "asyncio.run(main())",
    )
    assert row == "1"


def test_without_a_key_nothing_is_answered_but_health(stack: Deployed) -> None:
    for path in ("/orders", "/positions/first", "/stats", "/nothing"):
        assert httpx.get(f"{OMS}{path}", timeout=5).status_code == 401, path
    assert httpx.post(f"{OMS}/orders", json=USERS_ORDER, timeout=5).status_code == 401
    assert is_well(8099)
    assert "PermissionError" in stack.python("risk", "open('/run/secrets/trade/cli.key')", check=False)


def test_metrics_are_read_over_the_networks_of_the_containers_and_not_from_outside(stack: Deployed) -> None:
    asks = (
        "import urllib.error, urllib.request\n"
        "def ask(url):\n"
        "    try: return urllib.request.urlopen(url, timeout=5).status\n"
        "    except urllib.error.HTTPError as error: return error.code\n"
    )
    names = {name: SERVICE_PORTS[name] + METRICS_OFFSET for name in SERVICES}
    asked = "; ".join(f"print(ask('http://{name}:{port}/metrics'))" for name, port in names.items())
    assert stack.python("projector", asks + asked).split() == ["200"] * len(names), "as Prometheus does"
    paths = ("9099/metrics", "9099/health", "8099/health", "8099/stats")
    seen = stack.from_outside("oms", asks + f"print(*(ask('http://oms:' + path) for path in {paths}))")
    assert seen == "403 200 200 401"


def test_no_server_admits_a_guest(stack: Deployed) -> None:
    said = stack.python(
        "projector",
        "import asyncio, asyncpg, nats, redis.asyncio as valkey, urllib.request\n"
        "async def main():\n"
        "    async def quiet(error): pass\n"
        "    async def of_nats(): await nats.connect('nats://nats:4222', error_cb=quiet, allow_reconnect=False, max_reconnect_attempts=0)\n"
        "    async def of_valkey(): await valkey.from_url('redis://valkey:6379').get('positions')\n"
        "    async def of_wire(): await asyncpg.connect('postgresql://admin:quest@questdb:8812/qdb', timeout=5)\n"
        "    async def of_http(): urllib.request.urlopen('http://questdb:9000/exec?query=SELECT%201', timeout=5)\n"
        "    for ask in (of_nats, of_valkey, of_wire, of_http):\n"
        "        try: await ask()\n"
        "        except Exception as error: print(ask.__name__, type(error).__name__, str(error).replace(chr(10), ' '))\n"
        "        else: print(ask.__name__, 'ADMITTED')\n"
        "asyncio.run(main())",
    )
    reasons = dict(line.split(" ", 1) for line in said.lower().splitlines())
    for server, reason in (("of_nats", "authorization"), ("of_valkey", "no permissions"), ("of_wire", "password"), ("of_http", "401")):
        assert reason in reasons[server], said


def test_risk_cannot_write_the_journal_nor_read_the_secrets_of_oms(stack: Deployed) -> None:
    before = read(stack, "/stats")["seq"]
    said = stack.python(
        "risk",
        "import asyncio, nats; from config.loading import load_risk\n"
        "async def main():\n"
        "    async def told(error): print(error)\n"
        "    c = await nats.connect(load_risk().nats.url, error_cb=told, inbox_prefix='_INBOX_risk')\n"
        "    await c.publish('oms.journal.0', b'forged'); await c.flush(); await asyncio.sleep(0.3); await c.close()\n"
        "asyncio.run(main())",
    )
    assert "permissions violation" in said.lower()
    assert read(stack, "/stats")["seq"] == before
    assert "PermissionError" in stack.python("risk", "open('/run/secrets/trade/oms.yaml')", check=False)


def test_no_password_is_in_an_inspection_an_image_or_a_log(stack: Deployed) -> None:
    # FAILURES 72
    canaries = stack.keys()
    said = stack.compose("logs").stdout + stack.compose("config").stdout
    for name in (*SERVICES, "nats", "valkey", "questdb", "keys"):
        said += stack.docker("inspect", stack.container(name)).stdout
    for name in (*SERVICES, "unit", "trade"):
        said += stack.docker("image", "inspect", f"localhost/{name}:latest").stdout
        said += stack.docker("history", "--no-trunc", f"localhost/{name}:latest").stdout
    assert len(canaries) > 10
    assert not [canary[:4] for canary in canaries if canary in said]


def test_a_killed_service_comes_back_and_continues(stack: Deployed) -> None:
    before = orders(stack)
    stack.killed_inside("oms", "apps.oms")
    until(lambda: stack.inspected("oms")["RestartCount"] == 1, 30, "oms is started again")
    until(lambda: is_well(8099), 60, "oms is healthy again")
    until(lambda: httpx.get(f"{OMS}/ready", timeout=5).status_code == 200, 60, "oms is ready again")
    assert orders(stack) == before
    answer = submitted(stack)
    until(lambda: filled(stack, answer["order_id"]), 20, "an order lives after it")


def test_a_paused_valkey_turns_health_red_and_green_again(stack: Deployed) -> None:
    stack.compose("pause", "valkey")
    try:
        until(lambda: not is_well(8099) and not is_well(8107), 20, "oms and projector say so")
        assert "valkey" in httpx.get(f"{OMS}/health", timeout=5).json()["reason"]
        answer = submitted(stack, "while-valkey-is-away")
        assert answer["status"] == "submitted", "positions for readers are away, orders go on"
    finally:
        stack.compose("unpause", "valkey")
    until(lambda: all(is_well(port) for port in (8099, 8103, 8107)), 30, "all are well again")
    until(lambda: bool(read(stack, "/positions/while-valkey-is-away")), 20, "and the projector has caught up")


def test_a_stop_takes_less_than_ten_seconds_and_is_clean(stack: Deployed) -> None:
    # FAILURES 73
    for service in reversed(SERVICES):
        began = time.monotonic()
        stack.compose("stop", service)
        assert time.monotonic() - began < STOP_MAX_S, service
        assert stack.inspected(service)["State"]["ExitCode"] == 0, service
    stack.up()


def test_down_and_up_keep_every_order(stack: Deployed) -> None:
    some = [submitted(stack, "kept") for _ in range(20)]
    until(lambda: all(filled(stack, answer["order_id"]) for answer in some if answer["status"] == "submitted"), 20, "they are filled")
    before = orders(stack)
    positions = read(stack, "/positions/kept")["BTCUSDT"]["quantity"]
    stack.down()
    stack.up()
    assert orders(stack) == before
    assert {answer["order_id"] for answer in some} <= set(before)
    assert read(stack, "/positions/kept")["BTCUSDT"]["quantity"] == positions


def test_renewed_secrets_end_the_key_of_the_command_and_keep_all_others(stack: Deployed) -> None:
    before, old = orders(stack), stack.secret("cli.key")
    stack.renew()
    assert stack.secret("cli.key") != old
    refused = httpx.get(f"{RISK}/access/keys", headers={"Authorization": f"Bearer {old}"}, timeout=5)
    assert refused.status_code == 401
    made = stack.new_key("after-the-renewal", "trade,read")
    assert httpx.get(f"{OMS}/access/me", headers={"Authorization": f"Bearer {made}"}, timeout=5).status_code == 200
    assert orders(stack) == before, "with a key from before"
    answer = submitted(stack)
    until(lambda: filled(stack, answer["order_id"]), 20, "an order lives after it")


def test_root_with_the_capability_of_the_pages_makes_a_backup_and_reads_the_marks(stack: Deployed, tmp_path: Path) -> None:
    """Without it root in a container reads no file of another user: docs/operations.md."""
    as_root = ("run", "--rm", "-T", "--user", "0", "--cap-add", "DAC_OVERRIDE")
    stack.compose(*as_root, "-v", f"{tmp_path}:/backups", "trade", "backup", "/backups/x.gz")
    assert (tmp_path / "x.gz").stat().st_size > 0
    shown = stack.compose(*as_root, "-v", f"{PROJECT}_oms-data:/data", "-e", "TRADE_DATA_DIR=/data", "trade", "journal", "show").stdout
    row = next(line.split() for line in shown.splitlines() if line.startswith("oms.journal.0"))
    assert row[2].isdigit(), f"the mark of oms: {shown}"


def test_everything_agrees_with_the_journal(stack: Deployed) -> None:
    done: subprocess.CompletedProcess[str] = stack.trade("verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.trade("status").returncode == 0


MARKET: Final = ("market-nats", "gateway", "normalizer", "sink-ticks")


def test_the_market_plane_is_healthy_where_no_venue_can_be_reached(stack: Deployed) -> None:
    wait = ("--wait", "--wait-timeout", str(UP_MAX_S))
    stack.compose("--profile", "market", "up", "-d", *wait, within_s=UP_MAX_S + 30)
    try:
        for name in MARKET:
            found = stack.inspected(name)
            assert (found["State"]["Health"]["Status"], found["RestartCount"]) == ("healthy", 0), name
        ready = httpx.get("http://127.0.0.1:8080/ready", timeout=5)
        assert (ready.status_code, ready.json()["reason"]) == (503, "venues: no venue reached")
        assert is_well(8099), "and the core does not notice"
    finally:
        stack.compose("--profile", "market", "rm", "-s", "-f", *MARKET)


UNIT: Final = ("unit", "live-gateway", "projector", "desk")
APART: Final = ("oms", "risk", "exeq")


def test_a_unit_takes_the_place_of_the_three_and_comes_back_when_it_is_killed(stack: Deployed) -> None:
    kept = submitted(stack, "before-the-unit")
    until(lambda: filled(stack, kept["order_id"]), 20, "an order of the separate services")
    before = orders(stack)
    stack.compose("rm", "-s", "-f", *APART)
    said = stack.compose("run", "--rm", "-T", "carry", "unit").stdout
    assert "oms: watermarks/oms.journal.0.mark -> unit" in said
    stack.up(*UNIT)
    assert [stack.container(name) for name in APART] == ["", "", ""], "nothing brought them back"
    assert orders(stack) == before
    answer = submitted(stack, "unit")
    until(lambda: filled(stack, answer["order_id"]), 20, "an order fills in a unit")
    before = orders(stack)
    stack.killed_inside("unit", "apps.unit")
    until(lambda: stack.inspected("unit")["RestartCount"] == 1, 30, "the unit is started again")
    for port in (8099, 8103, 8095):
        until(lambda port=port: is_well(port), 60, f"{port} is healthy again")  # type: ignore[misc]
    until(lambda: httpx.get(f"{OMS}/ready", timeout=5).status_code == 200, 60, "oms is ready again")
    assert orders(stack) == before
    after = submitted(stack, "unit")
    until(lambda: filled(stack, after["order_id"]), 20, "an order lives after it")
    assert stack.trade("status").returncode == 0, "the command finds the three by their names"


def test_a_unit_cannot_read_the_secrets_of_others(stack: Deployed) -> None:
    for file in ("oms.yaml", "projector.yaml", "keys.json"):
        assert "PermissionError" in stack.python("unit", f"open('/run/secrets/trade/{file}')", check=False)
    assert "PermissionError" in stack.python("projector", "open('/run/secrets/trade/unit/oms.yaml')", check=False)


def test_the_separate_services_beside_a_unit_do_not_start_and_would_not_trade(stack: Deployed) -> None:
    refused = stack.up(check=False)
    assert refused.returncode != 0
    assert "port is already allocated" in refused.stderr
    stack.compose("rm", "-s", "-f", *APART)
    name = f"{PROJECT}-second"
    stack.compose("run", "-d", "--no-deps", "--name", name, "exeq")  # `run` publishes no port: nothing holds it back but NATS
    try:
        until(lambda: "stands by: exeq-" in stack.docker("logs", name).stdout, 30, "a second exeq waits for its turn")
        answer = submitted(stack, "one-of-two")
        until(lambda: filled(stack, answer["order_id"]), 20, "the unit trades on")
    finally:
        stack.docker("rm", "-f", name)


def test_the_separate_services_take_over_again_from_the_unit(stack: Deployed) -> None:
    before = orders(stack)
    began = time.monotonic()
    stack.compose("stop", "unit")
    assert time.monotonic() - began < STOP_MAX_S
    assert stack.inspected("unit")["State"]["ExitCode"] == 0
    stack.compose("rm", "-f", "unit")
    assert "unit: watermarks/oms.journal.0.mark -> oms" in stack.compose("run", "--rm", "-T", "carry", "services").stdout
    stack.up()
    assert orders(stack) == before
    answer = submitted(stack, "apart-again")
    until(lambda: filled(stack, answer["order_id"]), 20, "an order lives in the separate services")
    done = stack.trade("verify")
    assert done.returncode == 0, done.stdout + done.stderr
