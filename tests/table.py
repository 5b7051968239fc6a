"""Scenes in text: what is done to one order, line by line, and below each line what must follow.

    submit buy 10 @50
    > OrderSubmitted new, OrderRiskChecked risk_checked, OrderQueued queued
    route PAPER_A:6 PAPER_B:4
    > OrderRouted routed
    fill F1 4 @49 R2 fee=0.1
    > OrderFilled partially_filled leaves=6 late=False
    fill F1 4 @49 R2 fee=0.1
    > nothing
    = partially_filled cum=4

`replace 12 @51` asks for other terms (`replace 12 denied code`: risk says no), and `replaced 12 @51`, `replace_rejected why` answer it.
`correct F2 F1 4 @48` books F2 in the place of F1. `by=KEY` at a submit, cancel, replace or settle names who asks.

A line that starts with ">" names the events in order: type, status, then fields of the event or, where it has none of that name,
of the order. A line that starts with "=" says the same of the order alone. Legs are numbered R1, R2, ...; a report is about R1
unless it says more.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from domain.order import commands as c
from domain.order.decider import Events, decide
from domain.order.order import Order, evolve
from domain.order.trail import Trail
from domain.values import plain
from tests import given

SHORT = {"cum": "cum_quantity", "leaves": "leaves_quantity", "average": "average_price"}


class Scene:
    """One order, its clock and the events of the last line."""

    def __init__(self) -> None:
        self.order: Order | None = None
        self.events: Events = ()
        self.history: list[Events] = []
        self.now_ns = given.NOW
        self.report_seq = 0

    def play(self, line: str) -> None:
        if line.startswith(">"):
            self._expect_events(line[1:].strip())
        elif line.startswith("="):
            self._expect_order(line[1:].split())
        else:
            self.do(command(line, self.order, self.report_seq + 1))

    def do(self, asked: c.OrderCommand) -> Events:
        self.now_ns += given.SECOND
        self.report_seq += isinstance(asked, c.VenueReport)
        self.events = decide(self.order, asked, self.now_ns)
        self.history.append(self.events)
        for event in self.events:
            if self.order or not is_quarantine(event):
                self.order = evolve(self.order, event)
        return self.events

    def _expect_events(self, text: str) -> None:
        wanted = [] if text == "nothing" else [part.split() for part in text.split(",")]
        found = [type(event).__name__ for event in self.events]
        assert found == [words[0] for words in wanted], f"expected {text}, found {found or 'nothing'}"
        for event, (_, status, *facts) in zip(self.events, wanted, strict=True):
            assert event.status == status, f"{event.status}, not {status}"
            _expect_facts(facts, event, self.order)

    def _expect_order(self, words: list[str]) -> None:
        assert self.order is not None
        assert self.order.status == words[0], f"{self.order.status}, not {words[0]}"
        _expect_facts(words[1:], self.order)


def check(text: str) -> Scene:
    """Play a scene; the first line that does not hold fails with its number."""
    scene = Scene()
    for number, line in enumerate(text.strip().splitlines(), 1):
        if line := line.strip():
            try:
                scene.play(line)
            except AssertionError as error:
                raise AssertionError(f"line {number}: {line}\n  {error}") from error
    return scene


def is_quarantine(event: object) -> bool:
    return type(event).__name__ == "ReportQuarantined"


def _expect_facts(facts: list[str], *places: object) -> None:
    for fact in facts:
        name, _, value = fact.partition("=")
        name = SHORT.get(name, name)
        place = next(p for p in places if hasattr(p, name))
        found = getattr(place, name)
        assert _text(found) == value, f"{name} is {_text(found)}, not {value}"


def _text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def command(line: str, order: Order | None, report_seq: int) -> c.OrderCommand:
    verb, *words = line.split()
    if by := next((word for word in words if word.startswith("by=")), None):
        words.remove(by)
        return msgspec.structs.replace(VERBS[verb](words, order), by=by.removeprefix("by="))
    return VERBS[verb](words, order) if verb in VERBS else _report(verb, words, order, report_seq)


def _submit(words: list[str], _: Order | None) -> c.SubmitOrder:
    side, quantity, price, *denial = words
    asked = (
        given.terms(quantity, None, side=side, order_type="market") if price == "market" else given.terms(quantity, price[1:], side=side)
    )
    return given.submit(asked, given.denied(denial[1]) if denial else None)


def _route(words: list[str], order: Order | None) -> c.RouteOrder:
    """`PAPER_A` takes all, `PAPER_A:6` six; `PAPER_A:6:R7` names its leg."""
    assert order is not None
    legs = []
    for number, word in enumerate(words, 1):
        venue, quantity, route_id, *_ = [*word.split(":"), "", ""]
        legs.append((route_id or f"R{number}", venue, quantity or plain(order.quantity)))
    return given.route(*legs)


def _cancel(words: list[str], _: Order | None) -> c.CancelOrder:
    return given.cancel(*words)


def _replace(words: list[str], order: Order | None) -> c.ReplaceOrder:
    """`12`, `@51`, `stop 48`, `trail 3`, `checked`, `denied code`, `as r7`, `named=b-2`: what is not said stays as it is."""
    assert order is not None
    asked = c.ReplaceOrder(order_id=given.ORDER_ID, replace_id=order.next_replace_id)
    while words:
        word = words.pop(0)
        changed: dict[str, object]
        if word == "stop":
            changed = {"stop_price": Decimal(words.pop(0))}
        elif word == "trail":
            changed = {"trail": msgspec.structs.replace(order.trail or Trail(), amount=Decimal(words.pop(0)), percent=None)}
        elif word == "checked":
            changed = {"decision": given.approved()}
        elif word == "denied":
            changed = {"decision": given.denied(words.pop(0))}
        elif word == "as":
            changed = {"replace_id": words.pop(0)}
        elif word.startswith("named="):
            changed = {"client_order_id": word.removeprefix("named=")}
        elif word.startswith("@"):
            changed = {"price": Decimal(word[1:])}
        else:
            changed = {"quantity": Decimal(word)}
        asked = msgspec.structs.replace(asked, **changed)
    return asked


def _trigger(words: list[str], _: Order | None) -> c.TriggerOrder:
    """`trigger PAPER_A @51`, of a trailing stop `trigger PAPER_A @51 stop 52 best 57`."""
    level = {name: Decimal(number) for name, number in zip(words[2::2], words[3::2], strict=True)}
    price = Decimal(words[1][1:])
    return c.TriggerOrder(order_id=given.ORDER_ID, venue=words[0], price=price, stop_price=level.get("stop"), best=level.get("best"))


def _trail(words: list[str], _: Order | None) -> c.TrailStop:
    """`trail PAPER_A stop 98 best 103`."""
    return c.TrailStop(order_id=given.ORDER_ID, venue=words[0], stop_price=Decimal(words[2]), best=Decimal(words[4]))


def _expire(words: list[str], _: Order | None) -> c.ExpireOrder:
    return c.ExpireOrder(order_id=given.ORDER_ID, reason=words[0])


def _no_route(words: list[str], _: Order | None) -> c.RefuseRoute:
    reason, route_id = [*words, None][:2]
    assert reason is not None
    return c.RefuseRoute(order_id=given.ORDER_ID, reason=reason, route_id=route_id)


def _doubt(words: list[str], _: Order | None) -> c.DoubtRoute:
    """`doubt R1`, or `doubt R1 disconnected` for one that may have spoken."""
    reason = words[1] if len(words) > 1 else "no_answer"
    return c.DoubtRoute(order_id=given.ORDER_ID, route_id=words[0], reason=reason, anyway=len(words) > 1)


def _confirm(words: list[str], _: Order | None) -> c.ConfirmRoute:
    return c.ConfirmRoute(order_id=given.ORDER_ID, route_id=words[0], cancelling="cancelling" in words)


def _quarantine(words: list[str], _: Order | None) -> c.SetReportAside:
    return c.SetReportAside(order_id=given.ORDER_ID, venue=words[0], reason=words[1], report="as it came", report_seq=7)


def _settle(words: list[str], _: Order | None) -> c.SettleOrder:
    """`settle cancelled`, `settle filled 4 @49`; more words are `R2` or `field=value`."""
    known: dict[str, Any] = {}
    outcome, *rest = words
    if outcome == "filled":
        known["quantity"], known["price"], *rest = Decimal(rest[0]), Decimal(rest[1][1:]), *rest[2:]
    for word in rest:
        name, _equals, value = word.partition("=")
        known |= {"fee": Decimal(value)} if name == "fee" else {name: value} if value else {"route_id": name}
    return c.SettleOrder(order_id=given.ORDER_ID, outcome=c.Outcome(outcome), who="ann", reason="asked the venue", **known)


def _absent(words: list[str], _: Order | None) -> c.RouteAbsent:
    return c.RouteAbsent(order_id=given.ORDER_ID, route_id=words[0], evidence="asked 3 times")


VERBS: dict[str, Callable[[list[str], Order | None], c.OrderCommand]] = {
    "submit": _submit,
    "route": _route,
    "cancel": _cancel,
    "no_route": _no_route,
    "replace": _replace,
    "expire": _expire,
    "trigger": _trigger,
    "trail": _trail,
    "doubt": _doubt,
    "absent": _absent,
    "confirm": _confirm,
    "quarantine": _quarantine,
    "settle": _settle,
}
REPORTS = {"ack": "accepted", "reject": "rejected", "venue_cancelled": "cancelled", "correct": "correction"}


def _report(verb: str, words: list[str], order: Order | None, report_seq: int) -> c.VenueReport:
    """`fill F1 4 @49`, `bust F1`, `ack V1`, `reject why`: the rest of the words are `R2` or `field=value`."""
    known: dict[str, str] = {}
    if verb in ("fill", "bust", "correct"):
        known["exec_id"] = words.pop(0)
    if verb == "correct":
        known["ref_exec_id"] = words.pop(0)
    if verb in ("replaced", "replace_rejected"):
        known["replace_id"] = order.replacing.replace_id if order and order.replacing else f"{given.ORDER_ID}-r1"
    if verb == "replaced":
        known["quantity"] = words.pop(0)
        if words and words[0].startswith("@"):
            known["price"] = words.pop(0)[1:]
    if verb in ("fill", "correct"):
        known["quantity"], known["price"] = words.pop(0), words.pop(0)[1:]
    if verb == "ack":
        known["venue_order_id"] = words.pop(0)
    for word in words:
        name, _, value = word.partition("=")
        known |= {name: value} if value else {"route_id" if word.startswith("R") else "reason": word}
    about = next((r for r in order.routes if r.route_id == known.get("route_id", "R1")), None) if order else None
    known = {"venue": about.venue if about else "PAPER_A", "side": str(order.side) if order else "buy"} | known
    return msgspec.structs.replace(given.report(REPORTS.get(verb, verb), **known), report_seq=report_seq)  # type: ignore[arg-type]
