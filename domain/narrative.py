"""An order's events as sentences, with the numbers behind each decision: why the order is in its state."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

from domain.access.scopes import LOCAL
from domain.order import events as e
from domain.order.order import RISK_CONTROL
from domain.order.trail import Trail
from domain.risk.decision_record import read
from domain.values import ZERO, Side, TimeInForce, plain, rfc3339

OwnerOf = Callable[[str], str | None]
"""Returns the owner of a key id; None if the key is unknown."""


def no_owner(key_id: str) -> str | None:
    """Return None: the owners of keys are unknown here."""
    return None


def told(event: e.OrderEvent, owner_of: OwnerOf = no_owner) -> str:
    """Return the event as one sentence. If a client caused it, the sentence ends with who that was."""
    sentence = SENTENCES[type(event)](event)
    if not isinstance(event, e.Requested) or not event.by:
        return sentence
    return f"{sentence.removesuffix('.')}; {REQUESTS[type(event)]} {_whom(event.by, owner_of(event.by))}."


def _whom(by: str, owner: str | None) -> str:
    if by == LOCAL:
        return "by a program on this machine, without a key"
    return f"by {owner} with key {by}" if owner else f"with key {by}"


def _submitted(event: e.OrderSubmitted) -> str:
    flags = "".join(f", {name}" for name, is_so in (("post only", event.post_only), ("reduce only", event.reduce_only)) if is_so)
    until = f" until {rfc3339(event.expire_at)}" if event.expire_at is not None else ""
    terms = (
        f"{event.side} {_terms(event.quantity, event.price, event.stop_price)} {event.symbol} as {event.order_type} {event.time_in_force}"
    )
    shown = _shown(event.display_quantity)
    return f"{event.account} asks to {terms}{_following(event.trail)}{_worth(event)}{until}{flags}{shown}{_waiting(event)}."


def _waiting(event: e.OrderSubmitted) -> str:
    """Return the opening or closing that the order waits for, if it does."""
    auction = event.auction
    if auction is None:
        return ""
    what = "opening" if event.time_in_force is TimeInForce.OPG else "closing"
    return f"; it waits for the {what} of {auction.venue}, until {rfc3339(auction.at)}, and expires at {rfc3339(auction.ends_at)}"


def _shown(display: Decimal | None) -> str:
    return "" if display is None else f", showing {plain(display)} at a time"


def _following(trail: Trail | None) -> str:
    """Return how the stop follows the market, if it does."""
    if trail is None:
        return ""
    by = f"{plain(trail.percent)} percent" if trail.percent is not None else plain(trail.amount or ZERO)
    limit = f", then as a limit {plain(trail.limit_offset)} behind it" if trail.limit_offset is not None else ""
    start = f", once it is at {plain(trail.activation_price)}" if trail.activation_price is not None else ""
    return f" {by} behind the {trail.trigger}{start}{limit}"


def _worth(event: e.OrderSubmitted) -> str:
    """Return how the quantity was made, if it was made from money."""
    if event.notional is None:
        return ""
    quote = event.quote
    seen = f" at {plain(touch)} of {quote.venue}" if quote and (touch := quote.ask if event.side is Side.BUY else quote.bid) else ""
    return f", which is what {plain(event.notional)} is worth{seen}"


def _terms(quantity: Decimal, price: Decimal | None, stop_price: Decimal | None) -> str:
    limit = f" @ {plain(price)}" if price is not None else ""
    stop = f" stop {plain(stop_price)}" if stop_price is not None else ""
    return plain(quantity) + stop + limit


def _checked(event: e.OrderRiskChecked) -> str:
    valued = f", valued at {plain(event.reference)}" if event.reference is not None else ""
    return f"Risk approves it under limits version {event.limits_version}{valued}{_numbers(event.checks)}."


def _numbers(checks: str) -> str:
    """Return what each check found, with its limit."""
    made = [f"{check.name} {plain(check.found)} of {plain(check.limit)}" for check in read(checks).checks]
    return f": {', '.join(made)}" if made else ""


def _queued(event: e.OrderQueued) -> str:
    if event.venue is None:
        return "It waits in the queue."
    return f"{event.venue} refuses it ({event.reason}); it waits for another venue."


def _level(stop_price: Decimal | None) -> str:
    return "" if stop_price is None else f" {plain(stop_price)}"


def _rejected(event: e.OrderRejected) -> str:
    who = event.venue if event.source == "venue" and event.venue else event.source
    return f"Rejected by {who}: {_reason(event)}."


def _reason(event: e.OrderRejected | e.ReplaceRefused) -> str:
    numbers = [f"{name} {value}" for name, value in (("found", event.found), ("limit", event.limit)) if value is not None]
    unit = f" {event.unit}" if numbers and event.unit else ""
    return event.reason + (f", {', '.join(numbers)}{unit}" if numbers else "")


def _routed(event: e.OrderRouted) -> str:
    legs = " and ".join(f"{plain(leg.quantity)} to {leg.venue}{_shown(leg.display_quantity)}" for leg in event.legs)
    seen = "; ".join(_candidate(candidate) for candidate in event.candidates)
    return f"Sent: {legs}, by {event.policy}" + (f" ({seen})." if seen else ".")


def _candidate(seen: e.Candidate) -> str:
    if seen.cost is None:
        return f"{seen.venue}: {seen.note or 'no quote'}"
    note = f", {seen.note}" if seen.note else ""
    levels = f" over {len(seen.levels)} levels" if seen.levels else ""
    return f"{seen.venue} would cost {plain(seen.cost)}{levels}{note}"


def _released(event: e.OrderReleased) -> str:
    if event.venue:
        return f"The time that it waited for at {event.venue} has come: it is routed now, as a day order."
    return "It no longer waits: the other exit has not ended in time." if event.forced else "The other exit has ended: it no longer waits."


def _filled(event: e.OrderFilled) -> str:
    how = f"{event.side} {plain(event.quantity)} @ {plain(event.price)} at {event.venue} as {event.liquidity}, fee {plain(event.fee)}"
    instead = f", in place of {event.corrects}" if event.corrects else ""
    flags = "".join(
        f", {flag}" for flag, is_so in (("after the order had ended", event.late), ("beyond its quantity", event.overfill)) if is_so
    )
    return f"Trade {event.exec_id}: {how}{instead}{flags}."


def _busted(event: e.TradeBusted) -> str:
    return f"{event.venue} takes trade {event.exec_id} back: {plain(event.quantity)} @ {plain(event.price)}."


def _asked_to_replace(event: e.ReplaceRequested) -> str:
    terms = _terms(event.quantity, event.price, event.stop_price)
    return f"{event.leg.venue} is asked to make it {terms}{_named(event)}; until it answers the old terms apply."


def _named(event: e.ReplaceRequested | e.OrderReplaced) -> str:
    return f", named {event.client_order_id} by the client" if event.client_order_id else ""


def _replaced(event: e.OrderReplaced) -> str:
    reported = f", as reported by {event.venue}" if event.venue else ""
    return f"It is {_terms(event.quantity, event.price, event.stop_price)}{_following(event.trail)} now{_named(event)}{reported}."


def _taken(event: e.ShardTaken) -> str:
    if event.lease:
        return f"{event.unit} takes the shard, with revision {event.lease} of its lease."
    return f"{event.sender} of {event.unit} takes over sending."


def _quarantined(event: e.ReportQuarantined) -> str:
    return f"A report of {event.venue} (number {event.report_seq}) is quarantined: {event.reason.replace('_', ' ')}."


def _listed(event: e.ListSubmitted) -> str:
    reducing = " that reduce each other" if event.reduce else ""
    exits = ", with exits that never work together" if event.strict else ""
    verdict = "rejected as a whole" if event.rejected else "accepted"
    return f"The {event.kind} list {event.client_list_id} of {len(event.members)} orders{reducing} is {verdict}{exits}."


def _algo_submitted(event: e.AlgoSubmitted) -> str:
    terms, refused = event.terms, event.denial
    end = f" until {rfc3339(terms.end_at)}" if terms.end_at is not None else ""
    limit = f", no worse than {plain(terms.limit_price)}" if terms.limit_price is not None else ""
    asked = f"{terms.account} asks to {terms.side} {plain(terms.quantity)} {terms.symbol} by {terms.strategy}{end}{limit}"
    return f"{asked}: rejected by {event.source}, {refused.code}." if refused is not None else f"{asked}; seed {terms.params.seed}."


def _sliced(event: e.AlgoSliced) -> str:
    due = f"Slice {event.n}, due at {rfc3339(event.due_at)}"
    if not event.child:
        return f"{due}, has no child: {event.reason.replace('_', ' ')}."
    level = f", to come to {plain(event.target)}" if event.target is not None else ""
    return f"{due}: {plain(event.quantity)}{level}, as order {event.child}."


def _amended(event: e.AlgoAmended) -> str:
    end = f" until {rfc3339(event.end_at)}" if event.end_at is not None else ""
    limit = f", no worse than {plain(event.limit_price)}" if event.limit_price is not None else ""
    return f"It works {plain(event.quantity)}{end}{limit} from now on."


def _algo_ended(event: e.AlgoEnded) -> str:
    return f"It has ended as {event.state}, with {plain(event.cum_quantity)} traded: {event.reason.replace('_', ' ')}."


def _why(event: e.AlgoPaused | e.AlgoResumed) -> str:
    return f": {event.reason.replace('_', ' ')}" if event.reason else ""


def _ended(how: str, event: Any) -> str:
    if event.venue and event.source in (RISK_CONTROL, "oms"):
        return f"{how} at {event.venue} for {event.source}: {event.reason.replace('_', ' ')}."
    return f"{how} by {event.venue or event.source}: {event.reason.replace('_', ' ')}."


def _refused(event: e.TransitionRefused) -> str:
    return f"A {event.trigger} of {event.source} is refused: the order is {event.status}" + (f" ({event.detail})." if event.detail else ".")


REQUESTS: Final[dict[type[e.Requested], str]] = {
    e.OrderSubmitted: "submitted",
    e.CancelRequested: "cancel requested",
    e.OrderCancelled: "cancel requested",
    e.ReplaceRequested: "replace requested",
    e.OrderReplaced: "replace requested",
    e.ReplaceRefused: "replace requested",
    e.DoubtSettled: "settled",
    e.ListSubmitted: "submitted",
    e.ListCancelRequested: "cancel requested",
    e.AlgoSubmitted: "submitted",
    e.AlgoPaused: "pause requested",
    e.AlgoResumed: "resumption requested",
    e.AlgoAmended: "change requested",
    e.AlgoEnding: "cancel requested",
}
"""What the client asked for that an event records."""

SENTENCES: Final[dict[type[e.Event], Callable[[Any], str]]] = {
    e.OrderSubmitted: _submitted,
    e.OrderRiskChecked: _checked,
    e.OrderQueued: _queued,
    e.OrderTriggered: lambda event: (
        f"{event.venue} shows {plain(event.price)}: its stop price{_level(event.stop_price)} is reached"
        + (f", its limit is {plain(event.limit_price)}" if event.limit_price is not None else "")
        + ("; it waits for the end of the other exit." if event.waits_for else ".")
    ),
    e.StopTrailed: lambda event: f"{event.venue} has shown {plain(event.best)}: its stop price follows to {plain(event.stop_price)}.",
    e.OrderReleased: _released,
    e.OrderRejected: _rejected,
    e.OrderRouted: _routed,
    e.RouteAcknowledged: lambda event: f"{event.venue} works it as {event.venue_order_id}.",
    e.RouteClosed: lambda event: f"Its route to {event.venue} has ended: {event.reason.replace('_', ' ')}; the others work on.",
    e.OrderInDoubt: lambda event: f"{event.venue} does not answer ({event.reason.replace('_', ' ')}): it may or may not have it.",
    e.DoubtSettled: lambda event: (
        f"The doubt at {event.venue} is settled by {event.who}: {event.outcome.replace('_', ' ')}, because {event.reason}."
    ),
    e.OrderFilled: _filled,
    e.TradeBusted: _busted,
    e.CancelRequested: lambda event: f"The venue is asked to cancel it, for {event.source}: {event.reason.replace('_', ' ')}.",
    e.CancelRejected: lambda event: f"{event.venue} does not cancel it: {event.reason.replace('_', ' ')}.",
    e.ReplaceRequested: _asked_to_replace,
    e.OrderReplaced: _replaced,
    e.ReplaceRejected: lambda event: f"{event.venue} keeps the old terms: {event.reason.replace('_', ' ')}.",
    e.ReplaceRefused: lambda event: f"Other terms are refused by {event.source}: {_reason(event)}.",
    e.OrderCancelled: partial(_ended, "Cancelled"),
    e.OrderExpired: partial(_ended, "Expired"),
    e.TransitionRefused: _refused,
    e.ReportQuarantined: _quarantined,
    e.ListSubmitted: _listed,
    e.ListCancelRequested: lambda event: "The list is cancelled" + (", with its exits." if event.exits else "; exits of a position stay."),
    e.ListFlagged: lambda event: f"The list needs attention: {event.flag.replace('_', ' ')} of order {event.leg}, {event.reason}.",
    e.ListExtended: lambda event: f"Order {event.member} takes the place of order {event.instead_of}.",
    e.ListEnded: lambda event: f"The list has ended: {event.reason}.",
    e.AlgoSubmitted: _algo_submitted,
    e.AlgoStarted: lambda event: "Its time has come: it works.",
    e.AlgoSliced: _sliced,
    e.AlgoPaused: lambda event: f"It is paused by {event.source}{_why(event)}.",
    e.AlgoResumed: lambda event: f"It works again, for {event.source}{_why(event)}.",
    e.AlgoAmended: _amended,
    e.AlgoEnding: lambda event: f"It comes to its end for {event.source}: {event.reason.replace('_', ' ')}. No slice follows.",
    e.AlgoEnded: _algo_ended,
    e.ShardTaken: _taken,
    e.ShardHeld: lambda event: f"{event.unit} confirms that it can still write.",
    e.ShardReleased: lambda event: f"{event.unit} gives up the shard" + (f" to {event.to}." if event.to else "."),
    e.JournalAccepted: lambda event: f"{event.who} accepts that the journal continues from {event.goes_on_from}: {event.reason}.",
}
