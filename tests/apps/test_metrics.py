"""What is counted cheaply reads as if prometheus_client had counted it."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from apps.oms.metrics import COMMIT_BUCKETS, LATENCY_BUCKETS_S, OmsMetrics
from apps.oms.submit import SubmitResult
from apps.risk.engines import RiskEngines
from apps.risk.metrics import RiskMetrics
from apps.runtime import metrics
from domain.order.decider import decide
from domain.order.order import evolved
from domain.risk.controls import Controls
from domain.risk.engine import Risk
from domain.risk.limits import Limits
from tests import given as scene

BOUNDS = (LATENCY_BUCKETS_S, COMMIT_BUCKETS, metrics.LAG_BUCKETS_S)


@given(st.sampled_from(BOUNDS), st.data())
def test_observations_show_what_a_histogram_shows(bounds: tuple[float, ...], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.sampled_from(bounds) | st.floats(0, 2 * bounds[-1])))
    observations, theirs, ours = metrics.Observations(bounds), CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("took_seconds", "How long.", buckets=bounds, registry=theirs)
    for value in values:
        histogram.observe(value)
        observations.observe(value)
    metrics.read(ours, lambda: [observations.histogram("took_seconds", "How long.")])
    expected = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == expected


def test_oms_shows_answers_commits_and_events() -> None:
    registry = CollectorRegistry()
    counted = OmsMetrics(registry)
    asked = scene.terms()
    taken = evolved(decide(None, scene.submit(asked), scene.NOW))
    refused = evolved(decide(None, scene.submit(asked, scene.denied("order_size_limit")), scene.NOW))
    assert taken is not None
    assert refused is not None
    for answer in (SubmitResult(taken, 1), SubmitResult(taken, 1), SubmitResult(taken, 1, replayed=True), SubmitResult(refused, 2)):
        counted.answered(answer)
    counted.submitted(0.002)
    counted.appended(0.004, 3)
    counted.appended(0.5, 600)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("oms_orders_total", outcome="submitted", reason="") == 2
    assert value("oms_orders_total", outcome="replayed", reason="") == 1
    assert value("oms_orders_total", outcome="rejected", reason="order_size_limit") == 1
    assert value("oms_submit_seconds_bucket", le="0.002") == value("oms_submit_seconds_count") == 1
    assert (value("oms_append_seconds_bucket", le="0.005"), value("oms_append_seconds_sum")) == (1, 0.504)
    assert (value("oms_commit_events_bucket", le="500.0"), value("oms_commit_events_bucket", le="1000.0")) == (1, 2)
    assert value("oms_events_total") == 603
    assert counted.stats()["answers"] == {"submitted": 2, "replayed": 1, "rejected:order_size_limit": 1}
    assert counted.stats()["commits"] == 2


def test_the_sequence_that_risk_has_read_is_labelled_with_its_shard_where_there_are_several() -> None:
    engines = [Risk(Limits(), {}, {}, Controls()) for _ in range(2)]
    for engine, seq in zip(engines, (7, 3), strict=True):
        engine.fold.seq = seq
    one, two = CollectorRegistry(), CollectorRegistry()
    RiskMetrics(one, 1000, RiskEngines(engines[:1]).figures)
    RiskMetrics(two, 1000, RiskEngines(engines).figures)
    assert one.get_sample_value("risk_as_of_seq") == 7
    assert [two.get_sample_value("risk_as_of_seq", {"shard": shard}) for shard in ("0", "1")] == [7, 3]
