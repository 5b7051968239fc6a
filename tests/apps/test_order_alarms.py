"""What is counted and logged of an order that goes a way it should not."""

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from apps.http.app import encode
from apps.journal.shard_host import Landed
from apps.oms.alarms import OrderAlarms
from apps.oms.metrics import OmsMetrics
from domain.alarms import KEPT_MAX
from domain.order.decider import decide
from domain.order.events import OrderInDoubt, TransitionRefused
from domain.order.lifecycle import State
from domain.order.order import Order, evolve
from domain.values import rfc3339
from tests import given
from tests.apps.desk_scene import late_fill


def shown(alarms: OrderAlarms) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(encode({"alarms": alarms.encoded()}))["alarms"]
    return found


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

    assert [(each["kind"], each["seq"]) for each in shown(alarms)] == [("refused_step", None)] * 3


def test_an_order_in_doubt_is_kept_with_its_account_sequence_and_sentence() -> None:
    alarms = OrderAlarms(OmsMetrics(CollectorRegistry()))
    doubt = OrderInDoubt(order_id="o1", at=given.NOW, status=State.IN_DOUBT, route_id="R1", venue="A", reason="no_answer")
    alarms(Landed(None, (doubt,), 12))
    assert shown(alarms) == [
        {
            "at": rfc3339(given.NOW),
            "kind": "doubt",
            "order_id": "o1",
            "account": None,
            "sentence": "A does not answer (no answer): it may or may not have it.",
            "seq": 12,
        }
    ]


def test_requests_that_are_refused_again_and_again_do_not_push_out_what_the_journal_recorded() -> None:
    alarms = OrderAlarms(OmsMetrics(CollectorRegistry()))
    alarms(Landed(None, (late_fill("o1", "alice"),), 12))
    refused = TransitionRefused(order_id="o2", at=given.NOW, status=State.FILLED, trigger="cancel", source="client")
    for _ in range(2 * KEPT_MAX):
        alarms.unrecorded((refused,))
    assert len(shown(alarms)) == KEPT_MAX + 1
    assert [each["kind"] for each in shown(alarms) if each["seq"] == 12] == ["overfill"]
