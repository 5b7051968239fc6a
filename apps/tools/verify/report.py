"""What a verification found: a line for each check, in the order in which it was made."""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

Outcome = Literal["ok", "different", "not_looked_at", "unreachable"]
Counts = dict[str, int | str]

WORDS: Final[dict[Outcome, str]] = {"ok": "OK", "different": "DIFFERENT", "not_looked_at": "not looked at", "unreachable": "unreachable"}


class CheckLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """`found` is the first difference, or why nothing could be compared; `counts` is what was compared."""

    name: str
    outcome: Outcome
    counts: Counts = {}
    found: str = ""

    def line(self) -> str:
        said = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in self.counts.items())
        return f"{self.name:<12} {WORDS[self.outcome]}{': ' if said or self.found else ''}{'; '.join(filter(None, (said, self.found)))}"


class VerificationReport(msgspec.Struct, frozen=True, kw_only=True):
    """`ok`: nothing differs. `complete`: and everything was looked at. `first_difference` is None when nothing differs."""

    ok: bool
    complete: bool
    as_of_seq: int
    first_difference: str | None
    checks: tuple[CheckLine, ...]


Tell = Callable[[CheckLine], None]
"""Called with each check as soon as it is done."""


def report_of(checks: list[CheckLine], as_of_seq: int) -> VerificationReport:
    different = [f"{check.name}: {check.found}" for check in checks if check.outcome == "different"]
    return VerificationReport(
        ok=not different,
        complete=all(check.outcome == "ok" for check in checks),
        as_of_seq=as_of_seq,
        first_difference=different[0] if different else None,
        checks=tuple(checks),
    )
