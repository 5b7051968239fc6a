"""Moments as people write them in a query: read exactly, or refused by name."""

import pytest

from apps.http.moments import asked_moment, body_moment
from domain.values import from_rfc3339

NOON = from_rfc3339("2026-01-31T12:00:00Z")
DAY = from_rfc3339("2026-01-31T00:00:00Z")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31t12:00:00z", NOON),
        ("2026-01-31 12:00:00+00:00", NOON),
        ("2026-01-31T12:00:00+00:00", NOON),
        ("2026-01-31T12:00:00 00:00", NOON),  # an unescaped plus
        ("2026-01-31T13:30:00 01:30", NOON),
        ("2026-01-31T07:00:00-05:00", NOON),
        ("2026-01-31T12:00:00.123456789Z", NOON + 123_456_789),
        ("2026-01-31T12:00:00.5Z", NOON + 500_000_000),
        ("1969-12-31T23:59:59.25Z", -750_000_000),
        ("2026-01-31", DAY),
        ("1769860800", NOON),
        ("1769860800.25", NOON + 250_000_000),
        ("1769860800123", NOON + 123_000_000),
        ("1769860800123456", NOON + 123_456_000),
        ("1769860800123456789", NOON + 123_456_789),
    ],
)
def test_a_moment_is_read_to_its_last_digit(text: str, moment: int) -> None:
    assert asked_moment(text) == moment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-01-31T12:00:00", "zone"),
        ("2026-01-31 12:00:00", "zone"),
        ("1", "digits"),
        ("176986080", "digits"),
        ("17698608001", "digits"),
        ("1769860800123.5", "digits"),
        ("9" * 4000, "digits"),
        ("-1769860800", "write it as"),
        ("1.7e9", "write it as"),
        ("yesterday", "write it as"),
        ("2026-1-3", "write it as"),
        ("31.01.2026", "write it as"),
        ("20260131", "digits"),
        ("", "write it as"),
        ("2026-02-30", "day"),
        ("2026-01-31T25:00:00Z", "hour"),
        ("0000-01-01", "year"),
        ("9999-12-31T23:59:59-01:00", "year"),
        ("\u0662\u0660\u0662\u0666-01-31", "write it as"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asked_moment(text)


def test_a_recording_has_times_without_a_zone_in_utc() -> None:
    assert asked_moment("2026-01-31T12:00:00", utc=True) == NOON


@pytest.mark.parametrize("text", ["2026-01-31", "1769860800", "2026-01-31 12:00:00Z", "2026-01-31T12:00:00 00:00", "2026-01-31T12:00:00"])
def test_a_body_says_rfc_3339_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339"):
        body_moment(text)
