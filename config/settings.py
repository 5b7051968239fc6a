"""One Settings class for each service: its sections, keys without effect, and notices for the operator."""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, Self

from pydantic import model_validator

from config.alpaca_section import AlpacaSection
from config.kinds import Port, Section, Wait
from config.market_section import MarketSection
from config.percent import fractions_in
from config.projection_section import ProjectionSection
from config.routing_section import RoutingSection
from config.sections import (
    AccessSection,
    AdminSection,
    ControlsSection,
    FollowingSection,
    GroupsSection,
    JournalSection,
    MonitoringSection,
    NatsSection,
    OmsNatsSection,
    OmsPerformanceSection,
    OrderManagementSection,
    PeersSection,
    PositionsValkeySection,
    QuestdbSection,
    QuotesSection,
    RiskChecksSection,
    RiskMonitoringSection,
    RiskPerformanceSection,
    RiskServiceSection,
    RiskValkeySection,
    ServiceSection,
    StreamSection,
    VenueJournalSection,
)
from config.unit_section import UnitSection

CONNECTIONS_MAX: Final = 1000
"""Of one port."""
FillsStore = Literal["questdb", "sqlite"]

_WRITTEN_BY_PROJECTOR: Final = "the projector writes positions and fills, with the value in its own file"
_A_GOAL: Final = "it is only a target to compare with; see /stats and /metrics"
_SHARDS: Final = "nats.shards says how many shards the order journal has"
_IN_MEMORY: Final = "risk keeps positions and limits in memory as a fold of the journal, where they do not expire"


class Settings(Section):
    """The settings of all services. `NO_EFFECT` maps a dotted key to the reason why setting it changes nothing."""

    NO_EFFECT: ClassVar[Mapping[str, str]] = {}
    FOLLOWS_SHARDS: ClassVar[bool] = True
    """Whether the service can follow several shards of the order journal."""

    service: ServiceSection
    nats: NatsSection = NatsSection()
    monitoring: MonitoringSection
    peers: PeersSection = PeersSection()
    access: AccessSection = AccessSection()

    @model_validator(mode="after")
    def _shards_that_it_follows(self) -> Self:
        if self.nats.shards > 1 and not self.FOLLOWS_SHARDS:
            raise ValueError(f"nats.shards must be 1, found {self.nats.shards}: this service follows only one shard")
        return self

    def connections_max(self) -> int:
        """Return how many connections the port of the service takes."""
        return CONNECTIONS_MAX

    def alpaca_base(self) -> str | None:
        """Return where the service answers as Alpaca does; None if it does not."""
        return None

    def without_effect(self) -> list[str]:
        """Return a sentence for each key that the file sets and that has no effect by design."""
        common = {"service.workers": "a service is one process; order state has a single writer"}
        return [f"{key} has no effect: {reason}" for key, reason in (common | dict(self.NO_EFFECT)).items() if self._is_set(key)]

    def notices(self) -> list[str]:
        """Return notices about a valid configuration that an operator should read once."""
        return fractions_in(self)

    def _is_set(self, dotted: str) -> bool:
        section, key = dotted.split(".")
        part = getattr(self, section)
        return section in self.model_fields_set and key in part.model_fields_set


class RiskService(ServiceSection):
    name: Literal["risk"] = "risk"
    port: Port = 8103


class RiskMonitoring(RiskMonitoringSection):
    metrics_port: Port = 9103


class RiskSettings(Settings):
    NO_EFFECT: ClassVar[Mapping[str, str]] = {
        "valkey.position_cache_ttl_sec": _IN_MEMORY,
        "questdb.batch_size": _WRITTEN_BY_PROJECTOR,
        "questdb.flush_interval_sec": _WRITTEN_BY_PROJECTOR,
        "performance.cache_positions": _IN_MEMORY,
        "performance.cache_limits": _IN_MEMORY,
        "performance.async_var_calculation": "VaR is always computed before the reply to the order",
        "performance.latency_sla_ms": _A_GOAL,
    }

    service: RiskService = RiskService()
    valkey: RiskValkeySection = RiskValkeySection()
    questdb: QuestdbSection = QuestdbSection()
    fills: FillsStore = "questdb"
    risk_checks: RiskChecksSection = RiskChecksSection()
    controls: ControlsSection = ControlsSection()
    market: MarketSection = MarketSection()
    performance: RiskPerformanceSection = RiskPerformanceSection()
    monitoring: RiskMonitoring = RiskMonitoring()
    following: FollowingSection = FollowingSection()
    unit: UnitSection = UnitSection()

    def notices(self) -> list[str]:
        unchecked = ["risk_checks.enabled is empty: only symbol blocks refuse an order"]
        return super().notices() + ([] if self.risk_checks.enabled else unchecked)


class OmsService(ServiceSection):
    name: Literal["oms"] = "oms"
    port: Port = 8099


class OmsMonitoring(MonitoringSection):
    metrics_port: Port = 9099


class OmsSettings(Settings):
    NO_EFFECT: ClassVar[Mapping[str, str]] = {
        "valkey.position_ttl_sec": _WRITTEN_BY_PROJECTOR,
        "questdb.batch_size": _WRITTEN_BY_PROJECTOR,
        "questdb.flush_interval_sec": _WRITTEN_BY_PROJECTOR,
        "risk_service.url": "oms calls risk over NATS, on risk.check.order",
        "risk_service.check_endpoint": "oms calls risk over NATS, on risk.check.order",
        "performance.latency_sla_ms": _A_GOAL,
        "performance.max_latency_ms": _A_GOAL,
        "journal.shard": _SHARDS,
        "journal.shards": _SHARDS,
    }

    service: OmsService = OmsService()
    nats: OmsNatsSection = OmsNatsSection()
    valkey: PositionsValkeySection = PositionsValkeySection()
    questdb: QuestdbSection = QuestdbSection()
    risk_service: RiskServiceSection = RiskServiceSection()
    order_management: OrderManagementSection = OrderManagementSection()
    groups: GroupsSection = GroupsSection()
    performance: OmsPerformanceSection = OmsPerformanceSection()
    monitoring: OmsMonitoring = OmsMonitoring()
    journal: JournalSection = JournalSection()
    admin: AdminSection = AdminSection()
    market: MarketSection = MarketSection()
    alpaca: AlpacaSection = AlpacaSection()
    fills: FillsStore = "questdb"
    unit: UnitSection = UnitSection()

    def alpaca_base(self) -> str | None:
        return self.alpaca.base if self.alpaca.enabled else None

    def notices(self) -> list[str]:
        allowed = ["admin.verify: enabled, so every client of this port can start a read of the whole journal"]
        return super().notices() + (allowed if self.admin.verify == "enabled" else []) + _durability(self.journal)


class ExeqService(ServiceSection):
    name: Literal["exeq"] = "exeq"
    port: Port = 8095


class ExeqMonitoring(MonitoringSection):
    metrics_port: Port = 9095


class ExeqSettings(Settings):
    service: ExeqService = ExeqService()
    routing: RoutingSection = RoutingSection()
    market: MarketSection = MarketSection()
    monitoring: ExeqMonitoring = ExeqMonitoring()
    following: FollowingSection = FollowingSection()
    unit: UnitSection = UnitSection()


class GatewayService(ServiceSection):
    name: Literal["live-gateway"] = "live-gateway"
    port: Port = 8105


class GatewayMonitoring(MonitoringSection):
    metrics_port: Port = 9105


class GatewaySettings(Settings):
    service: GatewayService = GatewayService()
    quotes: QuotesSection = QuotesSection()
    market: MarketSection = MarketSection()
    questdb: QuestdbSection = QuestdbSection()
    fills: FillsStore = "questdb"
    faults: Literal["denied", "allowed"] = "denied"
    monitoring: GatewayMonitoring = GatewayMonitoring()
    journal: VenueJournalSection = VenueJournalSection()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.market.mode != "simulated" and self.quotes.file is not None:
            raise ValueError("quotes come from a file or from the market: quotes.file and market.mode exclude each other")
        return self

    def notices(self) -> list[str]:
        allowed = ["faults: allowed, so every client of this port can inject faults into the venues"] if self.faults == "allowed" else []
        return super().notices() + allowed + _durability(self.journal)


class ProjectorService(ServiceSection):
    name: Literal["projector"] = "projector"
    port: Port = 8107


class ProjectorMonitoring(MonitoringSection):
    metrics_port: Port = 9107


class ProjectorSettings(Settings):
    service: ProjectorService = ProjectorService()
    valkey: PositionsValkeySection = PositionsValkeySection()
    questdb: QuestdbSection = QuestdbSection()
    monitoring: ProjectorMonitoring = ProjectorMonitoring()
    projection: ProjectionSection = ProjectionSection()
    fills: FillsStore = "questdb"

    def notices(self) -> list[str]:
        sqlite = ["fills: sqlite, so fills and order events go to a file in the data directory, not to QuestDB"]
        return super().notices() + (sqlite if self.fills == "sqlite" else [])


class DeskService(ServiceSection):
    name: Literal["desk"] = "desk"
    port: Port = 8110


class DeskMonitoring(MonitoringSection):
    metrics_port: Port = 9110


class DeskFollowing(FollowingSection):
    follower_wait_ms: Wait = 20


class DeskSettings(Settings):
    FOLLOWS_SHARDS = False

    service: DeskService = DeskService()
    stream: StreamSection = StreamSection()
    market: MarketSection = MarketSection()
    monitoring: DeskMonitoring = DeskMonitoring()
    following: DeskFollowing = DeskFollowing()

    def connections_max(self) -> int:
        return super().connections_max() + self.stream.streams_max


def _durability(journal: JournalSection) -> list[str]:
    if journal.durability == "fsync":
        return []
    return ["journal.durability is relaxed: a power cut can lose acknowledged orders"]
