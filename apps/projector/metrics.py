"""Metrics of projector, for /stats and Prometheus."""

from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.projector.fills import FillsProjection
from apps.projector.positions import PositionsProjection
from apps.projector.projection_loop import ProjectionLoop

GAUGES: Final = {
    "seq": "The journal sequence that the store reflects.",
    "lag_commits": "Commits in the journal that are not in the store yet.",
}


class ProjectorMetrics(Collector):
    """Reads the projections' own counters on each scrape."""

    def __init__(
        self, registry: CollectorRegistry, positions: PositionsProjection, fills: FillsProjection, keepers: list[ProjectionLoop]
    ) -> None:
        self._positions = positions
        self._fills = fills
        self._keepers = keepers
        registry.register(self)

    def stats(self) -> dict[str, object]:
        positions, fills = self._positions, self._fills
        counts = {
            "positions": {"stored": positions.stored, "published": positions.published},
            "fills": {"rows": fills.rows, "writes": fills.writes, "rows_held": fills.held},
        }
        return {keeper.projection.name: self._common(keeper) | counts[keeper.projection.name] for keeper in self._keepers}

    def collect(self) -> list[Metric]:
        gauges = {name: GaugeMetricFamily(f"projection_{name}", text, labels=["projection"]) for name, text in GAUGES.items()}
        starts = CounterMetricFamily("projection_starts", "Starts of a projection from the state of its store.", labels=["projection"])
        for keeper in self._keepers:
            for name, value in self._common(keeper).items():
                (gauges.get(name) or starts).add_metric([keeper.projection.name], value)
        return [
            *gauges.values(),
            starts,
            CounterMetricFamily("projection_positions_published", "Position updates published.", value=self._positions.published),
            CounterMetricFamily("projection_rows_written", "Rows written to the fills store.", value=self._fills.rows),
        ]

    @staticmethod
    def _common(keeper: ProjectionLoop) -> dict[str, int]:
        return {"seq": keeper.projection.seq, "lag_commits": keeper.lag, "starts": keeper.starts}
