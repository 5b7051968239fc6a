"""sink-alt: the archive of the journals, and orders, controls and facts of the market for ClickHouse and OpenSearch."""

import os
from typing import Final

import structlog
from nats.aio.client import Client

from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS
from adapters.controls import CONTROL_COMMITS
from adapters.subjects import MARKET_FACTS_STREAM, MARKET_STREAM
from apps.connections import journals, market_nats
from apps.connections.tick_places import market_source
from apps.runtime.chassis import Chassis
from apps.sink.analytics import CONTROLS, FACTS, ORDERS, QUOTES, AnalyticParts, Sources, analytic_parts, analytic_pipelines
from apps.sink.archive import archive_pipelines
from apps.sink.journal_source import JournalSource
from apps.sink.pipeline import Pipeline
from apps.sink.reads import router
from apps.sink.sinks import SinkParts
from config.s3 import URL_VARIABLE, s3_access
from config.sink_alt_settings import SinkAltSettings
from domain.archive.ports import DeadLetters

S3: Final = "s3://"
log = structlog.get_logger()


async def alt_parts(chassis: Chassis[SinkAltSettings], client: Client, letters: DeadLetters) -> SinkParts:
    """Build the pipelines of every place that is configured, and the routes that ask two of them."""
    settings = chassis.settings
    parts = analytic_parts(settings.clickhouse, settings.opensearch)
    chassis.exits.push_async_callback(parts.close)
    analytic = await _analytic(chassis, client, parts, letters)
    return SinkParts([*_archive(chassis, client, letters), *analytic], (router(parts.opensearch, parts.queries),))


def _archive(chassis: Chassis[SinkAltSettings], client: Client, letters: DeadLetters) -> list[Pipeline]:
    """Return the pipelines of the archive; none without an address, or without the server of its address."""
    section, access = chassis.settings.archive, s3_access(chassis.environment or os.environ)
    if not section.url or (section.url.startswith(S3) and not access.endpoint):
        log.warning("the journals are not archived", reason=f"{URL_VARIABLE} names no server" if section.url else "archive.url is empty")
        return []
    from adapters.objects import Objects  # late: what reads and writes objects takes 60 MB

    objects = Objects.at(section.url, endpoint=access.endpoint, credentials=access.keys)
    return archive_pipelines(client, objects, section, letters, SystemClock())


async def _analytic(chassis: Chassis[SinkAltSettings], client: Client, parts: AnalyticParts, letters: DeadLetters) -> list[Pipeline]:
    settings = chassis.settings
    orders, controls = await journals.order_journal(client), await journals.control_journal(client)
    found: Sources = {
        ORDERS: lambda: JournalSource(orders, ORDER_COMMITS, "orders.0"),
        CONTROLS: lambda: JournalSource(controls, CONTROL_COMMITS, "controls"),
    }
    if settings.market_nats.url is not None:
        market = await market_nats.connect(chassis, client)
        found = {**found, FACTS: lambda: market_source(market, MARKET_FACTS_STREAM), QUOTES: lambda: market_source(market, MARKET_STREAM)}
    return analytic_pipelines(parts, found, settings.clickhouse, settings.opensearch, letters, SystemClock())
