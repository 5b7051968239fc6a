"""Metrics of projector, for /stats and Prometheus."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.projector.fills import FillsProjection
from apps.projector.positions import PositionsProjection
from apps.projector.projection_loop import ProjectionLoop
from apps.runtime.metrics import by_shard

GAUGES: Final = {
    "seq": "The journal sequence that the store reflects.",
    "lag_commits": "Commits in the journal that are not in the store yet.",
}


class Projections(NamedTuple):
    """The projections of one shard."""

    positions: PositionsProjection
    fills: FillsProjection
    keepers: Sequence[ProjectionLoop]


class ProjectorMetrics(Collector):
    """Reads the projections' own counters on each scrape."""

    def __init__(self, registry: CollectorRegistry, shards: Sequence[Projections]) -> None:
        self._shards = shards
        registry.register(self)

    def stats(self) -> dict[str, object]:
        """Return the figures of the only shard; of several, a list with those of each."""
        if len(self._shards) == 1:
            return _stats(self._shards[0])
        return {"shards": [{"shard": number, **_stats(shard)} for number, shard in enumerate(self._shards)]}

    def collect(self) -> Iterable[Metric]:
        return by_shard([partial(_series, shard) for shard in self._shards])()


def _stats(shard: Projections) -> dict[str, object]:
    positions, fills = shard.positions, shard.fills
    counts = {
        "positions": {"stored": positions.stored, "published": positions.published},
        "fills": {"rows": fills.rows, "writes": fills.writes, "rows_held": fills.held},
    }
    return {keeper.projection.name: _common(keeper) | counts[keeper.projection.name] for keeper in shard.keepers}


def _series(shard: Projections) -> list[Metric]:
    gauges = {name: GaugeMetricFamily(f"projection_{name}", text, labels=["projection"]) for name, text in GAUGES.items()}
    starts = CounterMetricFamily("projection_starts", "Starts of a projection from the state of its store.", labels=["projection"])
    for keeper in shard.keepers:
        for name, value in _common(keeper).items():
            (gauges.get(name) or starts).add_metric([keeper.projection.name], value)
    return [
        *gauges.values(),
        starts,
        CounterMetricFamily("projection_positions_published", "Position updates published.", value=shard.positions.published),
        CounterMetricFamily("projection_rows_written", "Rows written to the fills store.", value=shard.fills.rows),
    ]


def _common(keeper: ProjectionLoop) -> dict[str, int]:
    return {"seq": keeper.projection.seq, "lag_commits": keeper.lag, "starts": keeper.starts}
