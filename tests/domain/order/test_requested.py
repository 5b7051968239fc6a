"""Who asked: the key of a client's request is in the event that records it, and changes nothing else."""

from typing import Any

import msgspec
import pytest

import tests.golden as golden
from adapters.codec import ORDER_COMMITS
from domain.audit.state_hash import state_hash
from domain.order import commands as c
from domain.order.decider import decide
from domain.order.events import EVENTS, Requested
from domain.order.order import Order, evolved
from domain.order.transition import sameness
from domain.position.rows import EventRow, order_event_row
from tests import given
from tests.golden.scenes import journal
from tests.table import check

KEY = "PKALICE2222222222222"
KINDS = [kind for kind in EVENTS if issubclass(kind, Requested)]


def written(*events: Any) -> bytes:
    return ORDER_COMMITS.encode(0, 1, events)


def requested() -> list[Requested]:
    """Of the scenes, what a client asked for."""
    return [event for events in journal() for event in events if isinstance(event, Requested) and event.by]


def test_every_request_of_a_client_is_signed_in_its_event() -> None:
    check(f"""submit buy 10 @50 by={KEY}
              > OrderSubmitted new by={KEY}, OrderRiskChecked risk_checked, OrderQueued queued
              replace 12 by=K2
              > OrderReplaced queued by=K2
              replace 900 denied order_size_limit by=K3
              > ReplaceRefused queued by=K3
              route PAPER_A
              ack V1
              replace 9 by=K4
              > ReplaceRequested pending_replace by=K4
              replaced 9
              > OrderReplaced routed by=
              cancel by=K5
              > CancelRequested pending_cancel by=K5
              cancel by=K6
              > nothing
              venue_cancelled requested
              > OrderCancelled cancelled by=""")
    check("""submit buy 10 @50
             > OrderSubmitted new by=, OrderRiskChecked risk_checked, OrderQueued queued
             cancel by=local
             > OrderCancelled cancelled by=local""")
    check("""submit buy 10 @50
             route PAPER_A
             doubt R1
             settle never_arrived by=K7
             > DoubtSettled in_doubt by=K7 who=ann, OrderRejected rejected""")


def test_services_and_controls_sign_nothing() -> None:
    check("""submit buy 10 @50 by=K1
             route PAPER_A
             cancel risk_control killed
             > CancelRequested pending_cancel by= source=risk_control
             doubt R1
             confirm R1 cancelling
             > RouteAcknowledged routed, CancelRequested pending_cancel by=""")


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_field_is_not_written(kind: type[Requested]) -> None:
    """So journals from before the field, and events of services, have the bytes that they had."""
    signed = next(event for event in requested() if type(event) is kind)
    plain = msgspec.structs.replace(signed, by="")
    assert written(plain) == written(signed).replace(f'"by":"{signed.by}",'.encode(), b"")
    assert b'"by"' not in written(plain)
    assert ORDER_COMMITS.decode(written(signed)).events == (signed,)
    assert ORDER_COMMITS.decode(written(plain)).events == (plain,)


def test_an_order_does_not_keep_who_asked() -> None:
    assert "by" not in Order.__struct_fields__
    orders = [evolved(decide(None, msgspec.structs.replace(given.submit(given.terms()), by=by), given.NOW)) for by in ("", KEY)]
    assert state_hash(orders[0]) == state_hash(orders[1])


def test_older_journals_name_no_person() -> None:
    older = [ORDER_COMMITS.decode(payload).events for name in ("0.1.0", "0.2.0-fencing") for payload in golden.payloads(name)]
    assert not [event for events in older for event in events if getattr(event, "by", "")]


def test_the_same_refusal_of_another_key_is_recorded() -> None:
    """Else the second who tried would be in no timeline. Keys are few, so a journal does not grow by it."""
    refused = next(event for event in requested() if type(event).__name__ == "ReplaceRefused")
    again, other = msgspec.structs.replace(refused, at=refused.at + 1), msgspec.structs.replace(refused, by="K2")
    assert sameness(refused) == sameness(again) != sameness(other)  # type: ignore[arg-type]


def test_rows_of_events_carry_it_and_older_rows_do_not_change() -> None:
    for by in ("", KEY):
        cancel = c.CancelOrder(order_id=given.ORDER_ID, by=by)
        order = evolved(decide(None, given.submit(given.terms()), given.NOW))
        assert order is not None
        (event,) = decide(order, cancel, given.NOW)
        detail = msgspec.json.decode(order_event_row(EventRow(event=event, seq=1, index=0), None).detail)
        assert detail == {"source": "client", "reason": "requested"} | ({"by": by} if by else {})
