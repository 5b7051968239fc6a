"""The settings of sink-alt: the archive of the journals, and the places that people ask."""

from typing import Literal

from config.analytics_sections import ClickHouseSection, OpenSearchSection
from config.archive_section import ArchiveSection
from config.kinds import Port
from config.sections import MarketNatsSection, MonitoringSection, ServiceSection
from config.settings import Settings
from config.sink_settings import SinkBoundsSection


class SinkAltService(ServiceSection):
    name: Literal["sink-alt"] = "sink-alt"
    port: Port = 8112


class SinkAltMonitoring(MonitoringSection):
    metrics_port: Port = 9112


class SinkAltSettings(Settings):
    FOLLOWS_SHARDS = False

    service: SinkAltService = SinkAltService()
    market_nats: MarketNatsSection = MarketNatsSection()
    archive: ArchiveSection = ArchiveSection()
    clickhouse: ClickHouseSection = ClickHouseSection()
    opensearch: OpenSearchSection = OpenSearchSection()
    bounds: SinkBoundsSection = SinkBoundsSection()
    monitoring: SinkAltMonitoring = SinkAltMonitoring()
