"""What nats-server says of itself over its monitoring port: is an acknowledged message on the disk?"""

import asyncio
import json
import urllib.request
from typing import Any, Final

from domain.ports import Unavailable

TIMEOUT_S: Final = 3.0
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


def _varz(monitor_url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{monitor_url}/varz", timeout=TIMEOUT_S) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except (OSError, ValueError) as error:
        raise Unavailable(f"NATS monitoring at {monitor_url} does not answer: {error}") from error


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdecimal())
