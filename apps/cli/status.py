"""`trade status`: the state of each process and server, queried at its own address."""

import asyncio
import json as jsonlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import typer

from apps.cli import show
from apps.cli.addresses import Addresses, find, monitor_of
from apps.cli.client import START
from apps.cli.options import DataDir, PortOffset
from apps.cli.trouble import Refused, Unreachable
from apps.cli.trust import verification
from apps.stack.extras import S3
from apps.stack.opensearch_server import NAME as OPENSEARCH
from apps.stack.ports import ALL_PORTS
from apps.stack.servers import MARKET_NATS

ASK_TIMEOUT_S: Final = 3.0
REASON_MAX: Final = 200
ANSWER_MAX: Final = 4096
COLUMNS: Final = ("name", "up", "ready", "lag", "seq", "restarts", "address", "note")
LAG: Final = ("lag", "lag_commits")
DROPPED: Final = ("log_lines_dropped",)
SEQUENCE: Final = ("seq", "as_of_seq")


class ProcessStatus(msgspec.Struct, kw_only=True):
    """State of one process or server. `up`: it answers; `ready`: it is healthy and caught up."""

    name: str
    address: str
    up: bool = False
    ready: bool = False
    lag: int | None = None
    seq: int | None = None
    restarts: int | None = None
    note: str = ""
    lines_dropped: int = 0
    stats: Any = None


def status(
    json: bool = typer.Option(False, "--json", help="Print JSON, including each service's /stats."),
    data_dir: DataDir = None,
    port_offset: PortOffset = None,
) -> None:
    """Show each process and server: up, ready, lag, last sequence.

    Exit code 0 if everything is ready, 1 if something is not, 3 if nothing answers.
    """
    addresses = find(data_dir, port_offset)
    standings = asyncio.run(_ask_all(addresses))
    _compared(standings, addresses)
    if json:
        show.raw(msgspec.json.encode({"ready": all(each.ready for each in standings), "services": standings}))
    else:
        show.table("", COLUMNS, (_row(each) for each in standings), numbers=("lag", "seq", "restarts"))
    if not any(each.up for each in standings):
        raise Unreachable("Nothing answers.", START)
    if behind := [each.name for each in standings if not each.ready]:
        raise Refused(
            f"Not ready: {', '.join(behind)}.", "The notes above give the reasons; the logs are in the data directory, under logs."
        )


def _compared(standings: Sequence[ProcessStatus], addresses: Addresses) -> None:
    """Add what a process does not know itself: its restarts, and its lag behind the journal (whose end is oms's sequence)."""
    journal = next((each.seq for each in standings if each.name == "oms"), None)
    for each in standings:
        each.restarts = addresses.restarts.get(each.name)
        each.lines_dropped += addresses.lines_dropped.get(each.name, 0)
        if each.lines_dropped and not each.note:
            each.note = f"{each.lines_dropped} log lines dropped for lack of space"
        if each.lag is None and each.seq is not None and journal is not None:
            each.lag = max(journal - each.seq, 0)


def _row(each: ProcessStatus) -> tuple[object, ...]:
    return each.name, each.up, each.ready, each.lag, each.seq, each.restarts, each.address, each.note


async def _ask_all(addresses: Addresses) -> list[ProcessStatus]:
    keys = {name: addresses.key_for(name, "/stats") for name in ALL_PORTS if name in addresses.urls}
    async with httpx.AsyncClient(timeout=ASK_TIMEOUT_S, trust_env=False, verify=verification()) as http:
        servers: dict[str, Callable[[str], Awaitable[ProcessStatus]]] = {
            "nats": lambda url: _http_server(http, "nats", url, f"{addresses.nats_monitor}/healthz"),
            MARKET_NATS: lambda url: _http_server(http, MARKET_NATS, url, f"{monitor_of(url)}/healthz"),
            # SeaweedFS has no /health and refuses a request without a signature, which shows that it works
            S3: lambda url: _http_server(http, S3, url, f"{url}/health", ready=httpx.codes.FORBIDDEN),
            OPENSEARCH: lambda url: _http_server(http, OPENSEARCH, url, f"{url}/_cluster/health"),
            "valkey": _valkey,
            "questdb": lambda url: _http_server(http, "questdb", url, f"{addresses['questdb']}/exec?query=select%201"),
        }
        asked: list[Awaitable[ProcessStatus]] = [ask(addresses.urls[name]) for name, ask in servers.items() if name in addresses.urls]
        asked += [_service(http, name, addresses.urls[name], key) for name, key in keys.items()]
        return await asyncio.gather(*asked)


async def _service(http: httpx.AsyncClient, name: str, url: str, key: httpx.Auth | None) -> ProcessStatus:
    """Ask a service. Only its numbers need a key: without a good one they are missing, and the state is known nevertheless."""
    standing = ProcessStatus(name=name, address=url)
    health, ready, stats = await asyncio.gather(_get(http, f"{url}/health"), _get(http, f"{url}/ready"), _get(http, f"{url}/stats", key))
    standing.up = health is not None
    standing.ready = _is_ok(health) and _is_ok(ready)
    standing.note = _why_not(health) or _why_not(ready)
    if _is_ok(stats) and stats is not None:
        standing.stats = _object(stats)
        standing.lines_dropped = sum(_numbers(standing.stats, DROPPED))
        # a service with several parts is as slow as its slowest part
        standing.lag = max(_numbers(standing.stats, LAG), default=None)
        standing.seq = min(_numbers(standing.stats, SEQUENCE), default=None)
    return standing


async def _http_server(http: httpx.AsyncClient, name: str, url: str, question: str, *, ready: int = httpx.codes.OK) -> ProcessStatus:
    """Ask a server; a reply 200, or the other status `ready`, means that it works."""
    answer = await _get(http, question)
    address = urlsplit(url)._replace(path="").geturl()
    works = answer is not None and answer.status_code in (httpx.codes.OK, ready)
    return ProcessStatus(name=name, address=address, up=answer is not None, ready=works, note="" if works else _why_not(answer))


async def _valkey(url: str) -> ProcessStatus:
    """Send a bare PING. Valkey returns -LOADING until its file is read."""
    standing = ProcessStatus(name="valkey", address=url)
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            reply = await _ping(urlsplit(url))
    except (OSError, TimeoutError, ValueError) as error:
        standing.note = _in_words(error)
        return standing
    standing.up, standing.ready = bool(reply), reply.startswith(b"+PONG")
    standing.note = "" if standing.ready else show.clean(reply.decode(errors="replace").strip())
    return standing


async def _ping(address: Any) -> bytes:
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(b"PING\r\n")
        return await reader.readline()
    finally:
        writer.close()


async def _get(http: httpx.AsyncClient, url: str, key: httpx.Auth | None = None) -> httpx.Response | None:
    """Return the response with any status; None if none arrives."""
    try:
        return await http.get(url, auth=key)
    except (httpx.TransportError, httpx.InvalidURL):
        return None


def _is_ok(answer: httpx.Response | None) -> bool:
    return answer is not None and answer.status_code == httpx.codes.OK


def _why_not(answer: httpx.Response | None) -> str:
    """Return the reason why it is not ready; empty if the response is 200."""
    if answer is None:
        return "does not answer"
    if _is_ok(answer):
        return ""
    body = _object(answer)
    reason = body.get("reason") or body.get("reasons") or body.get("detail") or answer.text
    return show.clean(f"{answer.status_code}: {reason if isinstance(reason, str) else jsonlib.dumps(reason)}"[:REASON_MAX])


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _numbers(stats: Mapping[str, Any], names: tuple[str, ...]) -> list[int]:
    """Return the values of these names: the service's own, else those of its parts (the projector has two projections)."""
    own = [stats[name] for name in names if isinstance(stats.get(name), int)]
    parts = [part[name] for part in stats.values() if isinstance(part, dict) for name in names if isinstance(part.get(name), int)]
    shards = [number for each in stats.get("shards") or () if names == LAG for number in _numbers(each, names)]  # sequences do not compare
    return own or parts or shards


def _in_words(error: BaseException) -> str:
    return "does not answer" if isinstance(error, OSError | TimeoutError) else show.clean(str(error))
