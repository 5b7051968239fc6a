"""What nats-server says of itself over its monitoring port: is an acknowledged message on the disk?"""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any, Final

from domain.ports import Unavailable

TIMEOUT_S: Final = 3.0
SAID_MAX: Final = 400
VERSION_MIN: Final = (2, 15, 1)


class NotDurable(Exception):
    """The server would acknowledge what a power cut takes back."""


async def require_fsync(monitor_url: str) -> None:
    """NotDurable when the server is too old or does not sync every message; Unavailable when it does not say."""
    told = await asyncio.to_thread(_varz, monitor_url)
    version = str(told.get("version", ""))
    if _parts(version) < VERSION_MIN:
        raise NotDurable(f"nats-server {version} is older than {'.'.join(map(str, VERSION_MIN))}")
    if not told.get("jetstream", {}).get("config", {}).get("sync_always"):
        raise NotDurable("nats-server does not fsync each message: set jetstream { sync_interval: always }")


async def health_trouble(monitor_url: str) -> str | None:
    """None while nats-server calls itself healthy; else what it says. A full or damaged store shows here before anywhere else."""
    return await asyncio.to_thread(_healthz, monitor_url)


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


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdecimal())
