"""The sections of configuration files. A key's unit is in its name; every key has a default."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from config.access_mode import Mode
from config.kinds import (
    Bytes,
    Count,
    Exact,
    Hosts,
    HttpUrl,
    Identifier,
    Listed,
    Millis,
    Money,
    NamedPath,
    Names,
    NatsUrl,
    Networks,
    OptionalPath,
    Origins,
    Percent,
    PgUrl,
    Port,
    Seconds,
    Section,
    Speed,
    ValkeyUrl,
    Wait,
)
from domain.market.csv_rows import columns_of
from domain.market.recorded import COLUMNS
from domain.shards import SHARDS_MAX

CheckName = Literal["position_limit", "order_size_limit", "buying_power", "var_limit", "concentration_limit", "short_restriction"]
OrderTypeName = Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]


class ServiceSection(Section):
    """The section that every process has. Name and default port differ: see the services in settings.py."""

    name: str
    host: str = "127.0.0.1"
    port: Port
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    workers: Count = 1
    data_dir: OptionalPath = None
    log_dir: OptionalPath = None


class NatsSection(Section):
    """The NATS connection. `monitor_url` is where nats-server publishes its settings: oms does not write to a journal without fsync.

    `writer_url`: where a service that owns a journal writes its commits, with a user of its own (default `url`).
    `replicas`: how many servers of a cluster keep each created stream. On a cluster `monitor_urls` lists every server's address:
    one that does not sync would acknowledge what a power cut can lose. `shards`: how many shards the order journal has; fixed when it is
    created, and the same for every service.
    """

    url: NatsUrl = "nats://nats:4222"
    writer_url: NatsUrl | None = None
    monitor_url: HttpUrl = "http://nats:8222"
    monitor_urls: Annotated[tuple[HttpUrl, ...], Listed] = ()
    connect_timeout_sec: Seconds = 5
    replicas: Annotated[int, Field(ge=1, le=5)] = 1
    shards: Annotated[int, Field(ge=1, le=SHARDS_MAX)] = 1

    def monitors(self) -> tuple[str, ...]:
        """Return the monitoring addresses: `monitor_urls`, else `monitor_url`."""
        return tuple(map(str, self.monitor_urls)) or (str(self.monitor_url),)


class MarketNatsSection(Section):
    """The server of the market's streams. Without `url` they are on the core's server, as in one cluster for both."""

    url: NatsUrl | None = None
    connect_timeout_sec: Seconds = 5
    replicas: Annotated[int, Field(ge=1, le=5)] = 1


class OmsNatsSection(NatsSection):
    """The subjects are fixed between programs: the keys are known, any other value is refused."""

    fill_subject: Literal["fills.>"] = "fills.>"
    order_subject_prefix: Literal["orders"] = "orders"
    position_subject_prefix: Literal["positions"] = "positions"


class ValkeySection(Section):
    url: ValkeyUrl = "redis://valkey:6379"
    db: Annotated[int, Field(ge=0, le=15)] = 0
    max_connections: Annotated[int, Field(ge=1, le=1000)] = 20
    timeout_ms: Millis = 100


class RiskValkeySection(ValkeySection):
    db: Annotated[int, Field(ge=0, le=15)] = 4
    position_cache_ttl_sec: Annotated[int, Field(ge=0, le=31_536_000)] = 300


class PositionsValkeySection(ValkeySection):
    """Valkey for positions. `position_ttl_sec` applies to flat positions only: an expired open one would read as flat. 0 keeps them too."""

    db: Annotated[int, Field(ge=0, le=15)] = 5
    position_ttl_sec: Annotated[int, Field(ge=0, le=31_536_000)] = 0


class QuestdbSection(Section):
    http_url: HttpUrl = "http://questdb:9000"
    pg_url: PgUrl = "postgresql://admin:quest@questdb:8812/qdb"
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    flush_interval_sec: Seconds = 1


class MonitoringSection(Section):
    metrics_port: Port
    health_check_interval_sec: Seconds = 10


class RiskMonitoringSection(MonitoringSection):
    latency_alert_threshold_ms: Millis = 2.0


class JournalSection(Section):
    """The bounds of a journal's only writer."""

    shard: Annotated[int, Field(ge=0, le=0)] = 0
    shards: Annotated[int, Field(ge=1, le=1)] = 1
    commit_wait_ms: Wait = 2.0
    commit_events_max: Annotated[int, Field(ge=1, le=1000)] = 1000
    commit_bytes_max: Annotated[int, Field(ge=4096, le=524_288)] = 524_288
    append_timeout_ms: Millis = 500
    append_deadline_ms: Millis = 2000
    durability: Literal["fsync", "relaxed"] = "fsync"
    max_bytes: Bytes = 10 * 2**30


class VenueJournalSection(JournalSection):
    """The paper venues' own journal. nats-server reserves `max_bytes` when the stream is created, so it is no more than they need."""

    commit_wait_ms: Wait = 4.0
    max_bytes: Bytes = 2 * 2**30


class FollowingSection(Section):
    """How a service reads the journal, and after how many commits or seconds it stores a snapshot (in service.data_dir)."""

    follower_wait_ms: Wait = 0
    snapshot_every_commits: Count = 100_000
    snapshot_every_sec: Seconds = 300


class RiskChecksSection(Section):
    enabled: Annotated[tuple[CheckName, ...], Listed] = (
        "position_limit",
        "order_size_limit",
        "buying_power",
        "var_limit",
        "concentration_limit",
        "short_restriction",
    )
    max_order_size_usd: Money = Decimal(100_000)
    max_order_size_shares: Money = Decimal(10_000)
    algo_order_usd_max: Money | None = None
    max_position_size_usd: Money = Decimal(1_000_000)
    max_concentration_pct: Percent = Decimal(25)
    max_portfolio_var_usd: Money = Decimal(50_000)
    var_confidence_level: Exact = Decimal("0.99")
    var_lookback_days: Annotated[int, Field(ge=2, le=3650)] = 30
    var_method: Literal["historical", "parametric"] = "historical"
    price_history_age_max_days: Annotated[int, Field(ge=1, le=100_000)] = 7
    price_history_refresh_sec: Seconds = 30
    initial_buying_power_usd: Money = Decimal(100_000)
    margin_requirement_pct: Percent = Decimal(50)
    reservation_ttl_ms: Millis = 2000
    market_buffer_pct: Percent = Decimal(1)
    price_collar_pct: Annotated[Exact, Field(gt=0, le=1000)] | None = Decimal(20)
    max_open_orders_per_account: Count | None = None
    max_orders_per_sec_per_account: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    duplicate_order_window_ms: Millis | None = None
    repeated_orders_max: Count | None = None
    repeated_orders_window_sec: Seconds = 60
    quote_age_max_sec: Seconds = 10
    short_allowed_accounts: Names = ()
    batch_max: Annotated[int, Field(ge=1, le=10_000)] = 256

    @field_validator("enabled")
    @classmethod
    def _once_each(cls, names: tuple[CheckName, ...]) -> tuple[CheckName, ...]:
        if len(set(names)) != len(names):
            raise ValueError("lists a check twice")
        return names

    @field_validator("var_confidence_level")
    @classmethod
    def _a_probability(cls, level: Decimal) -> Decimal:
        if not Decimal("0.5") <= level < 1:
            raise ValueError("must be at least 0.5 and below 1")
        return level

    @field_validator("margin_requirement_pct")
    @classmethod
    def _some_margin(cls, percent: Decimal) -> Decimal:
        if not percent:
            raise ValueError("must be above 0: without margin every order would have buying power")
        return percent


class RiskPerformanceSection(Section):
    latency_sla_ms: Millis = 1.5
    cache_positions: bool = True
    cache_limits: bool = True
    async_var_calculation: bool = False

    @field_validator("async_var_calculation")
    @classmethod
    def _synchronous(cls, wanted: bool) -> bool:
        if wanted:
            raise ValueError("must be false: VaR is computed before the reply to the order")
        return wanted


class RiskServiceSection(Section):
    """The connection from oms to risk."""

    url: HttpUrl = "http://risk:8103"
    check_endpoint: str = "/check"
    timeout_sec: Annotated[Seconds, Field(le=1)] = 0.005
    risk_wait_ms: Wait = 2.0
    batch_max: Annotated[int, Field(ge=1, le=10_000)] = 32
    enabled: bool = True
    fail_closed: bool = True

    @field_validator("enabled")
    @classmethod
    def _always_asked(cls, enabled: bool) -> bool:
        if not enabled:
            raise ValueError("no order is accepted without a decision from risk; this cannot be switched off")
        return enabled

    @field_validator("fail_closed")
    @classmethod
    def _fails_closed(cls, closed: bool) -> bool:
        if not closed:
            raise ValueError("orders are refused when risk cannot answer; this cannot be switched off")
        return closed


class OrderManagementSection(Section):
    supported_order_types: Annotated[tuple[OrderTypeName, ...], Listed, Field(min_length=1)] = get_args(OrderTypeName)
    max_open_orders_per_account: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    order_timeout_sec: Seconds | None = None
    update_positions_realtime: bool = True
    reconcile_positions_interval_sec: Seconds = 60
    default_account: Identifier = "main"
    intake_max: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    settle_second_person: Literal["required", "not_required"] = "not_required"

    @field_validator("update_positions_realtime")
    @classmethod
    def _realtime(cls, wanted: bool) -> bool:
        if not wanted:
            raise ValueError("must be true: positions follow the journal as fills arrive")
        return wanted


class GroupsSection(Section):
    """Lists of orders that belong together, and parents of algos."""

    lists_open_max_per_account: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    exclusive_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 500
    algos_open_max_per_account: Annotated[int, Field(ge=1, le=10_000)] = 100
    slices_max: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    interval_min_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 200
    horizon_max_sec: Annotated[int, Field(ge=1, le=31_536_000)] = 604_800
    refusals_max: Annotated[int, Field(ge=1, le=1000)] = 5


PROXIED: Final = "proxied"


class TlsSection(Section):
    """The certificate of a service's ports, its key, and the authority whose certificates clients must show; PEM files."""

    cert: NamedPath
    key: NamedPath
    client_ca: OptionalPath = None


def _tls_tag(value: object) -> str | None:
    if isinstance(value, Mapping | TlsSection):
        return "(files)"
    return "(word)" if value == PROXIED else None


Tls = Annotated[
    Annotated[Literal["proxied"], Tag("(word)")] | Annotated[TlsSection, Tag("(files)")],
    Discriminator(
        _tls_tag, custom_error_type="tls_form", custom_error_message="must be 'proxied', or a mapping of cert, key and client_ca to files"
    ),
]


class AccessSection(Section):
    """Who may call this service's ports, and how. `hosts` and `origins` add to loopback and the listening address. No wildcards.

    `mode`: None decides by the listening address and the venues (config/exposure.py). `tls`: `proxied` if a proxy in front ends TLS.
    `proxies`: whose X-Forwarded-For counts. `metrics_networks`: who may read /metrics besides loopback.
    """

    hosts: Hosts = ()
    origins: Origins = ()
    mode: Mode | None = None
    tls: Tls | None = None
    proxies: Networks = ()
    metrics_networks: Networks = ()
    cli_key: Annotated[tuple[str, str] | None, Listed] = None


class AdminSection(Section):
    """Operator functions of oms over HTTP. Disabled by default: every client that reaches the port may call them."""

    verify: Literal["disabled", "enabled"] = "disabled"


class ControlsSection(Section):
    """Whether one person alone may take both steps of arming, and of a limit above `limits_second_person_above_usd` (none: one step)."""

    second_person: Literal["required", "not_required"] = "required"
    limits_second_person_above_usd: Money | None = None


class OmsPerformanceSection(Section):
    latency_sla_ms: Millis = 10
    max_latency_ms: Millis = 50


class QuotesSection(Section):
    """The source of the paper venues' quotes.

    `speed` is a factor on the file's own pace, "max", or "stepped" (a test triggers each step).
    """

    source: Literal["simulated", "file"] = "simulated"
    file: OptionalPath = None
    columns: str = ""
    speed: Speed = Decimal(1)
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 2026
    interval_ms: Millis = 250

    @model_validator(mode="after")
    def _a_file_to_read(self) -> Self:
        if (self.source == "file") != (self.file is not None):
            raise ValueError("source: file and file: PATH must be set together")
        return self

    @field_validator("columns")
    @classmethod
    def _names_columns(cls, text: str) -> str:
        columns_of(text, COLUMNS)
        return text


class StreamSection(Section):
    """The bounds of `GET /stream` and of what desk keeps in memory for it."""

    frame_ms: Millis = 100
    heartbeat_ms: Millis = 1000
    slow_client_sec: Seconds = 10
    streams_max: Annotated[int, Field(ge=1, le=10_000)] = 2000
    streams_of_an_owner_max: Annotated[int, Field(ge=1, le=10_000)] = 20
    closed_orders_max: Count = 100_000
    events_max: Count = 100_000


class PeersSection(Section):
    """The addresses of the other services. `ca_file`: the authority of their certificates where an address is https."""

    oms_url: HttpUrl = "http://oms:8099"
    risk_url: HttpUrl = "http://risk:8103"
    exeq_url: HttpUrl = "http://exeq:8095"
    gateway_url: HttpUrl = "http://live-gateway:8105"
    projector_url: HttpUrl = "http://projector:8107"
    ca_file: OptionalPath = None
