"""risk as a process on real servers: it follows the journal, answers, and survives what it must survive."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from redis import Redis

from adapters import bus
from adapters.chain import GENESIS
from adapters.codec import ORDER_COMMITS, decoder, encode
from adapters.jetstream import JetStreamJournal, ensure_stream
from adapters.price_history import QuestDbPrices
from adapters.subjects import PRICES_CHANGED
from domain.market.price_history import DailyClose
from domain.market.quotes import Quote
from domain.order.commands import RiskDecision, Terms
from domain.order.events import OrderCancelled, OrderEvent
from domain.order.lifecycle import State
from tests.children import started
from tests.domain.risk.scene import WITHOUT_VAR, checked, filled, order, submitted
from tests.live import LiveServer
from tests.ports import free_ports

CHECKOUT = Path(__file__).parents[2]
START_S = 120.0
WAIT_S = 120.0
DAY_NS = 86_400 * 10**9
TTL_MS = 400
"""Short enough for tests to wait for it, long enough for a slow machine to journal within it."""

HELD_MS = 5000
"""No reservation ends within a scene that asks without journaling."""

_DECISIONS = decoder(tuple[RiskDecision, ...])
GOOD = {"account": "alice", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 45000}


class Risk:
    """The service as `trade up` runs it, on ports of its own."""

    def __init__(self, home: Path, environment: dict[str, str], enabled: Sequence[str] = (), ttl_ms: int = TTL_MS) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        port, metrics_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        config = home / "risk.yaml"
        checks = ", ".join(enabled or sorted(WITHOUT_VAR))
        config.write_text(f"risk_checks:\n  reservation_ttl_ms: {ttl_ms}\n  price_history_refresh_sec: 1\n  enabled: [{checks}]\n")
        own = {"TRADE_CONFIG": str(config), "TRADE_PORT": str(port), "TRADE_METRICS_PORT": str(metrics_port), "TRADE_LOG_DIR": str(home)}
        self._environment = os.environ | environment | own
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> "Risk":
        self.launch()
        await self.until("/ready", 200, START_S)
        return self

    def launch(self) -> None:
        with (self.home / "risk.out").open("ab") as output:
            command = (sys.executable, "-m", "apps.risk")
            self._process = started(command, cwd=CHECKOUT, env=self._environment, stdout=output, stderr=output)

    def end(self, number: int = signal.SIGTERM) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        return process.wait(120)

    def wait_for_end(self) -> int:
        """The exit code of one that ends by itself."""
        assert self._process is not None
        process, self._process = self._process, None
        return process.wait(START_S)

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=60, verify=False) as client:
            return await client.get(self.url + path)

    async def post(self, path: str, body: object) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=60, verify=False) as client:
            return await client.post(self.url + path, content=json.dumps(body))

    async def until(self, path: str, status: int, seconds: float = WAIT_S) -> httpx.Response:
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.get(path)
                if answer.status_code == status:
                    return answer
            assert self._process is None or self._process.poll() is None, (self.home / "risk.out").read_text()
            assert time.monotonic() < end, f"{path} did not answer {status}:\n" + (self.home / "risk.out").read_text()
            await asyncio.sleep(0.02)

    async def portfolio(self, account: str = "alice") -> dict[str, Any]:
        found: dict[str, Any] = (await self.get(f"/risk/portfolio?account={account}")).json()
        return found

    async def until_portfolio(self, **wanted: object) -> dict[str, Any]:
        end = time.monotonic() + WAIT_S
        while True:
            found = await self.portfolio()
            if all(found[name] == value for name, value in wanted.items()):
                return found
            assert time.monotonic() < end, found
            await asyncio.sleep(0.02)

    def said(self) -> list[str]:
        return [json.loads(line)["event"] for line in (self.home / "risk.jsonl").read_text().splitlines()]


class Oms:
    """Writes the journal, as oms would."""

    def __init__(self, journal: JetStreamJournal) -> None:
        self._journal = journal
        self._head = GENESIS

    async def commit(self, *events: OrderEvent) -> None:
        self._head = await self._journal.append(ORDER_COMMITS.encode(0, self._head.n + 1, events), self._head)


@pytest.fixture
async def client(fresh_nats: LiveServer) -> AsyncIterator[Client]:
    found = await bus.connect(fresh_nats.url, "test", closed=lambda: None)
    yield found
    await found.close()


@pytest.fixture
async def oms(client: Client) -> Oms:
    await ensure_stream(client, "OMS_JOURNAL", ["oms.journal.>"], 64 * 2**20)
    return Oms(await JetStreamJournal.open(client, stream="OMS_JOURNAL", subject="oms.journal.0"))


Make = Callable[..., Risk]


@pytest.fixture
def make(fresh_nats: LiveServer, valkey_server: LiveServer, questdb_server: LiveServer, tmp_path: Path) -> Iterator[Make]:
    made: list[Risk] = []
    urls = {"TRADE_NATS_URL": fresh_nats.url, "TRADE_VALKEY_URL": valkey_server.url, "TRADE_QUESTDB_PG_URL": questdb_server.pg_url}

    def one(enabled: Sequence[str] = (), ttl_ms: int = TTL_MS, **environment: str) -> Risk:
        made.append(Risk(tmp_path / "risk", urls | environment, enabled, ttl_ms))
        return made[-1]

    yield one
    for risk in made:
        risk.end(signal.SIGKILL)


async def ask(client: Client, *orders: Terms) -> list[RiskDecision]:
    reply = await bus.request(client, "risk.check.order", encode(list(orders)), WAIT_S)
    return list(_DECISIONS.decode(reply))


def buy(order_id: str, quantity: str = "0.1", side: str = "buy") -> Terms:
    return order("alice", order_id, side, quantity, "BTCUSDT", "@45000")


async def test_an_order_goes_from_reserved_to_open_to_position_as_the_journal_says(client: Client, oms: Oms, make: Make) -> None:
    risk = await make().start()
    terms = buy("o1")
    (decision,) = await ask(client, terms)
    assert decision.approved
    assert decision.reference == 45000
    reserved = {"reservations": 2250, "margin_in_use": 0, "buying_power": 97750}
    await risk.until_portfolio(**reserved)
    await oms.commit(submitted(terms), checked(terms, decision.reference))
    await asyncio.sleep(TTL_MS / 1000 * 2)
    await risk.until_portfolio(**reserved, as_of_seq=1)
    await oms.commit(filled(terms, "0.04", "45000", "1", State.PARTIALLY_FILLED))
    await risk.until_portfolio(reservations=1350, margin_in_use=900, equity=99999)
    await oms.commit(OrderCancelled(order_id="o1", at=0, status=State.CANCELLED, source="client", reason="requested"))
    found = await risk.until_portfolio(reservations=0, margin_in_use=900, as_of_seq=3)
    assert found["symbols"]["BTCUSDT"]["quantity"] == 0.04
    stats = (await risk.get("/stats")).json()
    assert (stats["leaked_reservations"], stats["reservations"], stats["approved"]) == (0, 0, 1)
    assert risk.end() == 0
    assert {"Connected to NATS", "Connected to Redis", "Connected to QuestDB"} <= set(risk.said())


async def test_an_approval_that_is_never_journaled_is_given_back_and_counted(client: Client, oms: Oms, make: Make) -> None:  # FAILURES 17
    risk = await make().start()
    lost, late = buy("lost"), buy("late")
    assert all(decision.approved for decision in await ask(client, lost, late))
    await risk.until_portfolio(reservations=4500)
    await risk.until_portfolio(reservations=0)
    assert (await risk.get("/stats")).json()["leaked_reservations"] == 2
    await oms.commit(submitted(late), checked(late, late.price))
    await risk.until_portfolio(reservations=2250)


async def test_after_kill_9_nothing_is_approved_until_the_journal_is_read(client: Client, oms: Oms, make: Make) -> None:
    risk = await make().start()
    held = buy("held", "0.5")
    await oms.commit(submitted(held), checked(held, held.price))
    await risk.until_portfolio(reservations=11250)
    (approved,) = await ask(client, buy("unseen", "0.01"))
    assert approved.approved
    risk.end(signal.SIGKILL)
    starting = asyncio.create_task(risk.start())
    seen: set[str] = set()
    while not starting.done():
        with contextlib.suppress(httpx.TransportError):
            answer = await risk.post("/check", GOOD)
            seen.add(str(answer.json().get("reason") or answer.json().get("code")))
        await asyncio.sleep(0.02)
    await starting
    assert seen <= {"starting", "risk_error", "concentration_limit"}
    assert "risk_error" in seen
    (refused,) = await ask(client, buy("o2"))
    assert refused.denial is not None
    assert refused.denial.code == "concentration_limit"  # 22 500 open and 4 500 more are above 25 000
    (held_again,) = await ask(client, held)
    assert held_again.denial is not None
    assert held_again.denial.code == "duplicate_order"


async def test_of_thirty_two_clients_exactly_ten_pass_a_limit_that_fits_ten(client: Client, oms: Oms, make: Make) -> None:  # FAILURES 18
    risk = await make(ttl_ms=HELD_MS).start()
    for number in range(5):
        orders = [order(f"racer{number}", f"r{number}-{n}", "buy", "0.05", "BTCUSDT", "@50000") for n in range(32)]
        batches = [orders[0:5], orders[5:6], orders[6:16]]
        over_http = [
            risk.post(
                "/check",
                {"account": o.account, "symbol": o.symbol, "side": "buy", "quantity": "0.05", "price": 50000, "order_id": o.order_id},
            )
            for o in orders[16:]
        ]
        told, answers = await asyncio.gather(asyncio.gather(*(ask(client, *batch) for batch in batches)), asyncio.gather(*over_http))
        approved = [decision.approved for batch in told for decision in batch] + [one.json()["approved"] for one in answers]
        assert sum(approved) == 10  # 25 000 USD is a quarter of 100 000


async def test_a_block_is_in_force_before_its_answer_and_outlives_the_process(client: Client, oms: Oms, make: Make) -> None:  # FAILURES 40
    risk = await make().start()
    answer = await risk.post("/risk/symbols/BTCUSDT/block", {"reason": "halted by the exchange", "who": "desk-1"})
    assert (answer.status_code, answer.json()["blocked"]) == (200, True)
    assert (await risk.post("/check", GOOD)).json() == {"approved": False, "reason": "symbol_blocked"}
    assert (await risk.post("/check", {**GOOD, "symbol": "ETHUSDT", "price": 3000})).json() == {"approved": True}
    risk.end(signal.SIGKILL)
    await risk.start()
    assert (await ask(client, buy("o1")))[0].denial is not None
    (block,) = (await risk.get("/risk/limits")).json()["blocked_symbols"]
    assert (block["symbol"], block["reason"], block["who"], block["version"]) == ("BTCUSDT", "halted by the exchange", "desk-1", 3), (
        "2 is the catalogue"
    )
    answer = await risk.post("/risk/symbols/BTCUSDT/unblock", {"reason": "trading again"})
    assert (answer.status_code, answer.json()["blocked"]) == (200, False)
    assert (await risk.post("/check", GOOD)).json() == {"approved": True}
    assert (await risk.post("/risk/symbols/BTC%2FUSDT/block", {"reason": "x"})).json()["code"] == "unknown_symbol"


async def test_blocks_made_at_once_are_all_kept_in_some_order(client: Client, oms: Oms, make: Make) -> None:
    risk = await make().start()
    symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "AAPL", "SPY"]
    answers = await asyncio.gather(*(risk.post(f"/risk/symbols/{symbol}/block", {"reason": "x"}) for symbol in symbols))
    assert [answer.status_code for answer in answers] == [200] * len(symbols)
    blocks = (await risk.get("/risk/limits")).json()["blocked_symbols"]
    assert (sorted(b["version"] for b in blocks), {b["symbol"] for b in blocks}) == ([3, 4, 5, 6, 7], set(symbols)), "2 is the catalogue"


async def test_without_nats_nothing_is_approved_and_no_block_is_promised(
    fresh_nats: LiveServer, client: Client, oms: Oms, make: Make
) -> None:  # FAILURES 6
    risk = await make().start()
    fresh_nats.kill()
    await risk.until("/health", 503)
    assert (await risk.post("/check", GOOD)).json() == {"approved": False, "reason": "risk_error", "detail": {"found": "not_ready"}}
    answer = await risk.post("/risk/symbols/BTCUSDT/block", {"reason": "x"})
    assert answer.status_code == 503
    assert answer.json()["outcome"] in ("not_accepted", "unknown")
    fresh_nats.start()
    await risk.until("/health", 200)
    end = time.monotonic() + START_S
    while (await risk.post("/check", GOOD)).json() != {"approved": True}:  # the followers take a moment to notice, and it is shut meanwhile
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    assert (await risk.post("/risk/symbols/BTCUSDT/block", {"reason": "x"})).status_code == 200


async def test_losing_valkey_costs_readers_and_no_order(  # FAILURES 19, 22
    fresh_valkey: LiveServer, client: Client, oms: Oms, make: Make
) -> None:
    risk = await make(TRADE_VALKEY_URL=fresh_valkey.url).start()
    terms = buy("o1")
    await oms.commit(submitted(terms), checked(terms, terms.price))
    store = Redis.from_url(f"{fresh_valkey.url}/4", decode_responses=True)

    async def until_written(seq: str) -> dict[str, str]:
        end = time.monotonic() + WAIT_S
        while True:
            row: dict[str, str] = store.hgetall("risk:portfolio:alice")  # type: ignore[assignment]
            if row.get("as_of_seq") == seq:
                return row
            assert time.monotonic() < end, row
            await asyncio.sleep(0.05)

    row = await until_written("1")
    assert (row["reservations"], row["buying_power"], row["equity"]) == ("2250", "97750", "100000")
    assert (row["open_orders"], json.loads(row["symbols"])["BTCUSDT"]["open_buy_quantity"]) == ("1", 0.1)
    store.flushall()
    fresh_valkey.kill()
    await risk.until("/health", 503)
    await risk.until("/ready", 200)
    assert (await ask(client, buy("o2")))[0].approved
    (refused,) = await ask(client, buy("o3", "0.5"))  # memory, not Valkey, knows what is held
    assert refused.denial is not None
    fresh_valkey.start()
    await risk.until("/health", 200)
    await oms.commit(filled(terms, "0.1", "45000", "0", State.FILLED))
    assert (await until_written("2"))["margin_in_use"] == "2250"
    store.close()


async def test_market_orders_wait_for_a_quote_and_rubbish_is_no_quote(client: Client, oms: Oms, make: Make) -> None:
    risk = await make().start()
    market = order("alice", "", "buy", "0.1", "BTCUSDT", "market")
    await client.publish("ticks.BTCUSDT", b"rubbish")
    (refused,) = await ask(client, market)
    assert refused.denial is not None
    assert refused.denial.code == "no_reference_price"
    one = Decimal(1)
    quote = Quote(symbol="BTCUSDT", venue="PAPER_A", bid=Decimal(44999), bid_size=one, ask=Decimal(45000), ask_size=one, at=0)
    await client.publish("ticks.BTCUSDT", encode(quote))
    await bus.flush(client)
    end = time.monotonic() + WAIT_S
    while not (decision := (await ask(client, market))[0]).approved:
        assert time.monotonic() < end
    assert decision.reference == Decimal("45450.00")
    far = (await risk.post("/check?explain=1", {**GOOD, "price": 60000})).json()
    assert (far["reason"], far["detail"]) == ("price_collar", {"found": "15000.5", "limit": "8999.9", "unit": "USD"})
    assert far["prices"][0]["name"] == "mid"
    stats = (await risk.get("/stats")).json()
    assert (stats["ticks"], stats["ticks_refused"]) == (1, 1)


async def test_orders_are_refused_until_closes_are_loaded_and_go_on_without_their_database(
    fresh_questdb: LiveServer, client: Client, oms: Oms, make: Make
) -> None:  # FAILURES 23
    risk = await make(enabled=("var_limit",), TRADE_QUESTDB_PG_URL=fresh_questdb.pg_url).start()
    refused = {"approved": False, "reason": "no_price_history", "detail": {"found": "BTCUSDT missing"}}
    assert (await risk.post("/check", GOOD)).json() == refused
    today = time.time_ns() // DAY_NS
    prices = QuestDbPrices(fresh_questdb.pg_url)
    await prices.prepare()
    await prices.write([DailyClose(today - ago, "BTCUSDT", Decimal(100 + ago % 2), "test") for ago in range(1, 41)])
    await client.publish(PRICES_CHANGED, b"")
    end = time.monotonic() + WAIT_S
    while (await risk.post("/check", GOOD)).json() != {"approved": True}:
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
    fresh_questdb.kill()
    await risk.until("/health", 503)
    await risk.until("/ready", 200)
    assert (await risk.post("/check", GOOD)).json() == {"approved": True}
    history = (await risk.get("/stats")).json()["price_history"]
    assert (history["scenarios"], history["usable"], history["unusable"]["AAPL"]) == (30, ["BTCUSDT"], "missing")


async def test_a_check_answers_also_when_others_send_rubbish(client: Client, oms: Oms, make: Make) -> None:  # FAILURES 16
    risk = await make().start()
    for payload in (b"", b"\xff" * 100, b"[[[", b'{"order_id":"x"}', b"[" * 9000):
        reply = await bus.request(client, "risk.check.order", payload, WAIT_S)
        found = json.loads(reply)
        assert (found["approved"], found["reason"]) == (False, "risk_error")
    assert (await ask(client, buy("o1")))[0].approved
    async with httpx.AsyncClient(trust_env=False) as http_client:
        page = (await http_client.get(risk.metrics_url)).text
    assert 'risk_checks_total{outcome="denied",reason="risk_error"} 5.0' in page
    assert 'risk_checks_total{outcome="approved",reason=""} 1.0' in page
