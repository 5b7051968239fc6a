"""The monitoring port of nats-server: whether an acknowledged message is on disk, and which subscriptions exist."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any, Final

import msgspec

from adapters.codec import decoder
from domain.ports import Unavailable

TIMEOUT_S: Final = 3.0
BODY_BYTES_MAX: Final = 400
VERSION_MIN: Final = (2, 15, 1)
SUBSCRIPTIONS_MAX: Final = 2048
"""How many subscriptions of one server are read; a stack of this system has 200, most of them the server's own."""
SUBSCRIPTIONS_TIMEOUT_S: Final = 1.0


class NotDurable(Exception):
    """The server would acknowledge a message that a power cut can lose."""


async def require_fsync(monitor_urls: Sequence[str]) -> list[str]:
    """Check that every server of the cluster syncs each message; return those that did not reply.

    A server that did not reply must not come back with other settings than the others. Raises NotDurable if a server is too old, does not
    sync every message, or is missing from `monitor_urls`; Unavailable if fewer than a majority reply.
    """
    answers = await asyncio.gather(*(asyncio.to_thread(_varz, url) for url in monitor_urls), return_exceptions=True)
    silent = [(url, answer) for url, answer in zip(monitor_urls, answers, strict=True) if isinstance(answer, BaseException)]
    for _, trouble in silent:
        if not isinstance(trouble, Unavailable) or 2 * (len(answers) - len(silent)) <= len(answers):
            raise trouble
    names = set[str]()
    for answer in answers:
        if not isinstance(answer, BaseException):
            _check(answer)
            names.add(str(answer.get("server_id", "")))
            size = int(answer.get("jetstream", {}).get("meta", {}).get("cluster_size", 1))
            if len(monitor_urls) < size:
                raise NotDurable(
                    f"the cluster has {size} servers and {len(monitor_urls)} of them can be checked for sync: "
                    "name the monitoring address of each in nats.monitor_urls"
                )
    if len(names) + len(silent) < len(monitor_urls):
        raise NotDurable("two addresses of nats.monitor_urls are of the same server")
    return [url for url, _ in silent]


async def require_fsync_of(monitor_url: str) -> None:
    """Check one server of a cluster like `require_fsync`. Raises NotDurable, Unavailable."""
    _check(await asyncio.to_thread(_varz, monitor_url))


def _check(varz: Mapping[str, Any]) -> None:
    name = f"nats-server {varz.get('server_name', '')}".strip()
    version = str(varz.get("version", ""))
    if _parts(version) < VERSION_MIN:
        raise NotDurable(f"{name} has version {version}, older than {'.'.join(map(str, VERSION_MIN))}")
    if not varz.get("jetstream", {}).get("config", {}).get("sync_always"):
        raise NotDurable(f"{name} does not fsync each message: set jetstream {{ sync_interval: always }}")


async def health_trouble(*monitor_urls: str) -> str | None:
    """Return None while a majority of the servers report healthy, else one report. A full or damaged store shows here first."""
    reports = await asyncio.gather(*(asyncio.to_thread(_healthz, url) for url in monitor_urls))
    troubles = [trouble for trouble in reports if trouble is not None]
    return troubles[0] if 2 * len(troubles) >= len(reports) else None


def _healthz(monitor_url: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{monitor_url}/healthz", timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        return f"nats-server is not healthy: {error.read(BODY_BYTES_MAX).decode(errors='replace').strip()}"
    except OSError as error:
        return f"NATS monitoring at {monitor_url} does not answer: {error}"


def _varz(monitor_url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{monitor_url}/varz", timeout=TIMEOUT_S) as answer:
            varz: dict[str, Any] = json.load(answer)
            return varz
    except (OSError, ValueError) as error:
        raise Unavailable(f"NATS monitoring at {monitor_url} does not answer: {error}") from error


class Subscription(msgspec.Struct):
    subject: str


class Subscriptions(msgspec.Struct):
    """The subscriptions of clients and streams at one server, in all accounts. `total` may be more than are listed."""

    server_id: str
    total: int = 0
    subscriptions_list: tuple[Subscription, ...] = ()


_SUBSCRIPTIONS: Final = decoder(Subscriptions)


async def subscriptions(monitor_url: str) -> Subscriptions:
    """Return at most SUBSCRIPTIONS_MAX subscriptions at this server. Raises Unavailable."""
    return await asyncio.to_thread(_subsz, monitor_url)


def _subsz(monitor_url: str) -> Subscriptions:
    try:
        with urllib.request.urlopen(f"{monitor_url}/subsz?subs=1&limit={SUBSCRIPTIONS_MAX}", timeout=SUBSCRIPTIONS_TIMEOUT_S) as answer:
            found: Subscriptions = _SUBSCRIPTIONS.decode(answer.read())
            return found
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"NATS monitoring at {monitor_url} does not list the subscriptions: {error}") from error


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdecimal())
