"""The market plane of a stack: simulated quotes, or those of venues; and what the start says about the venues."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from apps.stack.credentials.users import GATEWAY
from apps.stack.program import http_answers
from apps.stack.trouble import NotReady
from config.text import ConfigError

BACKEND: Final = Path(__file__).resolve().parents[2] / "config" / "backend"
SIMULATED: Final = "simulated"
"""live-gateway makes the quotes. The stack has no market plane."""
CONFIG: Final = "config"
"""The gateway connects to the venues of its configuration, and the normalizer publishes their quotes."""
MARKETS: Final = (SIMULATED, CONFIG)
REACHED_WITHIN_S: Final = 15.0
"""After this time the start says whether a venue was reached. The gateway itself tries without end."""
POLL_S: Final = 0.25


def venues_of(config_dir: Path | None) -> list[str]:
    """Return the names of the gateway's venues; none if its configuration is wrong, which the gateway itself reports."""
    from config.loading import load_market_gateway  # late: the settings of all services take 30 ms, and only this start needs them

    file = (config_dir or BACKEND) / GATEWAY / "config.yaml"
    try:
        return sorted(load_market_gateway(file if file.is_file() else BACKEND / GATEWAY / "config.yaml", {}).venues)
    except ConfigError:
        return []


async def report_venues(port: int, say: Callable[[str], None], within_s: float = REACHED_WITHIN_S) -> None:
    """Say once whether the gateway has reached a venue. `port` is the gateway's."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        try:
            await asyncio.to_thread(http_answers, port, "/ready")
        except NotReady as reason:
            if loop.time() >= deadline:
                say(f"the market is not here yet: {reason}. The gateway keeps trying, and everything else runs")
                return
        else:
            say("the market is here: the gateway has reached a venue")
            return
        await asyncio.sleep(POLL_S)
