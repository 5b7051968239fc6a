"""Scenes of parents for a golden journal: every event, every field, made by the real rules."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from domain.groups.parent import child_terms, decide, follows, unwanted
from domain.instruments import Denial
from domain.order import algo as a
from domain.order import algo_commands as ac
from domain.order import commands as c
from domain.order import events as e
from domain.order.decider import decide as decide_order
from domain.order.order import Order, evolve
from domain.order.parent_fold import Parents
from domain.values import Side, TimeInForce
from tests import given

ACCOUNT: Final = "paul"
KEY: Final = "PKPAUL22222222222222"
QUOTE: Final = e.Candidate("PAPER_A", Decimal("49.9"), Decimal("50.1"), Decimal(3), quote_seq=7)
WORKED: Final = a.AlgoParams(
    seed=7,
    interval_sec=Decimal("2.5"),
    child=a.ChildPlace.FAR,
    offset_ticks=-2,
    child_life_sec=Decimal(2),
    child_quantity_min=Decimal("0.5"),
    child_quantity_max=Decimal(4),
    participation_max_pct=Decimal(20),
    variance_pct=Decimal(10),
    jitter_pct=Decimal(5),
    catch_up=a.CatchUp.NEXT,
    on_end=a.OnEnd.COMPLETE,
    pause_on=a.PauseOn(spread_bps_max=Decimal(30), away_from_arrival_bps_max=Decimal(200)),
)
SHOWN: Final = a.AlgoParams(seed=9, display_quantity=Decimal(2), display_variance_pct=Decimal(15))


class ParentScenes:
    """Parents and their children, and the commits that they made."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.parents, self.orders = Parents(), dict[str, Order]()
        self.commits: list[tuple[e.OrderEvent, ...]] = []
        self.algo_id = ""
        self._reports = 0

    @property
    def parent(self) -> a.Parent:
        return self.parents.by_id[self.algo_id]

    def submit(self, name: str, strategy: a.Strategy, params: a.AlgoParams, denial: Denial | None = None, **more: Any) -> None:
        """A parent for 10 at a limit of 51, until a minute from now."""
        self.algo_id = a.algo_id_of(ACCOUNT, name)
        more = {"limit_price": Decimal(51), "end_at": self.now + 60 * given.SECOND, **more}
        terms = a.AlgoTerms(
            algo_id=self.algo_id,
            account=ACCOUNT,
            client_algo_id=name,
            symbol=given.SYMBOL,
            side=Side.BUY,
            quantity=Decimal(10),
            strategy=strategy,
            params=params,
            **more,
        )
        decision = msgspec.structs.replace(given.approved(self.algo_id), reference=Decimal(51), denial=denial)
        self.do(ac.SubmitAlgo(order_id=self.algo_id, by=KEY, terms=terms, decision=decision, arrival=QUOTE))

    def do(self, command: c.AlgoCommand | c.OrderCommand) -> None:
        """One commit: what the command becomes, and what follows."""
        self.now += given.SECOND
        events: list[e.OrderEvent] = []
        if isinstance(command, c.AlgoCommand):
            decided = decide(self.parents.by_id.get(self.algo_id), command, self.now, slices_max=100)
            assert decided.refused is None, decided.refused
            events += self._applied(*decided.events)
            for order in decided.orders:
                events += self._ordered(order)
        else:
            events += self._ordered(command)
        while own := follows(self.parent, self.now, refusals_max=5).events:
            events += self._applied(*own)
        for cancel in list(unwanted(self.parent, [order for order in self.orders.values() if order.group_id == self.algo_id])):
            events += self._ordered(cancel)
        while own := follows(self.parent, self.now, refusals_max=5).events:
            events += self._applied(*own)
        self.commits.append(tuple(events))

    def _applied(self, *events: e.OrderEvent) -> tuple[e.OrderEvent, ...]:
        for event in events:
            self.parents.apply(event)
        return events

    def _ordered(self, command: c.OrderCommand) -> tuple[e.OrderEvent, ...]:
        events = decide_order(self.orders.get(command.order_id), command, self.now)
        for event in events:
            self.orders[command.order_id] = evolve(self.orders.get(command.order_id), event)
        return self._applied(*events)

    def slice(self, quantity: str, reason: str = "") -> None:
        parent = self.parent
        inputs = a.SliceInputs(
            at=self.now,
            quote=QUOTE,
            displayed=Decimal(12),
            cum_quantity=parent.cum_quantity,
            working_quantity=parent.working_quantity,
            doubtful_quantity=parent.doubtful_quantity,
            lot=Decimal("0.00001"),
            tick=Decimal("0.01"),
            notional_min=Decimal(5),
        )
        command = ac.SpawnChild(
            order_id=self.algo_id,
            version=parent.version,
            n=parent.slices + 1,
            due_at=self.now,
            inputs=inputs,
            target=Decimal(5),
            quantity=Decimal(quantity),
            price=Decimal(50) if Decimal(quantity) else None,
            reason=reason,
        )
        terms = child_terms(parent, command)
        if terms is not None:
            decision = msgspec.structs.replace(given.approved(terms.order_id), reference=terms.price)
            command = msgspec.structs.replace(command, decision=decision)
        self.do(command)

    def rest(self) -> None:
        order = self._child()
        leg = e.Leg(f"{order.order_id}-1", "PAPER_A", order.leaves_quantity)
        self.do(c.RouteOrder(order_id=order.order_id, legs=(leg,), policy="best_price"))
        self.report("accepted", venue_order_id=f"V{self._reports}")

    def report(self, kind: str, **more: str) -> None:
        order = self._child()
        self._reports += 1
        asked = given.report(kind, route_id=f"{order.order_id}-1", report_seq=1000 + self._reports, **more)
        self.do(msgspec.structs.replace(asked, order_id=order.order_id, account=ACCOUNT, side=order.side))

    def doubt(self) -> None:
        order = self._child()
        self.do(c.DoubtRoute(order_id=order.order_id, route_id=f"{order.order_id}-1", reason="disconnected", anyway=True))

    def _child(self) -> Order:
        """The newest child that may trade."""
        return next(order for order in reversed(self.orders.values()) if order.group_id == self.algo_id and not order.closed)


def parent_commits(now: int) -> list[tuple[e.OrderEvent, ...]]:
    """A twap that is paused, changed and cancelled with a child in doubt, an iceberg for the day that trades, and one that is rejected."""
    scenes = ParentScenes(now)
    scenes.submit("twap", a.Strategy.TWAP, WORKED, start_at=scenes.now + 3 * given.SECOND)
    scenes.now += 3 * given.SECOND
    scenes.slice("0", "spread")
    scenes.slice("2")
    scenes.rest()
    scenes.slice("0", "too_small")
    scenes.report("fill", exec_id="T1", quantity="1.5", price="50", fee="0.01")
    scenes.do(ac.PauseAlgo(order_id=scenes.algo_id, by=KEY, source="client", reason="lunch", keeps_child=True))
    scenes.do(ac.ResumeAlgo(order_id=scenes.algo_id, by=KEY, source="client", reason="back"))
    decision = msgspec.structs.replace(given.approved("amend-1"), reference=Decimal(51))
    parent = scenes.parent
    scenes.do(
        ac.AmendAlgo(
            order_id=scenes.algo_id,
            by=KEY,
            quantity=Decimal(12),
            limit_price=Decimal(51),
            end_at=parent.end_at,
            params=parent.params,
            decision=decision,
        )
    )
    scenes.doubt()
    scenes.slice("3")
    scenes.do(ac.CancelAlgo(order_id=scenes.algo_id, by=KEY))
    scenes.report("cancelled", reason="requested")
    scenes.submit("berg", a.Strategy.ICEBERG, SHOWN, time_in_force=TimeInForce.DAY, seeded=True)
    scenes.slice("2")
    scenes.rest()
    scenes.report("fill", exec_id="B1", quantity="2", price="50", fee="0.01")
    scenes.slice("8")
    scenes.rest()
    scenes.report("fill", exec_id="B2", quantity="8", price="50", fee="0.04")
    scenes.submit("none", a.Strategy.TWAP, WORKED, Denial("position_limit", "1500", "1000", "USD"))
    return scenes.commits
