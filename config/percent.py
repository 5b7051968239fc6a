"""Warnings for percent settings that look like fractions: `0.25` where 25 was meant is a limit a hundred times tighter."""

from collections.abc import Iterable
from decimal import Decimal

from config.kinds import Section
from domain.instruments import Instrument
from domain.values import plain


def fractions_in(settings: Section) -> list[str]:
    """Return a warning for each key named `*_pct` whose value looks like a fraction.

    Half a percent is possible, so the value is used as is.
    """
    found: list[str] = []
    for section in type(settings).model_fields:
        part = getattr(settings, section)
        for name in type(part).model_fields if isinstance(part, Section) else ():
            if name.endswith("_pct"):
                found += _warning(f"{section}.{name}", getattr(part, name))
    return found


def fractions_among(instruments: Iterable[Instrument]) -> list[str]:
    """Return the same warnings for `collar_pct`, each with one symbol that has it and the number of others."""
    having: dict[Decimal, list[str]] = {}
    for instrument in instruments:
        if instrument.collar_pct is not None:
            having.setdefault(instrument.collar_pct, []).append(instrument.symbol)
    return [
        sentence
        for collar, (first, *others) in having.items()
        for sentence in _warning(f"collar_pct of {first}{f' and {len(others)} more' if others else ''}", collar)
    ]


def _warning(name: str, percent: Decimal | None) -> list[str]:
    if percent is None or not 0 < percent < 1:
        return []
    meant = plain(percent.scaleb(2))
    return [
        f"{name} is {plain(percent)}, which is {plain(percent)} % (as a fraction {plain(percent.scaleb(-2))}); for {meant} % write {meant}"
    ]
