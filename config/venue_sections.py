"""What venues.yaml says of a paper venue's exchange: its hours, its depth, its queue."""

from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from config.kinds import Listed, Section, Wait
from domain.calendar import DAY_S, EPOCH_WEEKDAY, Calendar
from domain.paper_rules import PaperRules

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EPOCH: Final = date(1970, 1, 1)
assert EPOCH.weekday() == EPOCH_WEEKDAY

Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class CalendarSection(Section):
    """Hours in UTC, "HH:MM". A session that closes before it opens, or at the same time, ends the next day. Without one it never closes."""

    opens: Clock = "00:00"
    closes: Clock = "24:00"
    days: Annotated[tuple[Weekday, ...], Listed, Field(min_length=1)] = WEEKDAYS
    holidays: Annotated[tuple[str, ...], Listed] = ()

    @field_validator("holidays")
    @classmethod
    def _dates(cls, days: tuple[str, ...]) -> tuple[str, ...]:
        for day in days:
            date.fromisoformat(day)
        return days

    @model_validator(mode="after")
    def _sessions_end_before_the_next(self) -> "CalendarSection":
        if self.calendar().closes_s - self.calendar().opens_s > DAY_S:
            raise ValueError("a session lasts a day at most")
        return self

    def calendar(self) -> Calendar:
        opens, closes = _seconds(self.opens), _seconds(self.closes)
        return Calendar(
            opens_s=opens,
            closes_s=closes if closes > opens else closes + DAY_S,
            weekdays=frozenset(WEEKDAYS.index(day) for day in self.days),
            holidays=frozenset((date.fromisoformat(day) - EPOCH).days for day in self.holidays),
        )


class PaperSection(Section):
    """How an exchange of this venue's kind deals with orders. docs/paper-venues.md has the rules."""

    jitter_ms: Wait = 0.0
    levels: Annotated[int, Field(ge=1, le=100)] = 1
    level_ticks: Annotated[int, Field(ge=1, le=1000)] = 1
    queue: Literal["none", "displayed"] = "none"
    self_trade: Literal["allow", "cancel_newest", "cancel_oldest"] = "allow"

    def rules(self, calendar: Calendar) -> PaperRules:
        return PaperRules(
            levels=self.levels,
            level_ticks=self.level_ticks,
            queue=self.queue == "displayed",
            self_trade=self.self_trade,
            calendar=calendar,
        )


def _seconds(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60
