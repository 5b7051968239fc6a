"""Hours and manners of venues, as venues.yaml says them."""

from pathlib import Path

import pytest

from config.catalogue import load_instruments, load_venues
from config.text import ConfigError
from config.venues import routed_venue
from domain.paper.rules import PaperRules
from domain.values import from_rfc3339, rfc3339

VENUE = """
venues:
  V:
    fees: {maker_bps: 1, taker_bps: 2}
"""


def loaded(tmp_path: Path, more: str) -> object:
    file = tmp_path / "venues.yaml"
    file.write_text(VENUE + more)
    return load_venues(load_instruments().instruments, file).venues["V"].rules


def test_a_venue_that_says_nothing_never_closes_and_estimates_the_queue_of_a_market(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == PaperRules(estimated=True)
    assert loaded(tmp_path, "    paper: {queue: none}") == PaperRules()


@pytest.mark.parametrize(
    ("more", "supported"),
    [
        ("", True),
        ("    supports: []", False),
        ("    session: plain", False),
        ("    live: true", False),
        ("    session: plain\n    supports: [iceberg]", True),
    ],
)
def test_paper_venues_support_icebergs_and_other_venues_only_if_their_entry_says_so(tmp_path: Path, more: str, supported: bool) -> None:
    (tmp_path / "venues.yaml").write_text(VENUE + more)
    venue = load_venues(load_instruments().instruments, tmp_path / "venues.yaml").venues["V"]
    assert (venue.icebergs, routed_venue(venue).icebergs) == (supported, supported)


def test_what_no_venue_can_support_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="supports"):
        loaded(tmp_path, "    supports: [peg]")


def test_hours_and_manners_are_read(tmp_path: Path) -> None:
    rules = loaded(
        tmp_path,
        """    calendar: {opens: "13:30", closes: "20:00", days: [mon, fri], holidays: ["2026-12-25"]}
    paper: {levels: 5, level_ticks: 2, queue: displayed, self_trade: cancel_oldest, jitter_ms: 3}
""",
    )
    assert (rules.levels, rules.level_ticks, rules.queue, rules.self_trade) == (5, 2, True, "cancel_oldest")  # type: ignore[attr-defined]
    end = rules.calendar.session_end(from_rfc3339("2026-12-22T00:00:00Z"))  # type: ignore[attr-defined]
    assert rfc3339(end) == "2026-12-28T20:00:00.000000Z", "friday is a holiday"


def test_a_session_that_closes_before_it_opens_ends_the_next_day(tmp_path: Path) -> None:
    rules = loaded(tmp_path, '    calendar: {opens: "22:00", closes: "21:00"}\n')
    assert rules.calendar.is_open(from_rfc3339("2026-01-02T20:59:59Z"))  # type: ignore[attr-defined]
    assert not rules.calendar.is_open(from_rfc3339("2026-01-02T21:00:00Z"))  # type: ignore[attr-defined]


def test_hours_are_those_of_the_venue_s_own_clock(tmp_path: Path) -> None:
    rules = loaded(
        tmp_path,
        """    calendar: {zone: America/New_York, opens: "09:30", closes: "16:00", half_days: {"2026-11-27": "13:00"}}
""",
    )
    ends = [rules.calendar.session_end(from_rfc3339(f"2026-{day}T15:00:00Z")) for day in ("07-01", "11-25", "11-27")]  # type: ignore[attr-defined]
    assert [rfc3339(end)[5:16] for end in ends] == ["07-01T20:00", "11-25T21:00", "11-27T18:00"]


@pytest.mark.parametrize(
    "wrong",
    [
        '{opens: "25:00"}',
        "{opens: 810}",
        "{days: []}",
        "{days: [sunday]}",
        '{holidays: ["2026-02-30"]}',
        '{opens: "09:00", close: "17:00"}',
        "{zone: America/Newyork}",
        "{zone: ../etc/passwd}",
        "{zone: America}",
        '{half_days: {"2026-02-30": "13:00"}}',
        '{half_days: {"2026-11-27": "25:00"}}',
        '{opens: "09:30", closes: "16:00", half_days: {"2026-11-27": "16:00"}}',
        '{opens: "09:30", closes: "16:00", half_days: {"2026-11-27": "09:00"}}',
        '{holidays: ["2026-11-27"], half_days: {"2026-11-27": "13:00"}}',
    ],
)
def test_what_is_no_calendar_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError):
        loaded(tmp_path, f"    calendar: {wrong}\n")
