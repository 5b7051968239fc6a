"""What is counted and logged of an order that goes a way it should not."""

from prometheus_client import CollectorRegistry

from apps.oms.alarms import OrderAlarms
from apps.oms.metrics import OmsMetrics
from domain.order.decider import decide
from domain.order.order import Order, evolve
from tests import given


def test_a_refusal_and_a_repeated_report_are_counted() -> None:
    registry = CollectorRegistry()
    alarms, order = OrderAlarms(OmsMetrics(registry)), None
    for command in (given.submit(given.terms()), given.cancel()):
        for event in decide(order, command, given.NOW):
            order = evolve(order, event)
    assert isinstance(order, Order)
    for _ in range(3):
        alarms.unrecorded(decide(order, given.route(("R1", "PAPER_A", "10")), given.NOW))
    alarms.unrecorded(decide(None, given.fill("F1", "1", "49"), given.NOW))
    assert registry.get_sample_value("oms_transitions_refused_total", {"trigger": "route"}) == 3
    assert registry.get_sample_value("oms_facts_repeated_total", {"kind": "ReportQuarantined"}) == 1
