"""How the other services are, asked once a second, for streams."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from apps.desk.fold import DeskFold
from apps.desk.last_hour import LastHour
from domain.alarms import alarm_views
from domain.ports import Clock

ASKED: Final = ("oms", "risk", "exeq", "live-gateway", "projector")
OMS: Final = "oms"
MARKET: Final = ("gateway", "normalizer", "sink-ticks", "sink-alt")
"""Services that not every stack runs: they are shown once they have answered."""
GATEWAY: Final = "live-gateway"
"""Its sequence is that of another journal."""
EVERY_S: Final = 1.0
SOUGHT_EVERY: Final = 10
"""A service of MARKET that has never answered is asked only in every tenth round."""
ALARMS_TOLD_MAX: Final = 20
"""Alarms of one service in a message, the newest ones; `GET /alarms` has more."""

Ask = Callable[[str], Awaitable[dict[str, Any] | None]]


class Services:
    """The last answers. `version` counts their changes."""

    def __init__(self, ask: Ask, end: Callable[[], int], fold: DeskFold, clock: Clock) -> None:
        """`ask` returns what a service says about itself, None without an answer; `end` the last sequence of the journal."""
        self._ask = ask
        self._end = end
        self._fold = fold
        self._clock = clock
        self.last_hour = LastHour()
        self.version = 0
        self._public = self._all = b""
        self._started: tuple[str, ...] = ()

    def encoded(self, *, operator: bool) -> bytes:
        """Return the data of the message: for a key without the scope to read `/stats`, only which services are ready."""
        return self._all if operator else self._public

    async def run(self, changed: Callable[[], None]) -> None:
        for round_ in itertools.count():
            await self.look(everywhere=round_ % SOUGHT_EVERY == 0)
            changed()
            await asyncio.sleep(EVERY_S)

    async def look(self, *, everywhere: bool) -> None:
        """Ask once; `everywhere` also those that have never answered."""
        asked = (*ASKED, *(MARKET if everywhere else self._started))
        found = dict(zip(asked, await asyncio.gather(*map(self._ask, asked)), strict=True))
        self._started = tuple(name for name in MARKET if name in self._started or found.get(name) is not None)
        self._take({name: found.get(name) for name in (*ASKED, *self._started)})

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
        lags = [each["lag"] for each in full if each.get("lag") is not None]
        self.last_hour.take(found, lags, self._end(), self._clock.monotonic_ns(), self._clock.now_ns())

    def _view(self, name: str, stats: dict[str, Any] | None) -> dict[str, Any]:
        if stats is None:
            return {"service": name, "ready": False, "answers": False, "alarms": self._alarms(name, [])}
        found = (stats.get("seq"), *(_seq(stats.get(part)) for part in ("positions", "fills")))
        seqs = [seq for seq in found if isinstance(seq, int)] if name not in (GATEWAY, *MARKET) else []
        lag = max(0, self._end() - min(seqs)) if seqs else None
        kept = {key: stats.get(key) for key in ("uptime_sec", "task_deaths", "log_lines_dropped")}
        kept["alarms"] = self._alarms(name, stats.get("alarms") or [])
        return {"service": name, "ready": bool(stats.get("ready")), "answers": True, "seq": min(seqs, default=None), "lag": lag, **kept}

    def _alarms(self, name: str, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the newest alarms of a service. Those of oms that the journal has are of the fold here, so that they outlive oms."""
        if name == OMS and (own or self._fold.alarms):
            own = [*alarm_views(self._fold.alarms), *(each for each in own if each.get("seq") is None)]
            own.sort(key=lambda each: str(each["at"]), reverse=True)
        return own[:ALARMS_TOLD_MAX]


def _seq(part: object) -> object:
    return part.get("seq") if isinstance(part, Mapping) else None
