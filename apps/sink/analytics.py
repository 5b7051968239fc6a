"""The analytic places of sink-alt as pipelines: ClickHouse and OpenSearch, each with a reading of its own of every log."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from adapters.clickhouse import ClickHouse, ClickHousePlace
from adapters.clickhouse_query import ClickHouseQueries
from adapters.opensearch import OpenSearch, OpenSearchPlace
from apps.runtime.failpoint import failpoint
from apps.sink import analytic_rows as rows
from apps.sink.pipeline import FlushBounds, Pipeline
from config.analytics_sections import ClickHouseSection, OpenSearchSection
from domain.archive.ports import DeadLetters, Place, Rows, Source
from domain.ports import Clock

ORDERS: Final = "orders"
CONTROLS: Final = "controls"
FACTS: Final = "facts"
QUOTES: Final = "quotes"

Sources = Mapping[str, Callable[[], Source]]
"""Log -> a new reading of it: ORDERS and CONTROLS always, FACTS and QUOTES where there is a market."""

TABLES_OF: Final[Mapping[str, Rows]] = {
    ORDERS: rows.order_tables,
    CONTROLS: rows.control_tables,
    FACTS: rows.fact_tables,
    QUOTES: rows.quote_tables,
}
DOCUMENTS_OF: Final[Mapping[str, Rows]] = {ORDERS: rows.order_documents, CONTROLS: rows.control_documents, FACTS: rows.fact_documents}


class AnalyticParts(NamedTuple):
    """The servers that this service writes to and asks; None: it runs without that part."""

    clickhouse: ClickHouse | None
    queries: ClickHouseQueries | None
    opensearch: OpenSearch | None

    async def close(self) -> None:
        if self.queries is not None:
            await self.queries.close()
        if self.clickhouse is not None:
            await self.clickhouse.close()
        if self.opensearch is not None:
            await self.opensearch.close()


def analytic_parts(clickhouse: ClickHouseSection, opensearch: OpenSearchSection) -> AnalyticParts:
    """Return the parts that are on. Nothing is connected yet."""
    engine = ClickHouse(path=clickhouse.path, url=str(clickhouse.url or "")) if clickhouse.on else None
    server = OpenSearch(str(opensearch.url)) if opensearch.on else None
    return AnalyticParts(engine, ClickHouseQueries(engine) if engine is not None else None, server)


def analytic_pipelines(
    parts: AnalyticParts,
    sources: Sources,
    clickhouse: ClickHouseSection,
    opensearch: OpenSearchSection,
    letters: DeadLetters,
    clock: Clock,
    fails: Callable[[str], None] = failpoint,
) -> list[Pipeline]:
    """Return a pipeline for each log and part."""

    def pipelines(part: str, rows_of: Mapping[str, Rows], place: Callable[[str], Place], section: Any) -> list[Pipeline]:
        bounds = FlushBounds(rows=section.batch_rows, wait_s=float(section.wait_ms) / 1000)
        return [
            Pipeline(f"{part}.{log}", sources[log](), made, place(log), letters, clock, bounds=bounds, fails=fails)
            for log, made in rows_of.items()
            if log in sources
        ]

    found = []
    if (engine := parts.clickhouse) is not None:
        found += pipelines("clickhouse", TABLES_OF, lambda log: ClickHousePlace(engine, log, fails), clickhouse)
    if (server := parts.opensearch) is not None:
        found += pipelines("opensearch", DOCUMENTS_OF, lambda log: OpenSearchPlace(server, log, fails), opensearch)
    return found
