"""Addresses of the services and servers: from the command line, the environment, a running stack, or the default ports."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from apps.cli.caller import command_line_key, own_key
from apps.cli.trouble import Unreachable, WrongUsage
from apps.stack import stack
from apps.stack.credentials.users import ADMIN, OPERATOR
from apps.stack.directory import DATA_DIR
from apps.stack.extras import S3
from apps.stack.opensearch_server import NAME as OPENSEARCH
from apps.stack.ports import HOST, SERVICE_PORTS, ServerPorts
from apps.stack.servers import MARKET_NATS, Servers
from apps.stack.services import MARKET_URL_VARIABLES, SECRETS, URL_VARIABLES
from config import secrets
from config.access_mode import ACCESS_VARIABLE, KEYS, OPEN
from config.text import ConfigError

DATA_DIR_VARIABLE = "TRADE_DATA_DIR"
SERVER_VARIABLES = {"nats": "TRADE_NATS_URL", "valkey": "TRADE_VALKEY_URL", "questdb": "TRADE_QUESTDB_HTTP_URL"}
OPTIONAL_VARIABLES = {MARKET_NATS: "TRADE_MARKET_NATS_URL", S3: "TRADE_S3_URL", OPENSEARCH: "TRADE_OPENSEARCH_URL"}
VARIABLES = SERVER_VARIABLES | OPTIONAL_VARIABLES | URL_VARIABLES | MARKET_URL_VARIABLES
CREDENTIALS_OF = {"nats": "nats.url", MARKET_NATS: "market_nats.url", "valkey": "valkey.url", "questdb": "questdb.http_url"}
ACCESS_ROUTES = "/access/"
WHO_AM_I = "/access/me"
NATS_MONITOR_ABOVE = ServerPorts().nats_monitor - ServerPorts().nats


@dataclass(frozen=True)
class Addresses:
    """Name -> URL of everything that should run, and restart counts if a supervisor on this machine reports them.

    `urls` are for display. `addresses[name]` is for connecting and contains the operator's password if one exists.
    """

    urls: Mapping[str, str]
    nats_monitor: str
    restarts: Mapping[str, int] = field(default_factory=dict)
    questdb_pg: str = ""
    data_dir: Path | None = None
    """Directory with the files of these services; None if it is not known to be on this machine."""

    credentials: secrets.Credentials = field(default_factory=dict, repr=False)
    secrets_dir: Path | None = None
    lines_dropped: Mapping[str, int] = field(default_factory=dict)
    """Output lines of each program that are missing from its log file, as counted by the supervisor."""

    access: str = OPEN
    """Mode of access of the services."""

    key: httpx.Auth | None = field(default=None, repr=False)
    """The caller's own key, from the environment."""

    of_secrets: frozenset[str] = frozenset()
    """Services that belong to `secrets_dir`: only they may receive the command line's key of it."""

    def __getitem__(self, name: str) -> str:
        try:
            return self._with_user(self.urls[name], CREDENTIALS_OF.get(name, ""))
        except KeyError:
            raise Unreachable(f"This stack runs without {name}.", "Start the whole stack: trade up") from None

    def as_admin(self, name: str) -> str:
        """Return the URL with the admin user, for the few commands that no service may run. Without passwords, the bare URL."""
        found = _credentials(ADMIN, {secrets.VARIABLE: str(self.secrets_dir)}) if self.secrets_dir else {}
        return secrets.with_user(self.urls[name], *found[CREDENTIALS_OF[name]]) if found else self[name]

    def as_writer_of(self, stream: str) -> str:
        """Return the NATS URL with the user that may write this stream. Without passwords, the bare URL."""
        found = _credentials(ADMIN, {secrets.VARIABLE: str(self.secrets_dir)}) if self.secrets_dir else {}
        return secrets.with_user(self.urls["nats"], *found[f"nats.{stream}"]) if found else self["nats"]

    def key_for(self, service: str, path: str) -> httpx.Auth | None:
        """Return the key to send with a request to a service of this system; None for none. WrongUsage if the stack's key is damaged.

        The caller's own key always goes first. The command line's key is for /access/ and, where every request needs a key, for all;
        in open mode everything else, /access/me as well, is asked as this machine's local caller.
        """
        needed = self.access == KEYS or (path.startswith(ACCESS_ROUTES) and path != WHO_AM_I)
        if self.key is not None or not needed or self.secrets_dir is None or service not in self.of_secrets:
            return self.key
        return command_line_key(self.secrets_dir)

    @property
    def questdb_pg_to_connect(self) -> str:
        return self._with_user(self.questdb_pg, "questdb.pg_url") if self.questdb_pg else ""

    def _with_user(self, url: str, key: str) -> str:
        return secrets.with_user(url, *self.credentials[key]) if key in self.credentials else url


def find(data_dir: Path | None, port_offset: int | None, environ: Mapping[str, str] = os.environ) -> Addresses:
    """Resolve the addresses: the command line wins over the environment, then a stack in the current directory, then default ports.

    Unreachable if the named stack does not run; WrongUsage for a bad address, unreadable credentials or a key that cannot be one.
    """
    named = data_dir is not None or port_offset is not None
    found = _named(data_dir, port_offset) if named else _of_environment(environ)
    access = KEYS if environ.get(ACCESS_VARIABLE) == KEYS else found.access
    return replace(found, access=access, key=own_key(environ))


def _of_environment(environ: Mapping[str, str]) -> Addresses:
    running = stack.read(Path(environ.get(DATA_DIR_VARIABLE) or DATA_DIR))
    base = _of_stack(running) if running else _usual(0)
    overrides = {name: environ[variable].rstrip("/") for name, variable in VARIABLES.items() if environ.get(variable)}
    urls = {**base.urls, **overrides}
    if environ.get("TRADE_FILLS") == "sqlite":
        urls.pop("questdb", None)
    named, secrets_dir = environ.get(DATA_DIR_VARIABLE), environ.get(secrets.VARIABLE)
    return Addresses(
        urls,
        monitor_of(overrides["nats"]) if "nats" in overrides else base.nats_monitor,
        base.restarts,
        environ.get("TRADE_QUESTDB_PG_URL") or ("" if "questdb" in overrides else base.questdb_pg),
        Path(named) if named else base.data_dir if urls["nats"] == base.urls["nats"] else None,
        *_passwords(Path(secrets_dir) if secrets_dir else base.secrets_dir if "nats" not in overrides else None),
        base.lines_dropped,
        base.access,
        of_secrets=frozenset(name for name, url in urls.items() if secrets_dir or url == base.urls.get(name)),
    )


def _named(data_dir: Path | None, port_offset: int | None) -> Addresses:
    running = stack.read(data_dir) if data_dir is not None else None
    if running is not None and port_offset in (None, running.port_offset):
        return _of_stack(running)
    if port_offset is None:
        raise Unreachable(f"No stack runs from {data_dir}.", f"Start one: trade up --data-dir {data_dir}")
    return _usual(port_offset)


def _of_stack(running: stack.Stack) -> Addresses:
    urls = {name: url for name, url in running.urls.items() if name in VARIABLES}
    monitors = [process.ports["monitor"] for process in running.processes if "monitor" in process.ports]
    monitor = f"http://{HOST}:{monitors[0]}" if monitors else monitor_of(urls["nats"])
    data_dir = Path(running.data_dir)
    restarts = {process.name: max(process.starts - 1, 0) for process in running.processes}
    dropped = {process.name: process.lines_dropped for process in running.processes}
    return Addresses(
        urls,
        monitor,
        restarts,
        running.urls.get("questdb-pg", ""),
        data_dir,
        *_passwords(_kept_in(data_dir)),
        dropped,
        running.access,
        of_secrets=frozenset(urls),
    )


def _kept_in(data_dir: Path) -> Path | None:
    """Return the secrets directory of a stack on this machine. A stack of another user admits guests at most."""
    directory = data_dir / SECRETS
    return directory if os.access(directory / f"{OPERATOR}.yaml", os.R_OK) else None


def _passwords(directory: Path | None) -> tuple[secrets.Credentials, Path | None]:
    return (_credentials(OPERATOR, {secrets.VARIABLE: str(directory)}) if directory else {}), directory


def _credentials(user: str, environ: Mapping[str, str]) -> secrets.Credentials:
    try:
        return secrets.read(user, environ)
    except ConfigError as error:
        raise WrongUsage(f"{error}.") from error


def _usual(offset: int) -> Addresses:
    servers = Servers.at(ServerPorts().shifted(offset))
    urls = {"nats": servers.nats_url, "valkey": servers.valkey_url, "questdb": servers.questdb_http_url}
    urls |= {name: f"http://{HOST}:{port + offset}" for name, port in SERVICE_PORTS.items()}
    return Addresses(urls, monitor_of(servers.nats_url), questdb_pg=servers.questdb_pg_url)


def monitor_of(nats_url: str) -> str:
    """Return the NATS monitoring URL. Its port is at a fixed distance from the client port in every shipped configuration."""
    try:
        parts = urlsplit(nats_url)
        return f"http://{parts.hostname}:{(parts.port or ServerPorts().nats) + NATS_MONITOR_ABOVE}"
    except ValueError as error:
        raise WrongUsage(f"TRADE_NATS_URL {nats_url!r} is not an address: {error}.", "Example: nats://127.0.0.1:4222") from error
