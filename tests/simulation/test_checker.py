"""Each invariant by name: a lawful history breaks none, and one thing changed breaks exactly what it should."""

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.chain import GENESIS, following
from adapters.codec import ORDER_COMMITS
from domain.audit import checker, journal_audit
from domain.audit.checker import Audit, ObservedAnswer, ObservedBounds, ObservedCommit, ObservedMark, ObservedSend
from domain.order import events as e
from domain.order.commands import OrderCommand, ReplaceOrder, VenueReport
from domain.order.decider import decide
from domain.order.lifecycle import State
from domain.order.order import Order, evolve, evolved
from domain.paper.events import Reported, RequestTaken, VenueEvent
from domain.ports import Head
from domain.position import position
from tests import given
from tests.domain.execution.test_projection import Told
from tests.given import ACCOUNT, CLIENT_ID, NOW, ORDER_ID, SYMBOL

PAGE = Path(__file__).parents[2] / "docs" / "verification.md"
REPORTS = (
    given.report("accepted", report_seq=1, venue_order_id="V1"),
    given.report("fill", exec_id="X1", quantity="4", price="49", fee="1", report_seq=2),
    given.report("fill", exec_id="X2", quantity="6", price="50", fee="1", report_seq=3),
)
LIMIT = ObservedBounds(open_orders_max=1, position_notional_max=Decimal(500), marks={SYMBOL: Decimal(50)}, short_accounts=frozenset())


def life(*reports: VenueReport) -> list[e.OrderEvent]:
    """One order of 10 at 50, routed to PAPER_A, and what the reports made of it."""
    commands: list[OrderCommand] = [given.submit(given.terms()), given.route(("R1", "PAPER_A", "10")), *reports]
    order: Order | None = None
    events: list[e.OrderEvent] = []
    for command in commands:
        decided = decide(order, command, NOW)
        for event in decided:
            order = evolve(order, event)
        events += decided
    return events


def commits(events: Iterable[e.OrderEvent], *, of: int = 1) -> list[ObservedCommit]:
    """`of` events in each, chained as a journal chains them."""
    facts, head, made = list(events), GENESIS, []
    for begin in range(0, len(facts), of):
        some = tuple(facts[begin : begin + of])
        payload = ORDER_COMMITS.encode(0, head.n + 1, some)
        head = Head(head.seq + 1, head.n + 1, following(head, payload))
        made.append(ObservedCommit(head.seq, head.n, head.chain, payload, some))
    return made


def audited(events: Iterable[e.OrderEvent], bounds: ObservedBounds = LIMIT) -> Audit:
    return checker.check_journal(commits(events), bounds=bounds)


def names(found: Iterable[checker.Violation]) -> set[str]:
    return {violation.name for violation in found}


def changed(events: Sequence[e.OrderEvent], kind: type[e.Event], **fields: Any) -> list[e.OrderEvent]:
    return [msgspec.structs.replace(event, **fields) if type(event) is kind else event for event in events]


def test_a_lawful_life_breaks_nothing() -> None:
    found = audited(life(*REPORTS))
    assert found.violations == []
    assert (found.n, found.events, found.lines[ORDER_ID].order.status) == (7, 7, State.FILLED)
    assert found.positions[ACCOUNT, SYMBOL] == 10


def test_commits_of_several_events_are_one_step_for_reports_and_limits() -> None:
    assert checker.check_journal(commits(life(*REPORTS), of=3), bounds=LIMIT).violations == []


Break = Callable[[list[e.OrderEvent]], list[e.OrderEvent]]

BROKEN: dict[str, tuple[Break, set[str]]] = {
    "a step that the table lacks": (lambda es: changed(es, e.OrderRouted, status=State.NEW), {"lawful_step"}),
    "an event before its order": (lambda es: es[1:], {"lawful_step"}),
    "an order that does not begin as new": (lambda es: changed(es, e.OrderSubmitted, status=State.QUEUED), {"lawful_step"}),
    "the same client id twice": (lambda es: [*es, msgspec.structs.replace(es[0], order_id="other")], {"one_order_a_client_id"}),
    "a trade booked twice": (lambda es: [*es, msgspec.structs.replace(es[-1], report_seq=4, late=True, overfill=True)], {"trade_once"}),
    "another side than the order's": (lambda es: changed(es, e.OrderFilled, symbol="ETHUSDT"), {"trade_once"}),
    "a fill that does not fill": (lambda es: changed(es, e.OrderFilled, status=State.PARTIALLY_FILLED), {"filled_is_full"}),
    "a late flag out of place": (lambda es: changed(es, e.OrderFilled, late=True), {"flags"}),
    "an overfill without a flag": (lambda es: changed(es, e.OrderFilled, quantity=Decimal(11)), {"flags", "filled_is_full", "risk_limit"}),
    "a bust of nothing": (lambda es: [*es, _bust(es)], {"trade_once"}),
    "a route twice": (lambda es: [*es[:4], es[3], *es[4:]], {"lawful_step", "one_route_an_id"}),
    "reports out of order": (lambda es: [*es[:5], es[6], es[5]], {"report_order"}),
    "more open orders than allowed": (lambda es: [*es[:3], *_second(es[:3])], {"risk_limit"}),
    "more at stake than allowed": (lambda es: changed(es, e.OrderRiskChecked, reference=Decimal(51)), {"risk_limit"}),
    "sold what was not held": (lambda es: changed(es[:3], e.OrderSubmitted, side="sell"), {"risk_limit"}),
}


ABOUT_THE_ORDER = {"lawful_step", "cum", "filled_is_full", "flags"}
"""Seen together: an order that took a wrong turn is wrong in more than one way."""


def _bust(events: list[e.OrderEvent]) -> e.OrderEvent:
    last = events[-1]
    assert isinstance(last, e.OrderFilled)
    fields = {f: getattr(last, f) for f in e.TradeBusted.__struct_fields__ if hasattr(last, f)}
    return e.TradeBusted(**fields | {"exec_id": "unowned", "report_seq": 4})


def _second(events: Sequence[e.OrderEvent]) -> list[e.OrderEvent]:
    small = changed(events, e.OrderSubmitted, client_order_id="a-2", quantity=Decimal("0.1"))
    return [msgspec.structs.replace(event, order_id="second") for event in small]


@pytest.mark.parametrize("what", BROKEN)
def test_one_thing_changed_is_seen(what: str) -> None:
    change, expected = BROKEN[what]
    found = names(audited(change(life(*REPORTS))).violations)
    assert expected <= found, found
    assert found <= expected | ABOUT_THE_ORDER, f"{found}: nothing else is wrong"


def _forgets_to_count(order: Order | None, event: e.OrderEvent) -> Order:
    """`evolve`, but a fill leaves cum where it was."""
    evolved = evolve(order, event)
    if isinstance(event, e.OrderFilled):
        evolved.cum_quantity = Decimal(0)
    return evolved


@pytest.mark.parametrize(
    ("where", "name", "bad", "found"),
    [
        (journal_audit, "evolve", _forgets_to_count, "cum"),
        (Order, "leaves_quantity", property(lambda order: order.quantity), "leaves"),
        (position, "signed", lambda side, quantity: -quantity, "position"),
        (journal_audit, "signed", lambda side, quantity: quantity * 2, "position"),
    ],
)
def test_a_fold_of_ours_that_counts_wrongly_is_seen(where: Any, name: str, bad: Any, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = life(*REPORTS)
    monkeypatch.setattr(where, name, bad)
    assert found in names(audited(events).violations)


def test_every_invariant_is_on_the_page_and_has_a_test_here() -> None:
    sources = [inspect.getsource(module) for module in (journal_audit, checker)]
    known = {name for source in sources for name in re.findall(r'(?:violated|Violation)\("(\w+)"', source)}
    assert len(known) > 15
    page = PAGE.read_text()
    here = "".join(file.read_text() for file in Path(__file__).parent.glob("test_checker*.py"))
    assert [name for name in sorted(known) if f"`{name}`" not in page] == []
    assert [name for name in sorted(known) if f'"{name}"' not in here] == []


def test_a_commit_that_is_missing_or_changed_is_named_by_its_sequence() -> None:
    made = commits(life(*REPORTS))
    hole = checker.check_journal([*made[:2], *made[3:]], bounds=LIMIT).violations
    assert ("contiguity", "4") in {(v.name, v.where) for v in hole}
    flipped = msgspec.structs.replace(made[2], payload=made[2].payload.replace(b"queued", b"quEued"))
    changed_one = checker.check_journal([*made[:2], flipped, *made[3:]], bounds=LIMIT).violations
    assert [(v.name, v.where) for v in changed_one] == [("chain", "3")]


@pytest.mark.parametrize(("seq", "chain", "found"), [(5, "", set()), (5, "other", {"high_water_mark"}), (9, "any", {"high_water_mark"})])
def test_a_journal_that_is_older_than_its_mark_or_another_one_is_seen(seq: int, chain: str, found: set[str]) -> None:
    made = commits(life(*REPORTS))
    mark = ObservedMark(seq, chain or made[seq - 1].chain)
    assert names(checker.check_journal(made, bounds=LIMIT, mark=mark).violations) == found


def told(outcome: str, **rest: Any) -> ObservedAnswer:
    known = {"seq": 1, "head": 1} if outcome in ("submitted", "rejected") else {}
    return ObservedAnswer(account=ACCOUNT, client_order_id=CLIENT_ID, outcome=outcome, **{"told_at": 1, **known, **rest})


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([told("submitted")], set()),
        ([told("unknown"), told("submitted", replayed=True)], set()),
        ([told("not_accepted"), told("unknown")], set()),
        ([told("submitted", head=0)], {"acked_is_stored"}),
        ([told("submitted", seq=2, head=2)], {"acked_is_stored"}),
        ([told("rejected")], {"same_answer"}),
        ([told("submitted"), told("submitted", seq=2, head=2)], {"acked_is_stored", "same_answer"}),
        ([told("not_accepted")], {"no_ghost"}),
        ([told("not_accepted"), told("submitted", replayed=True)], {"no_ghost"}),
        ([], {"asked_for"}),
    ],
)
def test_what_clients_were_told_is_what_the_journal_says(answers: list[ObservedAnswer], found: set[str]) -> None:
    assert names(checker.check_answers(audited(life()), answers)) == found


def test_an_acked_order_that_is_nowhere_is_lost() -> None:
    assert names(checker.check_answers(audited([]), [told("submitted")])) == {"acked_is_stored"}
    assert names(checker.check_answers(audited([]), [told("reused")])) == {"same_answer"}
    assert not names(checker.check_answers(audited([]), [told("unknown"), told("not_accepted")]))


@pytest.mark.parametrize(
    ("sends", "found"),
    [
        ([ObservedSend("new", ORDER_ID, "R1", 4)], set()),
        ([ObservedSend("new", ORDER_ID, "R1", 3)], {"logged_before_wire"}),
        ([ObservedSend("new", ORDER_ID, "R1", 4), ObservedSend("new", ORDER_ID, "R1", 9)], {"sent_once"}),
        ([ObservedSend("new", ORDER_ID, "R2", 4)], {"logged_before_wire"}),
        ([ObservedSend("cancel", ORDER_ID, "R1", 4)], {"logged_before_wire"}),
        ([ObservedSend("replace", ORDER_ID, "R1", 4)], {"logged_before_wire", "replaced_after_first_word"}),
        ([ObservedSend("new", "absent", "R1", 4)], {"logged_before_wire"}),
    ],
)
def test_nothing_is_sent_twice_or_before_it_is_logged(sends: list[ObservedSend], found: set[str]) -> None:
    assert names(checker.check_sends(audited(life()), sends)) == found


def replaced(*before: VenueReport) -> list[e.OrderEvent]:
    """A life with other terms behind these reports."""
    events = life(*before)
    return [*events, *asked_of(events, ReplaceOrder(order_id=ORDER_ID, replace_id=f"{ORDER_ID}-r1", quantity=Decimal(9)))]


def asked_of(events: Iterable[e.OrderEvent], command: OrderCommand) -> tuple[e.OrderEvent, ...]:
    """What follows from the command behind these events."""
    return decide(evolved(events), command, NOW)


def test_a_name_of_a_replace_is_used_once() -> None:
    first, second = (
        asked_of(replaced_so_far, _named(n)) for n, replaced_so_far in ((1, _queued()), (2, [*_queued(), *asked_of(_queued(), _named(1))]))
    )
    assert names(audited([*_queued(), *first]).violations) == set()
    assert names(audited([*_queued(), *first, *changed(second, e.OrderReplaced, client_order_id="b")]).violations) == {
        "one_order_a_client_id"
    }
    assert names(audited([*_queued(), *changed(first, e.OrderReplaced, client_order_id=CLIENT_ID)]).violations) == {"one_order_a_client_id"}
    other = [msgspec.structs.replace(event, order_id="other") for event in changed(_queued(), e.OrderSubmitted, client_order_id="b")]
    assert "one_order_a_client_id" in names(audited([*_queued(), *first, *other], ObservedBounds()).violations)


def _queued() -> list[e.OrderEvent]:
    return life()[:3]


def _named(number: int) -> ReplaceOrder:
    return ReplaceOrder(
        order_id=ORDER_ID, replace_id=f"{ORDER_ID}-r{number}", quantity=Decimal(10 - number), client_order_id="b" if number == 1 else "c"
    )


@pytest.mark.parametrize(
    ("before", "head", "found"),
    [
        (REPORTS[:1], 6, set()),
        (REPORTS[1:2], 6, set()),
        ((), 5, {"replaced_after_first_word"}),
        (REPORTS[:1], 4, {"logged_before_wire", "replaced_after_first_word"}),
    ],
)
def test_other_terms_are_sent_after_the_first_word(before: tuple[VenueReport, ...], head: int, found: set[str]) -> None:
    sends = [ObservedSend("replace", ORDER_ID, "R1", head)]
    assert names(checker.check_sends(audited(replaced(*before)), sends)) == found


@pytest.mark.parametrize(
    ("reports", "reason", "found"),
    [
        ((), "unknown", {"early_request_is_kept"}),
        ((), "too_early", {"early_request_is_kept"}),
        ((), "too_late", set()),
        (REPORTS[:1], "unknown", set()),
        (REPORTS[1:2], "unknown", set()),
    ],
)
def test_a_cancel_that_came_before_its_order_is_kept(reports: tuple[VenueReport, ...], reason: str, found: set[str]) -> None:
    asked = e.CancelRequested(order_id=ORDER_ID, at=NOW, status=State.PENDING_CANCEL, source="client", reason="requested")
    back = State.PARTIALLY_FILLED if reports == REPORTS[1:2] else State.ROUTED
    refused = e.CancelRejected(order_id=ORDER_ID, at=NOW, status=back, reason=reason, venue="PAPER_A")
    kept = audited([*life(*reports), asked, refused])
    assert kept.violations == []
    assert names(checker.check_kept(kept)) == found


def test_an_order_that_goes_back_to_the_queue_is_routed_with_the_terms_that_were_asked_for() -> None:
    asked = replaced()
    fell = asked_of(asked, given.report("rejected", reason="halted", report_seq=1))
    assert [type(event) for event in fell] == [e.OrderQueued, e.OrderReplaced]
    new, old = (given.route(("R2", "PAPER_B", quantity)) for quantity in ("9", "10"))
    lawful = [*asked, *fell, *asked_of([*asked, *fell], new)]
    forgetful = [*asked, *fell[:1], *asked_of([*asked, *fell[:1]], old)]
    assert not names(checker.check_kept(audited(lawful)))
    assert names(checker.check_kept(audited(forgetful))) == {"early_request_is_kept"}


def venue_log(*reports: VenueReport) -> list[VenueEvent]:
    told = Told()
    told.submit(ORDER_ID)
    told.route(ORDER_ID, ("R1", "PAPER_A"))
    taken = msgspec.structs.replace(told.to_send[0], quantity=Decimal(10))
    return [RequestTaken(at=NOW, request=taken), *(Reported(report=report) for report in reports)]


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (REPORTS, REPORTS, set()),
        (REPORTS[:2], REPORTS[:2], set()),
        (REPORTS[:2], REPORTS, {"venue_trades", "venue_view"}),
        (REPORTS, REPORTS[:2], {"venue_trades", "venue_view"}),
        (REPORTS[:1], (), {"venue_view"}),
        (REPORTS[:2], REPORTS[1:2], {"venue_numbers"}),
        (REPORTS, (*REPORTS[:2], given.report("fill", exec_id="X2", quantity="6", price="51", fee="1", report_seq=3)), {"venue_trades"}),
    ],
)
def test_our_view_of_a_venue_is_the_venues_own(ours: tuple[VenueReport, ...], theirs: tuple[VenueReport, ...], found: set[str]) -> None:
    view = audited(life(*ours))
    log = venue_log(*theirs) if theirs else []
    assert names(checker.check_venue(view, "PAPER_A", log, settled=True)) == found


def test_a_trade_is_booked_or_kept_aside_and_taken_back_on_both_sides() -> None:
    nonsense = given.report("fill", exec_id="X9", quantity="-1", price="50", fee="0", report_seq=4)
    contradiction = given.report("fill", exec_id="X1", quantity="4", price="48", fee="1", report_seq=4)
    bust = given.report("bust", exec_id="X1", quantity="4", price="49", report_seq=4)
    assert not names(checker.check_venue(audited(life(*REPORTS, nonsense)), "PAPER_A", venue_log(*REPORTS, nonsense), settled=True))
    assert not names(
        checker.check_venue(audited(life(*REPORTS, contradiction)), "PAPER_A", venue_log(*REPORTS, contradiction), settled=True)
    )
    assert not names(checker.check_venue(audited(life(*REPORTS, bust)), "PAPER_A", venue_log(*REPORTS, bust), settled=False))
    for missed in (nonsense, contradiction, bust):
        assert "venue_trades" in names(checker.check_venue(audited(life(*REPORTS)), "PAPER_A", venue_log(*REPORTS, missed), settled=True))


def test_while_things_go_wrong_our_view_may_only_be_behind() -> None:
    assert not names(checker.check_venue(audited(life(*REPORTS[:1])), "PAPER_A", venue_log(*REPORTS), settled=False))
    assert names(checker.check_venue(audited(life(*REPORTS)), "PAPER_A", venue_log(), settled=False)) == {"venue_trades"}


def test_an_order_that_waits_forever_and_a_reservation_that_stays_are_seen() -> None:
    assert names(checker.check_settled(audited(life()[:3]), ())) == {"liveness"}
    assert names(checker.check_settled(audited(life()), ())) == {"liveness"}, "routed, and the venue never said a word"
    assert not names(checker.check_settled(audited(life(*REPORTS[:1])), ()))
    assert names(checker.check_settled(audited([]), ["o-1"])) == {"reservations"}


def test_a_fold_that_differs_from_its_replay_is_named() -> None:
    (found,) = checker.check_fold("risk", {"a": 1, "b": 2}, {"a": 1, "b": 3})
    assert (found.name, found.where) == ("fold_is_replay", "risk b")
    assert not list(checker.check_fold("risk", {"a": 1}, {"a": 1}))


def test_equal_journals_have_equal_hashes_and_others_do_not() -> None:
    whole, cut = audited(life(*REPORTS)), audited(life(*REPORTS[:2]))
    assert checker.state_hash(whole) == checker.state_hash(audited(life(*REPORTS)))
    assert checker.state_hash(whole) != checker.state_hash(cut)
