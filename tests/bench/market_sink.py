"""Ticks a second into QuestDB by sink-ticks, against the bare ceiling of the same run: the same client and rows without a sink.

    python -m tests.bench.market_sink [--ticks 1000000] [--floor 0.7]

Both write to a server of their own from the same messages of 100 ticks. The bare writer decodes nothing and has no checkpoint: it sends
rows that are ready in memory, in batches of the same size. Rows and sums are verified. CPU is that of the writing process and of QuestDB.
"""

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import psutil
from questdb import Protocol, Sender, TimestampNanos

from adapters import bus, subjects
from adapters.codec import encode
from adapters.jetstream import stream_state
from adapters.marketstreams import ensure_market_stream
from adapters.questtables import BARS, LINES, TICK_TABLES, view
from apps.stack import servers
from domain.archive.checkpoint import Message
from domain.archive.market_rows import QUOTES, TRADES, tick_rows
from domain.market.quotes import Quote
from domain.market.records import MarketTrade
from domain.values import Side, use_exact_arithmetic
from tests.contracts import ticks
from tests.live import LiveServer, live
from tests.process import LiveService

BATCH: Final = 50_000
MESSAGE: Final = 100
BEGIN, END = 0.1, 0.9
"""The shares of all rows between which is measured."""
PUBLISHED_AT_ONCE: Final = 200
COUNT: Final = "SELECT sum(n)::long FROM (SELECT count() AS n FROM trades UNION ALL SELECT count() AS n FROM quotes)"
SUMS: Final = "SELECT sum(price * quantity) FROM trades"


class Measured(NamedTuple):
    rows: int
    seconds: float
    writer_cpu: float
    questdb_cpu: float
    memory_mb: float

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_us(self) -> float:
        return (self.writer_cpu + self.questdb_cpu) / self.rows * 1e6

    def line(self, name: str) -> str:
        return (
            f"{name:6} {self.rate:9,.0f} ticks/s   CPU a tick {self.cpu_us:5.1f} us (writer {self.writer_cpu / self.rows * 1e6:4.1f}, "
            f"QuestDB {self.questdb_cpu / self.rows * 1e6:4.1f})   writer's memory {self.memory_mb:4.0f} MB"
        )


def messages(count: int) -> Iterator[Message[Any]]:
    """Messages of 100 records, quotes and trades by turns, of two venues and ten symbols; a tick a millisecond."""
    for n in range(0, count, MESSAGE):
        venue, kind = ("ALPHA", "BETA")[n // MESSAGE % 2], ("quotes", "trades")[n // MESSAGE // 2 % 2]
        make: Callable[[str, int], Any] = quote if kind == "quotes" else trade
        yield ticks.told(kind, venue, 1, n + 1, *(make(venue, number) for number in range(n, n + MESSAGE)))


def quote(venue: str, number: int) -> Quote:
    at, cents = ticks.AT + number * 1_000_000, number % 100_000
    bid, ask = Decimal(9_000_000 + cents).scaleb(-2), Decimal(9_000_001 + cents).scaleb(-2)
    size = Decimal(number % 1000 + 1).scaleb(-4)
    return Quote(
        symbol=f"SYM{number % 10}", venue=venue, bid=bid, bid_size=size, ask=ask, ask_size=size, at=at, received=at + 7000, seq=number + 1
    )


def trade(venue: str, number: int) -> MarketTrade:
    at = ticks.AT + number * 1_000_000
    return MarketTrade(
        symbol=f"SYM{number % 10}",
        venue=venue,
        price=Decimal(9_000_000 + number % 100_000).scaleb(-2),
        quantity=Decimal(number % 1000 + 1).scaleb(-4),
        side=Side.BUY if number % 2 else Side.SELL,
        trade_id=str(number),
        at=at,
        received=at + 7000,
        seq=number + 1,
    )


def send_bare(url: str, log: Sequence[Message[Any]]) -> None:
    """Write rows that are in memory already, with the client alone."""
    rows = [row for message in log for row in tick_rows(message)]
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    host, _, port = url.removeprefix("http://").partition(":")
    with Sender(Protocol.Http, host, int(port), protocol_version=3, auto_flush=False) as sender:
        for batch in batches:
            for table in (QUOTES, TRADES):
                buffer = sender.new_buffer()
                for row in batch:
                    if row.table == table:
                        buffer.row(table, **LINES[table](row.value), at=TimestampNanos(row.value.at))
                sender.flush(buffer, transactional=True)


async def make_tables(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The tables with the views on them, whose upkeep is a large part of QuestDB's work."""
    for statement in (*TICK_TABLES.values(), *map(view, BARS)):
        await connection.execute(statement)


async def passed(questdb: LiveServer, writer: psutil.Process, count: int) -> tuple[Measured, Decimal]:
    """Watch the tables fill. Measured is the middle part, between two shares of the rows: starts and the last wait do not count."""
    connection = await asyncpg.connect(questdb.pg_url)
    server, memory, points = psutil.Process(questdb.pid), 0.0, list[tuple[int, float, float, float]]()
    while not points or points[-1][0] < count:
        memory = max(memory, writer.memory_info().rss / 1e6)
        rows = await connection.fetchval(COUNT)
        if not points or rows > points[-1][0]:
            points.append((rows, time.perf_counter(), _cpu(writer), _cpu(server)))
        await asyncio.sleep(0.01)
    total = await connection.fetchval(SUMS)
    await connection.close()
    first = next(point for point in points if point[0] >= BEGIN * count)
    last = next(point for point in points if point[0] >= END * count)
    seconds, own, its = (after - before for before, after in zip(first[1:], last[1:], strict=True))
    return Measured(last[0] - first[0], seconds, own, its, memory), total


async def bare(questdb: LiveServer, log: Sequence[Message[Any]], count: int) -> tuple[Measured, Decimal]:
    """In a process of its own, as the sink is."""
    connection = await asyncpg.connect(questdb.pg_url)
    await make_tables(connection)
    await connection.close()
    writer = multiprocessing.get_context("fork").Process(target=send_bare, args=(questdb.url, log))
    writer.start()
    measured = await passed(questdb, psutil.Process(writer.pid), count)
    await asyncio.to_thread(writer.join)
    return measured


async def sunk(
    questdb: LiveServer, nats: LiveServer, home: Path, log: Sequence[Message[Any]], count: int, flush_rows: int
) -> tuple[Measured, Decimal]:
    """Publish everything, then start the service and measure until every row can be read."""
    client = await bus.connect(nats.url, "bench", closed=lambda: None)
    await ensure_market_stream(client, subjects.MARKET_STREAM, ["market.quotes.*", "market.trades.*"], max_bytes=2**31)
    await ensure_market_stream(client, subjects.MARKET_FACTS_STREAM, [subjects.MARKET_FACTS], max_bytes=2**20)
    for number, message in enumerate(log, 1):
        await client.publish(f"market.{message.part}", encode(message.body))
        if not number % PUBLISHED_AT_ONCE:
            await client.flush()
    while (state := await stream_state(client, subjects.MARKET_STREAM)) is None or state.messages < len(log):
        await asyncio.sleep(0.1)
    await client.close()
    sink = LiveService(
        "sink-ticks",
        nats,
        home,
        changes={"questdb": {"http_url": questdb.url, "pg_url": questdb.pg_url, "rows": "ilp", "flush_rows": flush_rows}},
    )
    connection = await asyncpg.connect(questdb.pg_url)
    await make_tables(connection)
    await connection.close()
    sink.begin()
    measured = await passed(questdb, psutil.Process(sink.pid), count)
    sink.stop()
    return measured


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(count: int, flush_rows: int) -> float:
    log = list(messages(count))
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        nats, first, second = (live(make, home / name) for make, name in SERVERS)
        try:
            ceiling, wanted = await bare(first, log, count)
            first.stop()
            found, total = await sunk(second, nats, home / "sink", log, count, flush_rows)
        finally:
            for server in (nats, first, second):
                server.stop()
    print(ceiling.line("bare"))
    print(found.line("sink"))
    if total != wanted:
        sys.exit(f"the sums differ: {total}, not {wanted}")
    ratio = found.rate / ceiling.rate
    print(f"ratio {ratio:.2f} by time, {ceiling.cpu_us / found.cpu_us:.2f} by CPU; every row is there, and the sums are equal")
    return ratio


SERVERS: Final = ((servers.market_nats, "nats"), (servers.questdb, "bare"), (servers.questdb, "sink"))

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--floor", type=float, default=0.0, help="exit with 1 below this ratio")
    parser.add_argument("--flush-rows", type=int, default=BATCH, help="questdb.flush_rows of the sink")
    options = parser.parse_args()
    use_exact_arithmetic()
    sys.exit(asyncio.run(measure(options.ticks, options.flush_rows)) < options.floor)
