"""The settings of normalizer: how books, silence, quotes for the core and bars are bounded."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from config.kinds import Bytes, Count, Exact, Millis, Port, Seconds, Section, Wait
from config.sections import MarketNatsSection, MonitoringSection, ServiceSection
from config.settings import Settings
from domain.market.depth import DEPTH_LEVELS_MAX


class NormalizerService(ServiceSection):
    name: Literal["normalizer"] = "normalizer"
    port: Port = 8081


class NormalizerMonitoring(MonitoringSection):
    metrics_port: Port = 9081


class MarketStreamsSection(Section):
    """The streams that normalizer writes. Beyond a bound the oldest messages are dropped. `publish_wait_ms`: how long a batch gathers."""

    publish_wait_ms: Wait = 5
    market_max_bytes: Bytes = 4 * 2**30
    facts_max_bytes: Bytes = 2**30


class BooksSection(Section):
    """What is published of books: `levels` a side, whole every `snapshot_sec`, up to `delta_levels_max` changed levels in between."""

    levels: Annotated[int, Field(ge=1, le=1000)] = 25
    snapshot_sec: Seconds = 1
    delta_levels_max: Count = 2000


class LivenessSection(Section):
    """When a symbol counts as silent: after `factor` of its largest usual gaps, at least `least_sec`, at most `most_sec`."""

    factor: Annotated[int, Field(ge=1, le=100)] = 3
    least_sec: Seconds = 2
    most_sec: Seconds = 600
    window_sec: Seconds = 300


class TicksSection(Section):
    """Quotes for the core. `behind_max_sec`: a quote that is older at its reading is not sent, and the marks of its symbol end.

    `depth_levels`: levels of each side of its book that leave with a quote, for routing and paper venues; 0: none.
    `depth_per_symbol_max`: books a second of one symbol at one venue that leave although the touch did not change.
    """

    touch_per_symbol_max: Annotated[int, Field(ge=1, le=1000)] = 50
    repeat_sec: Seconds = 1
    behind_max_sec: Seconds = 2
    depth_levels: Annotated[int, Field(ge=0, le=DEPTH_LEVELS_MAX)] = 5
    depth_per_symbol_max: Annotated[int, Field(ge=1, le=1000)] = 10


class PrintsSection(Section):
    """Absurd prints. A trade or touch that is more than `collar_pct` percent from the last valid price of its venue is refused.

    The print `confirm` of as many in a row near one another is believed, as are those after it. With 1 no print is refused.
    """

    collar_pct: Annotated[Exact, Field(gt=0, le=1000)] = Decimal(20)
    confirm: Annotated[int, Field(ge=1, le=1000)] = 5


class BarsSection(Section):
    """`kept`: bars of each interval, symbol and venue in memory. `refill_messages`: of the end of MARKET, in which
    trades are read again at the start."""

    kept: Annotated[int, Field(ge=1, le=10_000)] = 300
    refill_messages: Annotated[int, Field(ge=0, le=1_000_000)] = 20_000


class NormalizerBoundsSection(Section):
    """`lag_max_sec`: beyond it /ready says so. `facts_kept`: in memory for GET /facts. `replay_frames_max`: frames of an open connection
    that are read again at a start; of a longer connection the books are requested instead.
    """

    lag_max_sec: Seconds = 5
    facts_kept: Annotated[int, Field(ge=1, le=100_000)] = 2000
    replay_frames_max: Count = 200_000
    control_timeout_ms: Millis = 1000


class NormalizerSettings(Settings):
    service: NormalizerService = NormalizerService()
    market_nats: MarketNatsSection = MarketNatsSection()
    streams: MarketStreamsSection = MarketStreamsSection()
    books: BooksSection = BooksSection()
    liveness: LivenessSection = LivenessSection()
    ticks: TicksSection = TicksSection()
    prints: PrintsSection = PrintsSection()
    bars: BarsSection = BarsSection()
    bounds: NormalizerBoundsSection = NormalizerBoundsSection()
    monitoring: NormalizerMonitoring = NormalizerMonitoring()
