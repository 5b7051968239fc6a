"""The scenes of a golden journal: every kind of event, every field, every state, made by the real actor.

A line is `ORDER verb ...` in the language of tests/table.py; what follows a bar are more of the order's terms. Lines that stand together
are one commit.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from domain.execution.owner import NO_OWNER, owner_of
from domain.order import commands as c
from domain.order import events as e
from domain.order.auction import Auction
from domain.order.decider import decide
from domain.order.order import Order, evolve
from domain.order.trail import Trail, TrailTrigger
from domain.values import Side, TimeInForce, order_id_of
from tests import given, table
from tests.domain.groups.scene import ListScene, bracket, terms
from tests.golden.parent_scenes import parent_commits

ACCOUNTS: Final = ("alice", "bob")
CANDIDATES: Final = (
    e.Candidate("PAPER_A", bid=Decimal("49.99"), ask=Decimal(50), size=Decimal("7.5"), cost=Decimal("50.025")),
    e.Candidate("PAPER_B", note="no fresh quote", penalty_bps=Decimal("3.125")),
    e.Candidate("PAPER_C", Decimal("99.5"), Decimal("100.5"), Decimal(3), Decimal("100.6"), quote_seq=499_869_752),
    e.Candidate(
        "PAPER_D",
        Decimal(49),
        Decimal(51),
        Decimal("0.5"),
        Decimal("51.984375"),
        quote_seq=17,
        levels=((Decimal(51), Decimal("0.5")), (Decimal("52.25"), Decimal(70))),
        depth_seq=19,
    ),
)

SCENES: Final = """
plain submit buy 10 @50 by=PKALICE2222222222222
long submit buy 12.5 @49.5 | time_in_force=gtd expire_at=1700000900000000000 priority=3
sudden submit sell 2 market

plain route PAPER_A:6 PAPER_B:4
long route PAPER_A
sudden route PAPER_B

plain ack V1
plain ack V2 R2
sudden fill S1 2 @49.95 fee=0.05
long ack V3

plain fill F1 4 @49.875 fee=-0.000000000001
long fill L1 2.25 @49.5 fee=0.1

plain fill F2 4 @50 R2 fee=0.2
plain fill F2 4 @50 R2 fee=0.2

plain fill F3 2 @50 fee=0.1

big submit buy 10 @50 denied order_size_limit
stopped submit sell 3 @44 | order_type=stop_limit stop_price=45 time_in_force=ioc
nowhere submit buy 1 @50

nowhere no_route no_venue
stopped route PAPER_A
stopped reject tick_size
gone submit buy 1 @50
gone cancel by=local
gone cancel
gone route PAPER_A

two submit buy 10 @50
two route PAPER_A:6 PAPER_B:4

two ack V5
two venue_cancelled R2 venue_said_so
two fill T1 1 @50

two cancel by=PKALICE2222222222222
two cancel_rejected too_late

two cancel operator end_of_day
two fill T2 1 @50
two venue_cancelled R1 requested

two fill T3 2 @50

silent submit buy 5 @50
silent route PAPER_A
lost submit buy 5 @50
lost route PAPER_B

silent doubt R1
lost doubt R1

silent fill D1 5 @49 fee=0.1
lost absent R1

day submit sell 4 @51 | time_in_force=gtd expire_at=1700000900000000000
day route PAPER_A
day ack V9

day fill E1 1 @51
day expired R1 time

over submit buy 2 @50
over route PAPER_A

over fill O1 1.5 @50
over fill O2 1.5 @50
over fill O2 1.5 @49

over bust O2
plain bust F3
stranger fill Q1 1 @50

vague submit buy 5 @50
vague route PAPER_B

vague doubt R1
vague settle filled 2 @49.5 exec_id=X1 fee=0.25 by=PKOPS222222222222222

vague doubt R1 disconnected
vague settle cancelled R1

early submit buy 1 @50
early fill W1 0.5 @50

careful submit sell 3 @52 | order_type=stop_limit stop_price=53 post_only=true reduce_only=true
careful replace 4 @51.5 stop 52.5 checked by=PKALICE2222222222222
careful replace 900 denied order_size_limit by=PKALICE2222222222222
careful route PAPER_A

careful ack V20
careful replace 5 @51 stop 52 checked by=PKALICE2222222222222
careful replaced 5 @51 stop_price=52
careful fill C1 1 @51 fee=0.1

careful replace 2 @51.25
careful replace_rejected too_late
careful correct C2 C1 1 @51.5 fee=0.1
careful bust C9
careful fill C9 0.5 @51

careful replace 1.5
careful cancel
careful replaced 1.5

woken submit sell 3 market | order_type=stop stop_price=45
woken trigger PAPER_A @44.5
woken route PAPER_A

moved submit buy 3 @50
moved route PAPER_A
moved reject halted
moved route PAPER_B:3:R2

worth submit buy 1.996 market | notional=100 quote=PAPER_A
limited submit buy 2 @50 | notional=101.5 time_in_force=ioc

called submit buy 3 @50
called replace 4 named="R/1,b"
called route PAPER_A
called ack V30

called replace 5 named=r-2
called replaced 5

kept submit buy 3 @50
waits submit sell 3 @52

kept route PAPER_B
"""
"""A journal ends with orders in the queue and at venues, as journals do."""


def journal() -> list[tuple[e.OrderEvent, ...]]:
    """The commits of all scenes, and an operator's word at the end."""
    day = Day()
    commits = [tuple(event for line in scene.splitlines() for event in day.play(line)) for scene in SCENES.strip().split("\n\n")]
    accepted = e.JournalAccepted(
        at=day.now_ns, who="operator", reason="the disk was restored", goes_on_from=len(commits), acknowledged_to=len(commits) + 2
    )
    day_commits = [
        *commits,
        (accepted,),
        *_owned(day, len(commits) + 2),
        *_lists(day.now_ns),
        *_icebergs(day),
        *_timed(day.now_ns),
        *_trails(day.now_ns),
        *parent_commits(day.now_ns),
        *_extended(day),
    ]
    return [*day_commits, *_moved(day, len(day_commits) + 1)]


def _owned(day: "Day", n: int) -> list[tuple[e.OrderEvent, ...]]:
    """Two exeqs take the shard, one after the other, and routes name the second; at the end a read needed a proof."""
    first = e.ShardTaken(at=day.now_ns, unit="unit-0", sender="exeq-1")
    second = e.ShardTaken(at=day.now_ns, unit="unit-0", sender="exeq-2", before=n, met=n + 40)
    day.owner = owner_of(second, n + 1)
    routed = [day.play(line) for line in ("named submit buy 3 @50", "named route PAPER_A")]
    return [(first,), (second,), *routed, (e.ShardHeld(at=day.now_ns, unit="unit-0"),)]


def _lists(now: int) -> list[tuple[e.OrderEvent, ...]]:
    """A bracket whose stop goes first, one whose take profit is followed by another, and a list that risk rejects."""
    key = "PKALICE2222222222222"
    forced = bracket(account="lena", now=now, by=key)
    followed = bracket(strict=False, trigger="full", account="lars", now=now, by=key)
    for line in ("rest entry", "fill entry 10", "rest take_profit", "trigger stop_loss", "force stop_loss", "rest stop_loss"):
        forced.play(line)
    for line in (
        "rest entry",
        "fill entry 4",
        "cancel entry",
        "cancelled entry",
        "rest take_profit",
        "cancel_list exits",
        "cancelled take_profit",
    ):
        followed.play(line)
    again = bracket(account="liv", now=now, by=key)
    for line in ("rest entry", "fill entry 3", "rest take_profit", "fill take_profit 3", "fill entry 7"):
        again.play(line)
    legs = [terms(name, Decimal(1), Side.SELL, "60", account="lou") for name in ("leg1", "leg2")]
    rejected = ListScene("oco", legs, now=now, by=key, rejected=True, reduce=True)
    return [commit for scene in (forced, followed, again, rejected) for commit in scene.commits if commit]


class Day:
    """Several orders, by name; each venue numbers its reports."""

    def __init__(self) -> None:
        self.now_ns = given.NOW
        self.owner = NO_OWNER
        self._orders: dict[str, Order] = {}
        self._reports: Counter[str] = Counter()

    def play(self, line: str) -> tuple[e.OrderEvent, ...]:
        name, _, rest = line.partition(" ")
        words, _, terms = rest.partition("|")
        self.now_ns += given.SECOND
        order = self._orders.get(name)
        events = decide(order, self._command(name, words, terms, order), self.now_ns)
        if events and not (order is None and table.is_quarantine(events[0])):
            for event in events:
                order = self._orders[name] = evolve(order, event)
        return events

    def _command(self, name: str, words: str, terms: str, order: Order | None) -> c.OrderCommand:
        command = table.command(words.strip(), order, 0)
        account = ACCOUNTS[len(name) % len(ACCOUNTS)]
        order_id = order_id_of(account, name)
        if isinstance(command, c.SubmitOrder):
            return _submit(command, {"order_id": order_id, "account": account, "client_order_id": name}, terms)
        if isinstance(command, c.VenueReport):
            self._reports[command.venue] += 1
            return msgspec.structs.replace(command, order_id=order_id, account=account, report_seq=self._reports[command.venue])
        if isinstance(command, c.RouteOrder):
            assert order is not None
            legs = tuple(msgspec.structs.replace(leg, display_quantity=order.display_quantity) for leg in command.legs)
            command = msgspec.structs.replace(command, legs=legs, candidates=CANDIDATES, unit=self.owner.unit, epoch=self.owner.epoch)
        return msgspec.structs.replace(command, order_id=order_id)


def _submit(command: c.SubmitOrder, whose: dict[str, str], more: str) -> c.SubmitOrder:
    plain = msgspec.to_builtins(command.terms) | whose | dict(word.split("=") for word in more.split())
    if venue := plain.pop("quote", None):
        plain["quote"] = msgspec.to_builtins(next(seen for seen in CANDIDATES if seen.venue == venue))
    terms: c.Terms = msgspec.convert(plain, c.Terms, strict=False)
    decided: dict[str, Any] = {"order_id": terms.order_id, "reference": terms.price or Decimal("50.5"), "checks": given.approved().checks}
    decision = msgspec.structs.replace(command.decision, **decided)
    return msgspec.structs.replace(command, order_id=terms.order_id, terms=terms, decision=decision)


def _icebergs(day: Day) -> list[tuple[e.OrderEvent, ...]]:
    """An iceberg, its route, two trades of it and other terms."""
    lines = (
        "berg submit buy 10 @50 | display_quantity=2.5",
        "berg route PAPER_A",
        "berg ack V40",
        "berg fill G1 2.5 @50",
        "berg fill G2 2 @50",
    )
    return [day.play(line) for line in (*lines, "berg replace 8 checked", "berg replaced 8")]


def _timed(now: int) -> list[tuple[e.OrderEvent, ...]]:
    """An order for an opening, which is changed while it waits and then traded, and one for a closing that is never released."""
    commits: list[tuple[e.OrderEvent, ...]] = []
    for name, tif in (("open", TimeInForce.OPG), ("close", TimeInForce.CLS)):
        who = {"order_id": order_id_of("olga", name), "account": "olga", "client_order_id": name}
        session = Auction("PAPER_A", now + 10 * given.SECOND, now + 60 * given.SECOND)
        wanted = msgspec.structs.replace(given.terms(), **who, time_in_force=tif, auction=session)
        order: Order | None = None
        asked: list[tuple[int, c.OrderCommand]] = [(1, given.submit(wanted, given.approved(wanted.order_id)))]
        if tif is TimeInForce.OPG:
            replace = c.ReplaceOrder(order_id="", replace_id=f"{wanted.order_id}-r1", quantity=Decimal(8))
            routed = given.route(("R1", "PAPER_A", "8"))
            asked += [(2, replace), (10, c.ReleaseHeld(order_id="")), (11, routed)]
        asked.append((60, c.ExpireOrder(order_id="", reason="session_end")))
        for at, command in asked:
            events = decide(order, msgspec.structs.replace(command, order_id=wanted.order_id), now + at * given.SECOND)
            for event in events:
                order = evolve(order, event)
            commits.append(events)
    return commits


def _trails(now: int) -> list[tuple[e.OrderEvent, ...]]:
    """A stop that follows the market, then more closely, and becomes a limit order; one that waits for its activation price."""
    trail = Trail(amount=Decimal(5), limit_offset=Decimal(1))
    later = Trail(percent=Decimal("0.5"), trigger=TrailTrigger.MID, activation_price=Decimal(52))
    lines = ("trail PAPER_A stop 45 best 50", "replace trail 3 checked", "trigger PAPER_A @48 stop 48.5 best 51.5")
    return [*_trailing("follows", trail, lines, now), *_trailing("waits", later, (), now)]


def _trailing(name: str, trail: Trail, lines: Sequence[str], now: int) -> Iterator[tuple[e.OrderEvent, ...]]:
    asked = given.terms("10", None, side="sell", order_type="trailing_stop")
    named = {"order_id": order_id_of("tess", name), "account": "tess", "client_order_id": name, "trail": trail}
    terms = msgspec.structs.replace(asked, **named)
    decision = c.RiskDecision(order_id=terms.order_id, limits_version=3, reference=Decimal("50.5"))
    order: Order | None = None
    for line in ("", *lines):
        command = table.command(line, order, 0) if order else given.submit(terms, decision)
        events = decide(order, msgspec.structs.replace(command, order_id=terms.order_id), now)
        for event in events:
            order = evolve(order, event)
        yield events


def _extended(day: Day) -> list[tuple[e.OrderEvent, ...]]:
    """An order of a client that asked for trading outside the session."""
    return [day.play(line) for line in ("late submit buy 3 @50 | extended_hours=true", "late route PAPER_A", "late ack V50")]


def _moved(day: Day, n: int) -> list[tuple[e.OrderEvent, ...]]:
    """Another unit takes the shard with a lease, sends, proves that it can write, and gives the shard up."""
    taken = e.ShardTaken(at=day.now_ns, unit="unit-1", sender="oms-7", before=day.owner.epoch, lease=42)
    day.owner = owner_of(taken, n)
    routed = [day.play(line) for line in ("handed submit buy 2 @50", "handed route PAPER_A")]
    held, released = e.ShardHeld(at=day.now_ns, unit="unit-1"), e.ShardReleased(at=day.now_ns, unit="unit-1", to="unit-0")
    return [(taken,), *routed, (held,), (released,)]
