"""Optional servers of a stack, named in `trade up --with`: object store, search and analytics, all for sink-alt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

from apps.runtime.exit_codes import Exit
from apps.stack import analytics, opensearch_server, s3_servers
from apps.stack.opensearch_server import SearchPorts
from apps.stack.program import Program
from apps.stack.s3_servers import S3Ports
from apps.stack.trouble import CannotStart


class Extra(NamedTuple):
    """One optional server.

    `check` raises CannotStart, with the remedy, if it is not installed. `program` gets the data directory, the port offset and the
    directory of the passwords; it is None if the server is a library inside sink-alt. `ports` and `urls` get the port offset.
    `environment` gets the data directory and the port offset, and returns how services find the server.
    """

    check: Callable[[], object]
    environment: Callable[[Path, int], Mapping[str, str]]
    program: Callable[[Path, int, Path], Program] | None = None
    ports: Callable[[int], Mapping[str, int]] = lambda _: {}
    urls: Callable[[int], Mapping[str, str]] = lambda _: {}


def _s3_ports(offset: int) -> Mapping[str, int]:
    ports = S3Ports().shifted(offset)
    return asdict(ports) if s3_servers.installed() == "seaweedfs" else {"s3": ports.s3}


S3: Final = "s3"
EXTRAS: Final[Mapping[str, Extra]] = {
    S3: Extra(
        s3_servers.installed,
        lambda _, offset: {"TRADE_S3_URL": S3Ports().shifted(offset).url, "TRADE_TICK_PLACES": "[questdb, s3]"},
        lambda data_dir, offset, secrets: s3_servers.s3(data_dir, S3Ports().shifted(offset), secrets),
        _s3_ports,
        lambda offset: {S3: S3Ports().shifted(offset).url},
    ),
    "search": Extra(
        opensearch_server.check,
        lambda _, offset: {"TRADE_OPENSEARCH_URL": SearchPorts().shifted(offset).url},
        lambda data_dir, offset, secrets: opensearch_server.opensearch(data_dir, SearchPorts().shifted(offset), secrets),
        lambda offset: {f"opensearch {use}": port for use, port in asdict(SearchPorts().shifted(offset)).items()},
        lambda offset: {opensearch_server.NAME: SearchPorts().shifted(offset).url},
    ),
    "analytics": Extra(analytics.check, lambda data_dir, _: {"TRADE_CLICKHOUSE_PATH": str(data_dir / "clickhouse")}),
}
"""In the order of their start."""


def wanted(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list, in the order of EXTRAS and each once. CannotStart (usage) for an unknown one."""
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    for name in names:
        if name not in EXTRAS:
            raise CannotStart(f"--with: {name!r} is not one of {', '.join(EXTRAS)}.", exit_code=Exit.USAGE)
    return tuple(name for name in EXTRAS if name in names)


def check_installed(names: Sequence[str]) -> None:
    """Raise CannotStart for the first of these that is not installed."""
    for name in names:
        EXTRAS[name].check()


def ports_of(names: Sequence[str], port_offset: int) -> dict[str, int]:
    """Return use -> port of these servers."""
    return {use: port for name in names for use, port in EXTRAS[name].ports(port_offset).items()}


def urls_of(names: Sequence[str], port_offset: int) -> dict[str, str]:
    """Return server -> address of these servers."""
    return {server: url for name in names for server, url in EXTRAS[name].urls(port_offset).items()}


def programs_of(names: Sequence[str], data_dir: Path, port_offset: int, secrets: Path) -> list[Program]:
    """Return these servers as programs. CannotStart."""
    return [make(data_dir, port_offset, secrets) for name in names if (make := EXTRAS[name].program)]


def environment_of(names: Sequence[str], data_dir: Path, port_offset: int) -> dict[str, str]:
    """Return how services find these servers."""
    return {key: value for name in names for key, value in EXTRAS[name].environment(data_dir, port_offset).items()}
