"""The report of a verification: a line for each check, in the order of the checks."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

Outcome = Literal["ok", "different", "not_looked_at", "unreachable"]
Counts = dict[str, int | str]

WORDS: Final[dict[Outcome, str]] = {"ok": "OK", "different": "DIFFERENT", "not_looked_at": "not looked at", "unreachable": "unreachable"}


class CheckLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one check. `found`: the first difference, or why nothing was compared; `counts`: what was compared."""

    name: str
    outcome: Outcome
    counts: Counts = {}
    found: str = ""

    def line(self) -> str:
        counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in self.counts.items())
        return f"{self.name:<12} {WORDS[self.outcome]}{': ' if counts or self.found else ''}{'; '.join(filter(None, (counts, self.found)))}"


class VerificationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The report. `ok`: nothing differs. `complete`: every check was made and is ok. `first_difference`: None if nothing differs."""

    ok: bool
    complete: bool
    as_of_seq: int
    first_difference: str | None
    checks: tuple[CheckLine, ...]


Tell = Callable[[CheckLine], None]
"""Called with each check as soon as it is done."""


def together(reports: Sequence[VerificationReport]) -> VerificationReport:
    """Return the report of all shards. Sequences of different shards cannot be compared, so it then has none."""
    if len(reports) == 1:
        return reports[0]
    return report_of([check for report in reports for check in report.checks], 0)


def report_of(checks: list[CheckLine], as_of_seq: int) -> VerificationReport:
    different = [f"{check.name}: {check.found}" for check in checks if check.outcome == "different"]
    return VerificationReport(
        ok=not different,
        complete=all(check.outcome == "ok" for check in checks),
        as_of_seq=as_of_seq,
        first_difference=different[0] if different else None,
        checks=tuple(checks),
    )
