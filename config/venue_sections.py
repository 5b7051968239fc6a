"""The exchange sections of venues.yaml: hours, depth, queue."""

from datetime import UTC, date, tzinfo
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from config.kinds import Listed, Section, Wait
from domain.market.trading_hours import CLOSE_LEAD_S, DAY_S, EPOCH_WEEKDAY, Calendar
from domain.paper.rules import PaperRules

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH: Final = date(1970, 1, 1)
assert EPOCH.weekday() == EPOCH_WEEKDAY

Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$|^24:00$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class CalendarSection(Section):
    """Trading hours on the clock of `zone`, "HH:MM" or "HH:MM:SS".

    A session that closes before it opens, or at the same time, ends the next day.
    `half_days` are dates whose session closes at another time. Without a calendar a venue never closes. `close_lead_sec`: orders for the
    close (`cls`) are routed so long before the end of a session, and no more of them are accepted from then on.
    """

    zone: str = "UTC"
    opens: Clock = "00:00"
    closes: Clock = "24:00"
    days: Annotated[tuple[Weekday, ...], Listed, Field(min_length=1)] = WEEKDAYS
    holidays: Annotated[tuple[str, ...], Listed] = ()
    half_days: dict[str, Clock] = Field(default_factory=dict)
    close_lead_sec: Annotated[int, Field(ge=1, le=3600)] = CLOSE_LEAD_S

    @field_validator("holidays", "half_days")
    @classmethod
    def _dates(cls, days: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        for day in days:
            date.fromisoformat(day)
        return days

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        _zone(name)
        return name

    @model_validator(mode="after")
    def _sessions_end_before_the_next(self) -> "CalendarSection":
        if self.calendar().closes_s - self.calendar().opens_s > DAY_S:
            raise ValueError("a session lasts a day at most")
        if both := sorted(set(self.holidays) & self.half_days.keys()):
            raise ValueError(f"{both[0]} is both a holiday and a half day")
        if late := [day for day, closes in self.half_days.items() if _closing(self.opens, closes) >= self.calendar().closes_s]:
            raise ValueError(f"the half day {late[0]} does not close before other days do")
        return self

    def calendar(self) -> Calendar:
        return Calendar(
            opens_s=_seconds(self.opens),
            closes_s=_closing(self.opens, self.closes),
            weekdays=frozenset(WEEKDAYS.index(day) for day in self.days),
            holidays=frozenset(map(_day, self.holidays)),
            half_days={_day(day): _closing(self.opens, closes) for day, closes in self.half_days.items()},
            zone=_zone(self.zone),
            close_lead_s=self.close_lead_sec,
        )


class PaperSection(Section):
    """How an exchange of this venue's kind handles orders. docs/paper-venues.md has the rules."""

    jitter_ms: Wait = 0.0
    levels: Annotated[int, Field(ge=1, le=100)] = 1
    level_ticks: Annotated[int, Field(ge=1, le=1000)] = 1
    queue: Literal["none", "displayed", "estimated"] = "estimated"
    self_trade: Literal["allow", "cancel_newest", "cancel_oldest"] = "allow"

    def rules(self, calendar: Calendar) -> PaperRules:
        return PaperRules(
            levels=self.levels,
            level_ticks=self.level_ticks,
            queue=self.queue == "displayed",
            estimated=self.queue == "estimated",
            self_trade=self.self_trade,
            calendar=calendar,
        )


def _seconds(clock: str) -> int:
    hours, minutes, *seconds = map(int, clock.split(":"))
    return hours * 3600 + minutes * 60 + sum(seconds)


def _closing(opens: str, closes: str) -> int:
    """Return seconds from the midnight before the session opens."""
    return _seconds(closes) + (DAY_S if _seconds(closes) <= _seconds(opens) else 0)


def _day(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH).days


def _zone(name: str) -> tzinfo:
    """Return a zone of the system's data or of the package tzdata, which is always installed."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is not a time zone, for example America/New_York") from error
