"""Whether a service is well, and whether it is ready: named checks, and the first one that says no."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from structlog.stdlib import BoundLogger

from domain.ports import Unavailable

PROBE_TIMEOUT_S: Final = 1.0
ANSWER_KEPT_S: Final = 0.5
"""However often /health is asked, a dependency is asked twice a second."""

SERVICE: Final = "service"
"""The chassis's own check: starting and stopping are no trouble to warn of, though the answer is no."""

NUMBER: Final = re.compile(r"\b[0-9]+\b")

Probe = Callable[[], Awaitable[str | None]]


class Health:
    """Some checks are told (`set`), others are asked when somebody wants to know (`depend`)."""

    def __init__(self, good: str, bad: str, log: BoundLogger) -> None:
        self.good = good
        self.bad = bad
        self._log = log
        self._reasons: dict[str, str | None] = {}
        self._probes: dict[str, Probe] = {}
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")
        self._said: str | None = None

    def set(self, name: str, ok: bool, reason: str = "") -> None:
        """This check stands like that from now on."""
        self._reasons[name] = None if ok else reason or "not well"
        self._say_change()

    def depend(self, name: str, probe: Probe) -> None:
        """Ask `probe` on every look: None when all is well, else why not. It may also raise Unavailable or OSError."""
        self._probes[name] = probe

    def standing(self) -> dict[str, bool]:
        """Each check by its name, as last known: is it well?"""
        return {name: reason is None for name, reason in self._reasons.items()}

    def known(self) -> str | None:
        """Why not, by what is known without asking anybody; None when all is well."""
        return next((f"{name}: {reason}" for name, reason in self._reasons.items() if reason is not None), None)

    async def trouble(self) -> str | None:
        """Why not, as of now; None when all is well. Those who ask at the same time share one look."""
        loop = asyncio.get_running_loop()
        if self._probes and loop.time() - self._asked_at > ANSWER_KEPT_S:
            if self._asking is None or self._asking.done():
                self._asking = loop.create_task(self._ask_all())
            await asyncio.shield(self._asking)
        return self.known()

    async def _ask_all(self) -> None:
        names = list(self._probes)
        reasons = await asyncio.gather(*(_ask(self._probes[name]) for name in names))
        self._reasons.update(zip(names, reasons, strict=True))
        self._asked_at = asyncio.get_running_loop().time()
        self._say_change()

    def _say_change(self) -> None:
        reason = self.known()
        kind = NUMBER.sub("#", reason) if reason else None  # "at 5 of 10" becomes "at 6 of 10": no news for the log
        if kind == self._said:
            return
        self._said = kind
        if reason is None:
            self._log.info(f"This service is {self.good}")
        elif not reason.startswith(f"{SERVICE}: "):
            self._log.warning(f"This service is {self.bad}", reason=reason)


async def _ask(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await probe()
    except TimeoutError:
        return f"no answer within {PROBE_TIMEOUT_S:g} s"
    except (Unavailable, OSError) as error:
        return str(error) or type(error).__name__
