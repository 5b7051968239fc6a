"""Health and readiness of a service: named checks, and the reason of the first one that fails."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from structlog.stdlib import BoundLogger

from domain.ports import Unavailable

PROBE_TIMEOUT_S: Final = 1.0
ANSWER_KEPT_S: Final = 0.5
"""How long results of probes are reused: however often /health is called, a dependency is probed at most twice a second."""

SERVICE: Final = "service"
"""The chassis's own check. It fails while the service starts or stops, without a warning in the log."""

NUMBER: Final = re.compile(r"\b[0-9]+\b")

Probe = Callable[[], Awaitable[str | None]]


class Health:
    """The named checks of one service: some are pushed (`set`), others probed on request (`depend`)."""

    def __init__(self, good: str, bad: str, log: BoundLogger) -> None:
        self.good = good
        self.bad = bad
        self._log = log
        self._reasons: dict[str, str | None] = {}
        self._probes: dict[str, Probe] = {}
        self._probing: asyncio.Task[None] | None = None
        self._probed_at = float("-inf")
        self._logged: str | None = None

    def set(self, name: str, ok: bool, reason: str = "") -> None:
        """Set the state of this check, with the `reason` if it is not ok."""
        self._reasons[name] = None if ok else reason or "not well"
        self._log_change()

    def depend(self, name: str, probe: Probe) -> None:
        """Call `probe` on every check: it returns None if all is well, else why not, and may raise Unavailable or OSError."""
        self._probes[name] = probe

    def standing(self) -> dict[str, bool]:
        """Return whether each check was ok, by name, as last known."""
        return {name: reason is None for name, reason in self._reasons.items()}

    def known(self) -> str | None:
        """Return why not, as last known and without probing; None if all is well."""
        return next((f"{name}: {reason}" for name, reason in self._reasons.items() if reason is not None), None)

    async def trouble(self) -> str | None:
        """Return why not, as of now; None if all is well. Concurrent callers share one round of probes."""
        loop = asyncio.get_running_loop()
        if self._probes and loop.time() - self._probed_at > ANSWER_KEPT_S:
            if self._probing is None or self._probing.done():
                self._probing = loop.create_task(self._probe_all())
            await asyncio.shield(self._probing)
        return self.known()

    async def _probe_all(self) -> None:
        names = list(self._probes)
        reasons = await asyncio.gather(*(_run(self._probes[name]) for name in names))
        self._reasons.update(zip(names, reasons, strict=True))
        self._probed_at = asyncio.get_running_loop().time()
        self._log_change()

    def _log_change(self) -> None:
        reason = self.known()
        kind = NUMBER.sub("#", reason) if reason else None  # a change from "at 5 of 10" to "at 6 of 10" is not logged
        if kind == self._logged:
            return
        self._logged = kind
        if reason is None:
            self._log.info(f"This service is {self.good}")
        elif not reason.startswith(f"{SERVICE}: "):
            self._log.warning(f"This service is {self.bad}", reason=reason)


async def _run(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await probe()
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
    except (Unavailable, OSError) as error:
        return str(error) or type(error).__name__
