"""`make peers`: the core, the bare ceiling and two usual ways, one after the other on this machine with the same orders; printed as ratios.

Each has fsync on for what it answers: JetStream with sync_interval always, PostgreSQL with synchronous_commit on. The load is closed
(`--connections` clients, each sends when it has its answer), so that each shows the most it can do.
"""

import argparse
import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import redis
import uvloop

from apps.stack import servers
from apps.stack.ports import ServerPorts
from tests.bench.lives import seed
from tests.bench.load import Load, many_accounts_body, order_body
from tests.bench.stand import Stand, stand
from tests.children import started
from tests.live import live
from tests.ports import free
from tests.stack import CHECKOUT

FOLLOWING: Final = ("exeq", "venue", "projector")
RISK_START_S: Final = 3.0
SETTLE_MAX_S: Final = 120.0
FOLLOWERS: Final = ("exeq", "live-gateway", "projector", "questdb")
"""Stopped while the core only accepts."""


@dataclass
class Result:
    name: str
    orders: int
    accepted: int
    answers_per_s: int
    lives_per_s: int
    p50_ms: float
    p99_ms: float
    cpu_us_an_order: int

    def __str__(self) -> str:
        return (
            f"{self.name:<34} {self.answers_per_s:>6}/s answered  {self.lives_per_s:>6} lives/s  ({self.accepted}/{self.orders} accepted)"
            f"  P50 {self.p50_ms:>7.2f} ms  P99 {self.p99_ms:>8.2f} ms  CPU {self.cpu_us_an_order:>5} us an order"
        )


async def measured(
    name: str, port: int, connections: int, orders: int, pids: list[int], filled: Callable[[], int] | None, body: Any = order_body
) -> Result:
    """One closed load; lives count until the last accepted order is filled and projected."""
    load = Load(port, connections, body)
    await load.open()
    before, cpu = filled() if filled else 0, _cpu_s(pids)
    started = time.perf_counter()
    took = await load.saturate(f"{name.partition(':')[0].partition(' ')[0]}-{time.time_ns() % 10**12}", orders)
    accepted = load.tally.outcomes["submitted"]
    if accepted < orders / 2:
        raise SystemExit(f"{name}: most orders were not accepted, so there is nothing to compare: {dict(load.tally.outcomes)}")
    while filled and filled() - before < accepted:
        if time.perf_counter() - started - took > SETTLE_MAX_S:
            raise SystemExit(f"{name}: {filled() - before} of {accepted} orders were filled after {SETTLE_MAX_S} s")
        await asyncio.sleep(0.05)
    lived = time.perf_counter() - started
    result = Result(
        name=name,
        orders=orders,
        accepted=accepted,
        answers_per_s=round(orders / took),
        lives_per_s=round(accepted / lived) if filled else 0,
        p50_ms=round(load.tally.percentile_ms(0.5), 2),
        p99_ms=round(load.tally.percentile_ms(0.99), 2),
        cpu_us_an_order=round((_cpu_s(pids) - cpu) / orders * 1e6),
    )
    print(result, "" if accepted == orders else dict(load.tally.outcomes), flush=True)
    return result


def _cpu_s(pids: list[int]) -> float:
    times = [each.cpu_times() for pid in pids for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]
    return sum(each.user + each.system for each in times)


def core(arguments: argparse.Namespace) -> Iterator[Result]:
    """Full lives on a unit; accepts alone where exeq can be stopped by itself."""
    with stand(None) as running:
        uvloop.run(seed(running))
        pids = list(running.pids.values())

        def projected() -> int:
            return min(running.filled(), running.filled_orders_in_table())

        run = (running.oms_port, arguments.connections, arguments.orders)
        uvloop.run(measured("warm up", run[0], run[1], 2000, pids, projected))
        yield uvloop.run(measured("core: full lives", *run, pids, projected))
    with stand(None, topology="services") as running, _without_followers(running):
        accepting = [running.pids[name] for name in ("oms", "risk", "nats")]
        run = (running.oms_port, arguments.connections, arguments.orders)
        yield uvloop.run(measured("core: accepts alone", *run, accepting, None, many_accounts_body))


@contextmanager
def _without_followers(running: Stand) -> Iterator[None]:
    """Only what an answer needs keeps running: that is what a durable accept costs."""
    for name in FOLLOWERS:
        os.kill(running.pids[name], signal.SIGSTOP)
    try:
        yield
    finally:
        for name in FOLLOWERS:
            os.kill(running.pids[name], signal.SIGCONT)


def ceiling(arguments: argparse.Namespace) -> Iterator[Result]:
    with ExitStack() as exits:
        home = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="trade-bare-")))
        for name in ("nats", "valkey", "questdb"):
            (home / name).mkdir()
        nats, valkey, questdb = (
            live(make, home / name) for make, name in ((servers.nats, "nats"), (servers.valkey, "valkey"), (servers.questdb, "questdb"))
        )
        for server in (nats, valkey, questdb):
            exits.callback(server.stop)
        port = free(ServerPorts).nats
        environment = {"BARE_NATS": nats.url, "BARE_VALKEY": valkey.url, "BARE_QUESTDB": questdb.url, "BARE_PORT": str(port)}
        started = [exits.enter_context(_process("tests.bench.peers.ceiling", environment, "door"))]
        _await_port(port)
        started.append(exits.enter_context(_process("tests.bench.peers.ceiling", environment, "risk")))
        time.sleep(RISK_START_S)
        run = (port, arguments.connections, arguments.orders)
        with redis.Redis.from_url(valkey.url) as reader:

            def projected() -> int:
                return int(reader.hget("bare", "filled") or 0)

            alone = uvloop.run(measured("ceiling: accepts alone", *run, [process.pid for process in started], None))
            started += [exits.enter_context(_process("tests.bench.peers.ceiling", environment, role)) for role in FOLLOWING]
            while projected() < arguments.orders:
                time.sleep(0.1)
            pids = [process.pid for process in started] + [server.pid for server in (nats, valkey, questdb)]
            yield uvloop.run(measured("ceiling: full lives", *run, pids, projected))
            yield alone


def usual(arguments: argparse.Namespace) -> Iterator[Result]:
    yield from _on_postgres("usual: FastAPI, SQLAlchemy, PostgreSQL", "tests.bench.peers.usual", arguments)


def sourced(arguments: argparse.Namespace) -> Iterator[Result]:
    yield from _on_postgres("eventsourcing library, PostgreSQL", "tests.bench.peers.sourced", arguments)


def _on_postgres(name: str, module: str, arguments: argparse.Namespace) -> Iterator[Result]:
    port = free(ServerPorts).nats
    with _postgres() as (database_port, user, postmaster):
        environment = {
            "USUAL_URL": f"postgresql+asyncpg://{user}@127.0.0.1:{database_port}/postgres",
            "USUAL_PORT": str(port),
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": "postgres",
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(database_port),
            "POSTGRES_USER": user,
            "POSTGRES_PASSWORD": "none",
            "POSTGRES_POOL_SIZE": "16",
            "POSTGRES_MAX_OVERFLOW": "0",
        }
        with _process(module, environment) as process:
            _await_port(port)

            def filled() -> int:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/filled", timeout=10) as answer:
                    return int(json.load(answer))

            orders = max(arguments.orders // 10, 500)
            uvloop.run(measured("warm up", port, arguments.connections, 200, [process.pid], filled))
            yield uvloop.run(measured(name, port, arguments.connections, orders, [process.pid, postmaster], filled))


@contextmanager
def _postgres() -> Iterator[tuple[int, str, int]]:
    """The system's PostgreSQL with its own settings, fsync and synchronous_commit as they come: on."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "").parent]
    binaries = found[-1]
    if not (binaries / "initdb").exists():
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql, or leave these peers out with --only core ceiling")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    port = free(ServerPorts).valkey
    with tempfile.TemporaryDirectory(prefix="trade-peers-") as directory:
        home = Path(directory)
        demote: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
        if demote:
            shutil.chown(home, user, user)
        options: dict[str, Any] = {**demote, "stdout": subprocess.DEVNULL, "cwd": home}
        subprocess.run([binaries / "initdb", "-D", home / "data", "-A", "trust", "-U", user], check=True, **options)
        process = started(
            [binaries / "postgres", "-D", home / "data", "-p", str(port), "-h", "127.0.0.1", "-k", home],
            stderr=subprocess.DEVNULL,
            **options,
        )
        try:
            _await_port(port)
            yield port, user, process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@contextmanager
def _process(module: str, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = started([sys.executable, "-m", module, *arguments], cwd=CHECKOUT, env=os.environ | environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def _await_port(port: int, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing answers on port {port}") from None
            time.sleep(0.1)


PEERS: Final[dict[str, Callable[[argparse.Namespace], Iterator[Result]]]] = {
    "core": core,
    "ceiling": ceiling,
    "usual": usual,
    "sourced": sourced,
}


def main(arguments: argparse.Namespace) -> None:
    results: dict[str, list[Result]] = {}
    for name in arguments.only:
        results[name] = list(PEERS[name](arguments))
    if "core" in results:
        lives, accepts = results["core"]
        for name, (first, *rest) in results.items():
            if name == "core":
                continue
            lives_share, tail_share = lives.lives_per_s / first.lives_per_s, lives.p99_ms / first.p99_ms
            print(f"core against {first.name}: {lives_share:.2f} of its lives/s, {tail_share:.2f} of its P99")
            for alone in rest:
                print(f"core against {alone.name}: {accepts.answers_per_s / alone.answers_per_s:.2f} of its answers/s")
    if arguments.json:
        arguments.json.write_text(json.dumps({name: [asdict(result) for result in found] for name, found in results.items()}, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--only", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--json", type=Path)
    main(parser.parse_args())
