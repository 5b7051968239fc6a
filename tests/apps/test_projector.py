"""The projector as a process, on a real journal and real stores: what is in the journal is in the stores, exactly once, whatever dies."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import nats
import pytest
from nats.aio.client import Client
from redis.asyncio import Redis

from adapters import bus
from adapters.codec import ORDER_COMMITS
from adapters.jetstream import JetStreamJournal, ensure_stream
from adapters.questdb import QuestDbFills
from adapters.sqlite import SqliteFills
from adapters.valkey import ValkeyPositions
from domain.order import events as e
from domain.ports import Fills, Head, Unavailable
from domain.position.position import Position, PositionBook
from tests.children import started
from tests.contracts.facts import AT, filled, submitted
from tests.live import LiveServer
from tests.ports import free_ports

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
ACCOUNTS = ("alice", "bob")
SYMBOLS = ("BTCUSDT", "ETH/USDT")


class Projector:
    """The service as a child process, which may be killed and started again on the same stores."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.port, metrics_port = free_ports(2)
        self.metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        own = {"TRADE_PORT": str(self.port), "TRADE_METRICS_PORT": str(metrics_port), "TRADE_DATA_DIR": str(home)}
        self._environment = {**os.environ, **environment, **own}
        self._output = home / "projector.out"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("ab") as output:
            self._child = started(
                (sys.executable, "-m", "apps.projector"),
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self._child is not None
        self._child.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        assert self._child is not None
        child, self._child = self._child, None
        return child.wait(120)

    @contextmanager
    def running(self) -> Any:
        self.start()
        try:
            yield
        finally:
            if self._child is not None:
                self.end(signal.SIGKILL)

    def said(self) -> str:
        return self._output.read_text()

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=60) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def stats(self) -> Any:
        return (await self.get("/stats")).json()

    async def answers(self, path: str, status: int) -> httpx.Response:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    if (answer := await self.get(path)).status_code == status:
                        return answer
                except httpx.TransportError:
                    assert self._child
                    assert self._child.poll() is None, self.said()
                await asyncio.sleep(0.05)


class Scene:
    """A journal with trades in it, the positions that follow from them, and the stores to compare with."""

    def __init__(self, client: Client, journal: JetStreamJournal, positions: ValkeyPositions, fills: Fills, projector: Projector) -> None:
        self.client = client
        self.positions = positions
        self.fills = fills
        self.projector = projector
        self.book = PositionBook()
        self.head = Head()
        self.trades = 0
        self._journal = journal

    async def commit(self, *events: e.OrderEvent) -> None:
        self.head = await self._journal.append(ORDER_COMMITS.encode(0, self.head.n + 1, events), self.head)
        for event in events:
            self.book.apply(event, self.head.seq)

    async def trade(self, commits: int, per_commit: int = 5) -> None:
        """Buys and sells of both accounts in both symbols, at awkward prices."""
        for _ in range(commits):
            events = []
            for _ in range(per_commit):
                n = self.trades = self.trades + 1
                events.append(
                    filled(
                        f"E{n}",
                        f"0.{n:06d}7",
                        f"{100 + n % 17}.{n:04d}",
                        fee=f"0.0000{n}",
                        account=ACCOUNTS[n % 2],
                        symbol=SYMBOLS[n // 2 % 2],
                        side=("buy", "sell", "buy")[n % 3],
                        at=AT + n * 1_000_000,
                    )
                )
            await self.commit(*events)

    async def projected(self) -> None:
        """Until positions and fills stand for the whole journal; then both are compared with the independent fold."""
        await self.positions_projected()
        await self.fills_projected()

    async def positions_projected(self) -> None:
        await self._until(self._positions_checkpoint, lambda seq: seq == self.head.seq)
        assert sorted(await self.positions.load(), key=_key) == sorted(self.book.positions.values(), key=_key)

    async def fills_projected(self) -> None:
        rows = await self._until(self._rows, lambda rows: len(rows) >= self.trades)
        assert len({row["exec_id"] for row in rows}) == len(rows) == self.trades, "each trade has one row"
        for position in self.book.positions.values():
            held = [row for row in rows if (row["account"], row["symbol"]) == _key(position)]
            assert sum(Decimal(row["quantity"]) * (1 if row["side"] == "buy" else -1) for row in held) == position.quantity
            assert sum(Decimal(row["fee"]) for row in held) == position.fees

    async def _positions_checkpoint(self) -> int:
        return await self.positions.checkpoint()

    async def _rows(self) -> list[dict[str, Any]]:
        return [row for account in ACCOUNTS for row in await self.fills.fills(account, symbol=None, since_ns=0, limit=100_000)]

    async def _until(self, ask: Callable[[], Any], true: Callable[[Any], bool]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    if true(found := await ask()):
                        return found
                except Unavailable:
                    pass
                await asyncio.sleep(0.03)


def _key(position: Position) -> tuple[str, str]:
    return position.account, position.symbol


@asynccontextmanager
async def _scene(nats_server: LiveServer, valkey: LiveServer, fills: Any, home: Path, environment: dict[str, str]) -> AsyncIterator[Scene]:
    client = await bus.connect(nats_server.url, "test", closed=lambda: None)
    await ensure_stream(client, "OMS_JOURNAL", ["oms.journal.*"], 256 * 1024 * 1024)
    journal = await JetStreamJournal.open(client, stream="OMS_JOURNAL", subject="oms.journal.0")
    positions = ValkeyPositions.at(valkey.url, timeout_ms=2000)
    projector = Projector(home, {"TRADE_NATS_URL": nats_server.url, "TRADE_VALKEY_URL": valkey.url, **environment})
    with projector.running():
        yield Scene(client, journal, positions, fills, projector)
    await fills.close()
    await positions.close()
    await client.close()


@pytest.fixture
async def scene(fresh_nats: LiveServer, fresh_valkey: LiveServer, tmp_path: Path) -> AsyncIterator[Scene]:
    """With SQLite."""
    fills = SqliteFills(tmp_path / "fills.db")
    async with _scene(fresh_nats, fresh_valkey, fills, tmp_path, {"TRADE_FILLS": "sqlite"}) as made:
        yield made


@pytest.fixture
async def quest_scene(fresh_nats: LiveServer, fresh_valkey: LiveServer, fresh_questdb: LiveServer, tmp_path: Path) -> AsyncIterator[Scene]:
    """With QuestDB."""
    fills = QuestDbFills(fresh_questdb.pg_url)
    environment = {"TRADE_QUESTDB_HTTP_URL": fresh_questdb.url, "TRADE_QUESTDB_PG_URL": fresh_questdb.pg_url}
    async with _scene(fresh_nats, fresh_valkey, fills, tmp_path, environment) as made:
        yield made


async def test_a_trade_becomes_a_position_a_row_and_a_message(scene: Scene, fresh_valkey: LiveServer) -> None:
    await scene.projector.answers("/ready", 200)
    updates = await scene.client.subscribe("positions.>")
    await bus.flush(scene.client)
    await scene.commit(submitted("O1"), filled("E1", "0.1", "45000.5", fee="0.45"))
    scene.trades = 1
    message = await updates.next_msg(5)
    assert message.subject == "positions.alice"
    assert message.data == (
        b'{"account":"alice","symbol":"BTCUSDT","quantity":0.1,"price":45000.5,"timestamp":1700000000.123456,'
        b'"average_price":45000.5,"realised_pnl":0,"currency":"USDT","seq":1}'
    )
    async with Redis.from_url(fresh_valkey.url, db=5, decode_responses=True) as valkey:
        assert await valkey.hget("position:alice:BTCUSDT", "quantity") == "0.1", "the store comes before the message"
    await scene.projected()
    stats = await scene.projector.stats()
    assert {name: stats["positions"][name] for name in ("seq", "lag_commits", "stored", "published", "starts")} == {
        "seq": 1,
        "lag_commits": 0,
        "stored": 1,
        "published": 1,
        "starts": 1,
    }
    assert (stats["fills"]["rows"], stats["fills"]["rows_held"]) == (2, 0)
    assert (await scene.projector.get("/health")).json() == {"status": "healthy"}
    async with httpx.AsyncClient(timeout=60) as client:
        assert 'projection_seq{projection="fills"} 1.0' in (await client.get(scene.projector.metrics)).text
    assert scene.projector.end() == 0
    said = scene.projector.said()
    assert all(sentence in said for sentence in ("Connected to NATS", "Connected to Redis", "Connected to SQLite"))


async def test_positions_in_one_batch_are_announced_once_each(scene: Scene) -> None:
    await scene.projector.answers("/ready", 200)
    updates = await scene.client.subscribe("positions.>")
    await bus.flush(scene.client)
    await scene.trade(commits=1, per_commit=40)
    told = [msgspec.json.decode((await updates.next_msg(5)).data) for _ in range(4)]
    assert {(m["account"], m["symbol"]) for m in told} == {(a, s) for a in ACCOUNTS for s in SYMBOLS}
    with pytest.raises(nats.errors.TimeoutError):
        await updates.next_msg(0.3)


async def test_valkey_killed_in_the_middle_catches_up_exactly_once_and_fills_never_wait(scene: Scene, fresh_valkey: LiveServer) -> None:
    await scene.trade(30)
    fresh_valkey.kill()
    await scene.trade(30)
    await scene.fills_projected()
    assert "valkey" in (await scene.projector.answers("/health", 503)).json()["reason"]
    assert "positions" in (await scene.projector.answers("/ready", 503)).json()["reason"]
    await scene.trade(10)
    fresh_valkey.start()
    await scene.projected()
    await scene.projector.answers("/health", 200)
    await scene.projector.answers("/ready", 200)


async def test_a_flushed_valkey_is_rebuilt_even_when_nothing_happens(scene: Scene, fresh_valkey: LiveServer) -> None:  # FAILURES 19
    await scene.trade(20)
    await scene.projected()
    updates = await scene.client.subscribe("positions.>")
    await bus.flush(scene.client)
    async with Redis.from_url(fresh_valkey.url) as valkey:
        await valkey.flushall()
        await valkey.function_flush()
    assert await scene.positions.checkpoint() == 0
    await scene.projected()
    with pytest.raises(nats.errors.TimeoutError):
        await updates.next_msg(0.2)  # old positions are no news


async def test_a_valkey_that_went_back_in_time_is_brought_forward(scene: Scene) -> None:  # FAILURES 21
    await scene.trade(10)
    await scene.positions_projected()
    earlier = [msgspec.structs.replace(position) for position in await scene.positions.load()]
    await scene.trade(10)
    await scene.positions_projected()
    await scene.positions.clear()
    await scene.positions.store(earlier, after=0, seq=10)
    await scene.trade(3)
    await scene.projected()


@pytest.mark.parametrize("trades_first", [0, 40])
async def test_a_projector_killed_again_and_again_does_everything_exactly_once(scene: Scene, trades_first: int) -> None:
    await scene.trade(trades_first)
    for _ in range(3):
        writing = asyncio.create_task(scene.trade(60))
        await asyncio.sleep(0.15)
        scene.projector.end(signal.SIGKILL)
        scene.projector.start()
        await writing
        await scene.projector.answers("/stats", 200)
    await scene.projected()


async def test_an_sqlite_file_taken_away_is_made_again_from_the_journal(scene: Scene, tmp_path: Path) -> None:
    await scene.trade(10)
    await scene.projected()
    await scene.fills.close()  # type: ignore[attr-defined]
    for file in tmp_path.glob("fills.db*"):
        file.unlink()
    await scene.trade(1)
    await scene.projected()


async def test_questdb_down_holds_up_fills_alone_and_leaves_no_row_twice(quest_scene: Scene, fresh_questdb: LiveServer) -> None:
    # FAILURES 23
    await quest_scene.trade(30)
    await quest_scene.projected()
    fresh_questdb.kill()
    await quest_scene.trade(30)
    await quest_scene.positions_projected()
    assert "questdb" in (await quest_scene.projector.answers("/health", 503)).json()["reason"]
    await quest_scene.trade(30)
    await quest_scene.positions_projected()
    fresh_questdb.start()
    await quest_scene.projected()
    await quest_scene.projector.answers("/ready", 200)
    assert "Connected to QuestDB" in quest_scene.projector.said()


async def test_questdb_that_lost_everything_is_filled_again(quest_scene: Scene, fresh_questdb: LiveServer) -> None:  # FAILURES 24
    await quest_scene.trade(30)
    await quest_scene.projected()
    fresh_questdb.kill()
    shutil.rmtree(fresh_questdb.home / "questdb" / "db")
    fresh_questdb.start()
    await quest_scene.trade(5)
    await quest_scene.projected()


async def test_positions_of_another_journal_are_not_mixed_with_this_one(scene: Scene) -> None:  # FAILURES 13
    scene.projector.end(signal.SIGKILL)
    await scene.positions.clear()
    await scene.positions.store([Position(account="alice", symbol="BTCUSDT", quantity=Decimal(1))], after=0, seq=99)
    scene.projector.start()
    assert scene.projector.ended() == 1
    assert "the store of positions is at sequence 99, which the journal does not have" in scene.projector.said()
