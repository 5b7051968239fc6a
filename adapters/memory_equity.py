"""Samples of equity in memory, for tests and programs without a store."""

from collections.abc import Sequence

import msgspec

from domain.ports import Unavailable
from domain.position.equity import STEPS, EquitySample


class MemoryEquity:
    """Port: domain.ports.EquitySamples. While `down`, every call raises Unavailable."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], EquitySample] = {}
        self.down = False

    async def prepare(self) -> None:
        self._answers()

    async def write(self, samples: Sequence[EquitySample]) -> None:
        self._answers()
        self.rows |= {(sample.at, sample.account): sample for sample in samples}

    async def history(self, account: str, step: str, *, since_ns: int, until_ns: int, limit: int) -> list[EquitySample]:
        self._answers()
        found: dict[int, EquitySample] = {}
        for sample in self._of(account):
            if since_ns <= sample.at < until_ns:
                begin = sample.at // STEPS[step] * STEPS[step]
                found[begin] = msgspec.structs.replace(sample, at=begin)
        return list(found.values())[::-1][:limit]

    async def last_before(self, account: str, until_ns: int) -> EquitySample | None:
        self._answers()
        return next((sample for sample in reversed(self._of(account)) if sample.at < until_ns), None)

    async def drop_before(self, until_ns: int) -> None:
        self._answers()
        self.rows = {place: sample for place, sample in self.rows.items() if sample.at >= until_ns}

    def _of(self, account: str) -> list[EquitySample]:
        return [sample for (_, name), sample in sorted(self.rows.items()) if name == account]

    def _answers(self) -> None:
        if self.down:
            raise Unavailable("the samples are away")
