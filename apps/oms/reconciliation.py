"""Periodic reconciliation of positions in Valkey with the journal, by a helper process: differences are logged, repaired and counted."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter

from adapters.codec import decoder
from apps.runtime.helper_process import Busy, HelperProcess, NotStarted, TookTooLong
from domain.position.comparison import PositionDifference

log = structlog.get_logger()

MODULE: Final = "apps.tools.reconcile"
PASS_MAX_S: Final = 300.0


class PositionsPass(msgspec.Struct, frozen=True):
    """Result of one pass: the sequence it reflects, the positions compared, the differences, and the positions repaired."""

    as_of_seq: int
    positions: int
    differences: tuple[PositionDifference, ...] = ()
    repaired: int = 0


_PASS: Final = decoder(PositionsPass)


def beside(environment: Mapping[str, str]) -> HelperProcess:
    """Return the helper process of a pass. `environment`: the variables of its service."""
    return HelperProcess(MODULE, deadline_s=PASS_MAX_S, environment=environment)


class PositionReconciliation:
    """Runs a pass every `every_s` seconds. A failed pass is logged and counted; the next one runs at its usual time."""

    def __init__(self, every_s: float, registry: CollectorRegistry, program: HelperProcess) -> None:
        self._program = program
        self._every_s = every_s
        self._passes = Counter("oms_positions_reconciled", "Comparisons of Valkey with the journal.", ["outcome"], registry=registry)
        self._repaired = Counter("oms_positions_repaired", "Positions in Valkey that differed and were repaired.", registry=registry)
        self.passes = self.failed = self.repaired = 0
        self.last: PositionsPass | None = None

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self.look()

    def stop(self) -> None:
        self._program.stop()

    async def look(self) -> None:
        try:
            ended = await self._program.ask()
        except (Busy, TookTooLong):
            self._missed(f"the pass did not end within {PASS_MAX_S:g} s")
            return
        except NotStarted as trouble:
            self._missed(str(trouble))
            return
        if ended.code:
            self._missed(ended.reason)
            return
        try:
            found: PositionsPass = _PASS.decode(ended.out)
        except ValueError as error:
            self._missed(f"its output cannot be read: {error}")
            return
        self.passes += 1
        self.repaired += found.repaired
        self.last = found
        self._passes.labels("different" if found.repaired else "same").inc()
        self._repaired.inc(found.repaired)
        for difference in found.differences:
            log.error(
                "a position in Valkey differed from the journal and was repaired",
                account=difference.account,
                symbol=difference.symbol,
                field=difference.field,
                journal=str(difference.journal),
                valkey=str(difference.stored),
            )

    def _missed(self, reason: str) -> None:
        self.failed += 1
        self._passes.labels("failed").inc()
        log.warning("positions could not be compared with the journal", reason=reason)

    def stats(self) -> dict[str, Any]:
        return {
            "passes": self.passes,
            "failed": self.failed,
            "repaired": self.repaired,
            "as_of_seq": self.last.as_of_seq if self.last else None,
            "positions": self.last.positions if self.last else None,
        }
