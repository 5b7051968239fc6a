"""How the other services are, asked once a second, for streams."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

ASKED: Final = ("oms", "risk", "exeq", "live-gateway", "projector")
GATEWAY: Final = "live-gateway"
"""Its sequence is that of another journal."""
EVERY_S: Final = 1.0

Ask = Callable[[str], Awaitable[dict[str, Any] | None]]


class Services:
    """The last answers. `version` counts their changes."""

    def __init__(self, ask: Ask, end: Callable[[], int]) -> None:
        """`ask` returns what a service says about itself, None without an answer; `end` the last sequence of the journal."""
        self._ask = ask
        self._end = end
        self.version = 0
        self._public = self._all = b""

    def encoded(self, *, operator: bool) -> bytes:
        """Return the data of the message: for a key without the scope to read `/stats`, only which services are ready."""
        return self._all if operator else self._public

    async def run(self, changed: Callable[[], None]) -> None:
        while True:
            answers = await asyncio.gather(*map(self._ask, ASKED))
            self._take(dict(zip(ASKED, answers, strict=True)))
            changed()
            await asyncio.sleep(EVERY_S)

    def _take(self, found: Mapping[str, dict[str, Any] | None]) -> None:
        ready = [{"service": name, "ready": bool(stats and stats.get("ready"))} for name, stats in found.items()]
        full = [self._view(name, stats) for name, stats in found.items()]
        exeq = found["exeq"] or {}
        venues = (found[GATEWAY] or {}).get("venues") or {}
        queue = {name: exeq.get(name) for name in ("queued", "deciding", "working")}
        self._public = msgspec.json.encode({"services": ready, "queue": {}, "venues": []})
        self._all = msgspec.json.encode(
            {"services": full, "queue": queue, "venues": [{"venue": name, **each} for name, each in venues.items()]}
        )
        self.version += 1

    def _view(self, name: str, stats: dict[str, Any] | None) -> dict[str, Any]:
        if stats is None:
            return {"service": name, "ready": False, "answers": False}
        found = (stats.get("seq"), *(_seq(stats.get(part)) for part in ("positions", "fills")))
        seqs = [seq for seq in found if isinstance(seq, int)] if name != GATEWAY else []
        lag = max(0, self._end() - min(seqs)) if seqs else None
        kept = {key: stats.get(key) for key in ("uptime_sec", "task_deaths", "log_lines_dropped")}
        return {"service": name, "ready": bool(stats.get("ready")), "answers": True, "seq": min(seqs, default=None), "lag": lag, **kept}


def _seq(part: object) -> object:
    return part.get("seq") if isinstance(part, Mapping) else None
