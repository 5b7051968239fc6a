"""The settings of sink-ticks: which streams of the market go to which places, and the bounds."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from config.catalogue import VenueName
from config.kinds import Count, HttpUrl, Listed, PgUrl, Port, Seconds, Section
from config.sections import MarketNatsSection, MonitoringSection, ServiceSection
from config.settings import Settings

TickPlace = Literal["questdb", "s3"]
TickStream = Literal["MARKET", "MARKET_FACTS"]


class SinkTicksService(ServiceSection):
    name: Literal["sink-ticks"] = "sink-ticks"
    port: Port = 8111


class SinkTicksMonitoring(MonitoringSection):
    metrics_port: Port = 9111


class TicksQuestdbSection(Section):
    """QuestDB for ticks. `rows`: over the wire of `pg_url`, as all statements, or to `http_url` as ILP, for a third of the CPU, where the
    server's HTTP is not read-only. A batch is written after `flush_rows` or `flush_wait_sec`.
    """

    rows: Literal["wire", "ilp"] = "wire"
    http_url: HttpUrl = "http://questdb:9000"
    pg_url: PgUrl = "postgresql://admin:quest@questdb:8812/qdb"
    flush_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    flush_wait_sec: Seconds = 1


class TicksS3Section(Section):
    """Objects of ticks: `s3://bucket/prefix` at the server of TRADE_S3_URL, or `file:///directory`. A batch makes an object a part."""

    address: str = "s3://trade"
    flush_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    flush_wait_sec: Seconds = 60

    @field_validator("address")
    @classmethod
    def _an_address(cls, text: str) -> str:
        parts = urlsplit(text)
        if not ((parts.scheme == "s3" and parts.netloc) or (parts.scheme == "file" and parts.path.strip("/") and not parts.netloc)):
            raise ValueError("must be s3://bucket/prefix or file:///directory")
        return text


class ClosesSection(Section):
    """Daily closes of value at risk from the bars of days that are over. `days`: how far back a missing one is filled; 0: none is written.

    A day is complete at a venue if its quotes or trades were recorded within `margin_sec` before its end and after it. `venues`: whose
    close counts, the first one that is complete; of venues that are not named, the one with the largest volume.
    """

    days: Annotated[int, Field(ge=0, le=400)] = 60
    wait_sec: Seconds = 300
    margin_sec: Seconds = 600
    venues: Annotated[tuple[VenueName, ...], Listed] = ()


class SinkBoundsSection(Section):
    """`lag_max_sec`: a place that lags more than this beyond its `flush_wait_sec` makes the service not ready.

    `unread_percent_max`: the alarm is given when so much of a stream's bound holds unread messages.
    """

    lag_max_sec: Seconds = 30
    unread_percent_max: Annotated[int, Field(ge=1, le=100)] = 50
    dead_letters_max: Count = 10_000


class SinkTicksSettings(Settings):
    service: SinkTicksService = SinkTicksService()
    market_nats: MarketNatsSection = MarketNatsSection()
    streams: Annotated[tuple[TickStream, ...], Listed, Field(min_length=1)] = ("MARKET", "MARKET_FACTS")
    places: Annotated[tuple[TickPlace, ...], Listed, Field(min_length=1)] = ("questdb",)
    ticks_keep_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    questdb: TicksQuestdbSection = TicksQuestdbSection()
    s3: TicksS3Section = TicksS3Section()
    closes: ClosesSection = ClosesSection()
    bounds: SinkBoundsSection = SinkBoundsSection()
    monitoring: SinkTicksMonitoring = SinkTicksMonitoring()

    @field_validator("streams", "places")
    @classmethod
    def _once_each(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("lists a name twice")
        return names

    @model_validator(mode="after")
    def _archived(self) -> Self:
        if self.ticks_keep_days and set(self.places) != {"questdb", "s3"}:
            raise ValueError("ticks_keep_days drops days of QuestDB that S3 has too: places must be [questdb, s3]")
        return self
