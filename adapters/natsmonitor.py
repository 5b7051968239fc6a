"""What nats-server says of itself over its monitoring port: is an acknowledged message on the disk, and what is subscribed to?"""

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
SAID_MAX: Final = 400
VERSION_MIN: Final = (2, 15, 1)
SUBSCRIPTIONS_MAX: Final = 2048
"""Subscriptions of one server that are looked at; a stack of ours has 200, most of them the server's own."""
SUBSCRIPTIONS_TIMEOUT_S: Final = 1.0


class NotDurable(Exception):
    """The server would acknowledge what a power cut takes back."""


async def require_fsync(monitor_urls: Sequence[str]) -> list[str]:
    """NotDurable when a server of the cluster is too old, does not sync every message, or is not among these; Unavailable when fewer
    than a majority answer. Returns those that did not answer: they may not come back otherwise than the others.
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
                    f"the cluster has {size} servers and {len(monitor_urls)} of them can be asked whether they sync: "
                    "name the monitoring address of each in nats.monitor_urls"
                )
    if len(names) + len(silent) < len(monitor_urls):
        raise NotDurable("two addresses of nats.monitor_urls are of the same server")
    return [url for url, _ in silent]


async def require_fsync_of(monitor_url: str) -> None:
    """As `require_fsync`, for one server of a cluster. NotDurable, Unavailable."""
    _check(await asyncio.to_thread(_varz, monitor_url))


def _check(told: Mapping[str, Any]) -> None:
    name = f"nats-server {told.get('server_name', '')}".strip()
    version = str(told.get("version", ""))
    if _parts(version) < VERSION_MIN:
        raise NotDurable(f"{name} has version {version}, older than {'.'.join(map(str, VERSION_MIN))}")
    if not told.get("jetstream", {}).get("config", {}).get("sync_always"):
        raise NotDurable(f"{name} does not fsync each message: set jetstream {{ sync_interval: always }}")


async def health_trouble(*monitor_urls: str) -> str | None:
    """None while a majority of the servers call themselves healthy; else what one says. A full or damaged store shows here first."""
    said = await asyncio.gather(*(asyncio.to_thread(_healthz, url) for url in monitor_urls))
    troubles = [trouble for trouble in said if trouble is not None]
    return troubles[0] if 2 * len(troubles) >= len(said) else None


def _healthz(monitor_url: str) -> str | None:
    try:
        with urllib.request.urlopen(f"{monitor_url}/healthz", timeout=TIMEOUT_S):
            return None
    except urllib.error.HTTPError as error:
        return f"nats-server is not healthy: {error.read(SAID_MAX).decode(errors='replace').strip()}"
    except OSError as error:
        return f"NATS monitoring at {monitor_url} does not answer: {error}"


def _varz(monitor_url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{monitor_url}/varz", timeout=TIMEOUT_S) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except (OSError, ValueError) as error:
        raise Unavailable(f"NATS monitoring at {monitor_url} does not answer: {error}") from error


class Subscription(msgspec.Struct):
    subject: str


class Subscriptions(msgspec.Struct):
    """Of the clients and streams of one server, in all accounts. `total` may be more than are listed."""

    server_id: str
    total: int = 0
    subscriptions_list: tuple[Subscription, ...] = ()


_SUBSCRIPTIONS: Final = decoder(Subscriptions)


async def subscriptions(monitor_url: str) -> Subscriptions:
    """At most SUBSCRIPTIONS_MAX of the subscriptions at this server itself. Unavailable."""
    return await asyncio.to_thread(_subsz, monitor_url)


def _subsz(monitor_url: str) -> Subscriptions:
    try:
        with urllib.request.urlopen(f"{monitor_url}/subsz?subs=1&limit={SUBSCRIPTIONS_MAX}", timeout=SUBSCRIPTIONS_TIMEOUT_S) as answer:
            found: Subscriptions = _SUBSCRIPTIONS.decode(answer.read())
            return found
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"NATS monitoring at {monitor_url} does not name the subscriptions: {error}") from error


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdecimal())
