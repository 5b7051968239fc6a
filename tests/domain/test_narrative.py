"""A person reads an order's timeline and knows why it is where it is; a counterparty would have heard it in FIX."""

from decimal import Decimal

from domain.narrative import REQUESTS, SENTENCES, told
from domain.order.commands import RiskDecision
from domain.order.decider import decide
from domain.order.events import EVENTS, Requested, ShardReleased, ShardTaken
from domain.order.fix import exec_type, ord_status
from domain.order.order import evolve
from tests.given import NOW, submit, terms
from tests.golden.scenes import journal
from tests.table import check


def test_every_fact_has_its_sentence() -> None:
    assert set(SENTENCES) == set(EVENTS)
    for event in (event for commit in journal() for event in commit):
        sentence = told(event)
        assert sentence[0].isupper() or sentence[0].isalpha()
        assert sentence.endswith(".")
        assert "None" not in sentence
        assert "E+" not in sentence


def test_a_life_reads_as_a_story() -> None:
    scene = check("""submit buy 10 @50
                     route PAPER_A:6 PAPER_B:4
                     ack V1
                     reject halted R2
                     fill F1 2 @49.5 fee=0.01
                     replace 9 @50.5
                     replaced 5 @50.5
                     correct F2 F1 2 @49.4 fee=0.01
                     cancel
                     venue_cancelled requested""")
    assert [told(event) for events in scene.history for event in events] == [
        "alice asks to buy 10 @ 50 BTCUSDT as limit gtc.",
        "Risk approves it under limits version 3: order_size_limit 500 of 100000.",
        "It waits in the queue.",
        "Sent: 6 to PAPER_A and 4 to PAPER_B, by best_price.",
        "PAPER_A works it as V1.",
        "Its route to PAPER_B has ended: halted; the others work on.",
        "Trade F1: buy 2 @ 49.5 at PAPER_A as taker, fee 0.01.",
        "PAPER_A is asked to make it 9 @ 50.5; until it answers the old terms apply.",
        "It is 5 @ 50.5 now, as reported by PAPER_A.",
        "PAPER_A takes trade F1 back: 2 @ 49.5.",
        "Trade F2: buy 2 @ 49.4 at PAPER_A as taker, fee 0.01, in place of F1.",
        "The venue is asked to cancel it, for client: requested.",
        "Cancelled by PAPER_A: requested.",
    ]


def test_a_kill_is_named_with_the_venue_that_carried_it_out() -> None:
    scene = check("""submit buy 10 @50
                     route PAPER_A
                     cancel risk_control killed
                     venue_cancelled requested""")
    assert [told(event) for event in [event for events in scene.history for event in events][-2:]] == [
        "The venue is asked to cancel it, for risk_control: killed.",
        "Cancelled at PAPER_A for risk_control: killed.",
    ]


def test_what_oms_cancelled_for_reduce_only_is_named_with_the_venue_that_carried_it_out() -> None:
    scene = check("""submit sell 10 @50
                     route PAPER_A
                     cancel oms reduce_only
                     venue_cancelled requested""")
    assert [told(event) for event in [event for events in scene.history for event in events][-2:]] == [
        "The venue is asked to cancel it, for oms: reduce only.",
        "Cancelled at PAPER_A for oms: reduce only.",
    ]


def test_the_sentence_names_the_requester() -> None:
    key = "PKALICE2222222222222"
    scene = check(f"""submit buy 10 @50 by={key}
                     replace 9 by=local
                     replace 900 denied order_size_limit by={key}
                     route PAPER_A
                     ack V1
                     replace 8 by={key}
                     replaced 8
                     cancel by={key}
                     cancel_rejected too_late
                     doubt R1 disconnected
                     settle cancelled by={key}""")
    asked = [event for events in scene.history for event in events if isinstance(event, Requested) and event.by]
    assert [told(event, {key: "erin"}.get) for event in asked] == [
        f"alice asks to buy 10 @ 50 BTCUSDT as limit gtc; submitted by erin with key {key}.",
        "It is 9 @ 50 now; replace requested by a program on this machine, without a key.",
        f"Other terms are refused by risk: order_size_limit, found 150000, limit 100000 USD; replace requested by erin with key {key}.",
        f"PAPER_A is asked to make it 8 @ 50; until it answers the old terms apply; replace requested by erin with key {key}.",
        f"The venue is asked to cancel it, for client: requested; cancel requested by erin with key {key}.",
        f"The doubt at PAPER_A is settled by ann: cancelled, because asked the venue; settled by erin with key {key}.",
    ]
    assert told(asked[0]) == f"alice asks to buy 10 @ 50 BTCUSDT as limit gtc; submitted with key {key}."
    assert set(REQUESTS) == {kind for kind in EVENTS if issubclass(kind, Requested)}


def test_owners_of_a_shard_are_named() -> None:
    events = (
        ShardTaken(at=NOW, unit="unit-1", sender="oms-7", lease=42),
        ShardTaken(at=NOW, unit="unit-1", sender="exeq-3"),
        ShardReleased(at=NOW, unit="unit-1", to="unit-0"),
        ShardReleased(at=NOW, unit="unit-1"),
    )
    assert [told(event) for event in events] == [
        "unit-1 takes the shard, with revision 42 of its lease.",
        "exeq-3 of unit-1 takes over sending.",
        "unit-1 gives up the shard to unit-0.",
        "unit-1 gives up the shard.",
    ]


def test_risk_says_the_numbers_that_decided() -> None:
    asked = terms("0.1", "45000")
    line = "order_size_limit 4500 100000,var_limit 62.12 50000;mid 45000.005 120;2026-11-21"
    decision = RiskDecision(order_id=asked.order_id, limits_version=3, checks=line, reference=Decimal(45000))
    assert told(decide(None, submit(asked, decision), NOW)[1]) == (
        "Risk approves it under limits version 3, valued at 45000: order_size_limit 4500 of 100000, var_limit 62.12 of 50000."
    )


def test_every_step_has_its_words_in_fix() -> None:
    scene = check("""submit buy 10 @50
                     route PAPER_A
                     ack V1
                     fill F1 2 @49.5
                     replace 12
                     replaced 12
                     correct F2 F1 2 @49.4
                     cancel
                     cancel_rejected too_late
                     fill F3 10 @50""")
    order, heard = None, []
    for event in (event for events in scene.history for event in events):
        order = evolve(order, event)
        if kind := exec_type(event):
            heard.append(f"{kind}/{ord_status(order)}")
    assert heard == ["A/A", "0/0", "F/1", "E/E", "5/1", "H/0", "G/1", "6/6", "9/1", "F/2"]


def test_a_venue_that_is_closed_is_no_end_while_another_may_be_open() -> None:
    # row 11
    check("""submit buy 10 @50
             route PAPER_A
             reject halted
             > OrderQueued queued venue=PAPER_A reason=halted
             = queued leaves=10
             route PAPER_B:10:R2
             > OrderRouted routed
             reject halted R1
             > nothing
             reject price_off_tick R2
             > OrderRejected rejected source=venue reason=price_off_tick""")


def test_a_venue_whose_levels_were_compared_says_how_many() -> None:
    (sentence,) = [told(event) for commit in journal() for event in commit if getattr(event, "candidates", ())][:1]
    assert "PAPER_D would cost 51.984375 over 2 levels" in sentence
