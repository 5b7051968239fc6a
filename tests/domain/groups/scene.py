"""Scenes of lists in text: what happens to a member, line by line, and below it how all members stand.

    bracket buy 10 @50 take_profit @60 stop_loss 40
    = entry queued 10, take_profit risk_checked 10, stop_loss risk_checked 10
    rest entry
    fill entry 3
    = entry partially_filled 7, take_profit queued 3, stop_loss queued 3
    flags none

`rest X` routes a member to a venue and lets the venue acknowledge it. The members of a line are those whose order is the last of its slot,
with its status and what is left to trade. `patch X 6` and `patch X @55` are a client's replaces; `correct X 1 4` makes the first trade one
of 4. `cancelled X`, `replaced X`, `refused X` (of a resize), `kept X` (of a cancel) are the venue's
answers; `trigger X` is the market at the stop.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from domain.groups.contingency import Rules, follow, waits_for
from domain.groups.status import flags_of, status_of
from domain.order import commands as c
from domain.order import events as e
from domain.order import group as g
from domain.order.decider import decide
from domain.order.order import Order, evolve
from domain.values import ZERO, OrderType, Side, opposite, order_id_of, plain
from tests import given

LOT, NOTIONAL_MIN = Decimal("0.5"), Decimal(10)


def _large_enough(order: Order, quantity: Decimal) -> bool:
    return quantity * (order.price or order.stop_price or Decimal(1)) >= NOTIONAL_MIN


def terms(
    role: str,
    quantity: Decimal,
    side: Side,
    price: str | None = None,
    stop: str | None = None,
    *,
    strict: bool = False,
    account: str = given.ACCOUNT,
) -> c.Terms:
    kinds = {(True, False): OrderType.LIMIT, (False, True): OrderType.STOP, (True, True): OrderType.STOP_LIMIT}
    return c.Terms(
        order_id=order_id_of(account, role),
        account=account,
        client_order_id=role,
        symbol=given.SYMBOL,
        side=side,
        order_type=kinds.get((price is not None, stop is not None), OrderType.MARKET),
        quantity=quantity,
        price=None if price is None else Decimal(price),
        stop_price=None if stop is None else Decimal(stop),
        group_id="L",
        role=role.rstrip("0123456789"),
        exclusive=strict and stop is not None,
    )


class ListScene:
    """A list, its orders, its clock, and every commit that it made."""

    def __init__(
        self, kind: str, legs: Sequence[c.Terms], *, now: int = given.NOW, by: str = "", rejected: bool = False, **options: object
    ) -> None:
        self.orders: dict[str, Order] = {}
        self.now = now
        self.seq = 0
        self.commits: list[tuple[e.OrderEvent, ...]] = []
        self.forbidden = False
        self._open: list[e.OrderEvent] = []
        self.rules = Rules(lambda symbol, quantity: quantity - quantity % LOT, _large_enough, lambda order: self.forbidden)
        self.lead = legs[0].order_id
        for leg in legs:
            decision = given.denied("list_rejected", leg.order_id) if rejected else given.approved(leg.order_id)
            decision = msgspec.structs.replace(decision, reference=leg.price or leg.stop_price)
            self._perform(c.SubmitOrder(order_id=leg.order_id, by=by, terms=leg, decision=decision))
        asked = c.ListTerms(list_id="L", account=legs[0].account, client_list_id="l-1", kind=g.ListType(kind), **options)  # type: ignore[arg-type]
        self._perform(c.RecordList(order_id=self.lead, by=by, list=asked, members=tuple(leg.order_id for leg in legs), rejected=rejected))
        self._commit()

    @property
    def group(self) -> g.OrderGroup:
        group = self.orders[self.lead].group
        assert group is not None
        return group

    def _perform(self, command: c.OrderCommand) -> Sequence[e.OrderEvent]:
        order = self.orders.get(command.order_id)
        events = [event for event in decide(order, command, self.now) if not isinstance(event, e.TransitionRefused)]
        for event in events:
            order = self.orders[command.order_id] = evolve(order, event)
        self._open += events
        return events

    def _commit(self) -> None:
        self.commits.append(tuple(self._open))
        self._open = []

    def do(self, command: c.OrderCommand) -> None:
        """Do what the host does: decide, apply, and everything that follows, in one commit."""
        self.now += given.SECOND
        events = self._perform(command)
        if events:
            follow(self.lead, self.orders, events, self.rules, self._perform)
        self._commit()

    def look(self) -> None:
        """Apply the rules without an event, as oms does every few seconds."""
        follow(self.lead, self.orders, (), self.rules, self._perform)
        self._commit()

    # Members by name: a role, or a role with a number

    def name(self, order: Order) -> str:
        return order.client_order_id if len(order.client_order_id) < 20 else f"{order.role}+"

    def last(self, name: str) -> Order:
        """The order that fills the slot of this member now."""
        slot = next(slot for slot in self.group.slots if self.orders[slot[0]].client_order_id == name)
        return self.orders[slot[-1]]

    def report(self, order: Order, kind: str, **more: object) -> None:
        self.seq += 1
        route = order.routes[-1]
        found = c.VenueReport(
            report=c.ReportKind(kind),
            order_id=order.order_id,
            route_id=route.route_id,
            venue=route.venue,
            report_seq=self.seq,
            at=self.now,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            **more,  # type: ignore[arg-type]
        )
        self.do(found)

    def rest(self, order: Order) -> None:
        leg = e.Leg(f"{order.order_id[:8]}-{len(order.routes)}", "PAPER_A", order.leaves_quantity)
        self.do(c.RouteOrder(order_id=order.order_id, legs=(leg,), policy="best_price"))
        self.report(order, "accepted", venue_order_id=f"V{self.seq}")

    def fill(self, order: Order, quantity: Decimal) -> None:
        self.report(order, "fill", exec_id=f"X{self.seq}", quantity=quantity, price=order.price or order.stop_price or Decimal(50))

    def trigger(self, order: Order) -> None:
        waits = waits_for(self.orders[self.lead], self.orders, order)
        self.do(c.TriggerOrder(order_id=order.order_id, venue="PAPER_A", price=order.stop_price or ZERO, waits_for=waits))

    def patch(self, order: Order, words: list[str]) -> None:
        """A client's replace: a quantity, or `@` and a price."""
        price, quantity = (Decimal(words[0][1:]), None) if words[0].startswith("@") else (None, Decimal(words[0]))
        self.do(
            c.ReplaceOrder(
                order_id=order.order_id,
                replace_id=order.next_replace_id,
                quantity=quantity,
                price=price,
                decision=msgspec.structs.replace(given.approved(order.order_id), reference=price or order.price or order.stop_price),
            )
        )

    def answer_replace(self, order: Order) -> None:
        asked = order.replacing
        assert asked is not None
        self.report(order, "replaced", quantity=asked.quantity, price=asked.price, stop_price=asked.stop_price, replace_id=asked.replace_id)

    def refuse_replace(self, order: Order) -> None:
        assert order.replacing is not None
        self.report(order, "replace_rejected", reason="too_busy", replace_id=order.replacing.replace_id)

    # Lines

    def play(self, line: str) -> None:
        verb, *words = line.split()
        if verb == "=":
            self._expect(line[1:])
        elif verb == "flags":
            assert " ".join(flags_of(self.group, self.orders)) == " ".join(word for word in words if word != "none")
        elif verb == "list":
            assert [str(status_of(self.group, self.orders)), self.group.ended][: len(words)] == words
        elif verb == "cancel_list":
            self.do(c.CancelList(order_id=self.lead, by="local", exits="exits" in words))
        elif verb in ("forbid", "allow"):
            self.forbidden = verb == "forbid"
        else:
            self._member(verb, self.last(words[0]), words[1:])

    def _member(self, verb: str, order: Order, words: list[str]) -> None:
        match verb:
            case "rest":
                self.rest(order)
            case "fill":
                self.fill(order, Decimal(words[0]))
            case "cancel":
                self.do(c.CancelOrder(order_id=order.order_id))
            case "kill":
                self.do(c.CancelOrder(order_id=order.order_id, source="risk_control", reason="killed"))
            case "cancelled" | "rejected":
                self.report(order, verb, reason="asked")
            case "kept":
                self.report(order, "cancel_rejected", reason="too_late")
            case "doubt":
                self.do(c.DoubtRoute(order_id=order.order_id, route_id=order.routes[-1].route_id, reason="silent", anyway=True))
            case "confirm":
                self.do(c.ConfirmRoute(order_id=order.order_id, route_id=order.routes[-1].route_id, venue_order_id="V"))
            case "trigger":
                self.trigger(order)
            case "force":
                self.do(c.ReleaseOrder(order_id=order.order_id, forced=True))
            case "replaced":
                self.answer_replace(order)
            case "refused":
                self.refuse_replace(order)
            case "bust":
                trade = order.trades[int(words[0]) - 1]
                self.report(order, "bust", exec_id=trade.exec_id)
            case "correct":
                trade, to = order.trades[int(words[0]) - 1], {"quantity": Decimal(words[1]), "price": Decimal(50)}
                self.report(order, "correction", exec_id=f"X{self.seq}", ref_exec_id=trade.exec_id, **to)
            case "patch":
                self.patch(order, words)
            case _:
                raise ValueError(f"no such line: {verb}")

    def _expect(self, text: str) -> None:
        found = [self.orders[slot[-1]] for slot in self.group.slots]
        shown = ", ".join(
            f"{self.orders[slot[0]].client_order_id} {o.status} {plain(o.leaves_quantity)}"
            for slot, o in zip(self.group.slots, found, strict=True)
        )
        wanted = ", ".join(part.strip() for part in text.split(","))
        assert shown == wanted


def bracket(
    quantity: str = "10",
    *,
    side: Side = Side.BUY,
    strict: bool = True,
    trigger: str = "partial",
    account: str = given.ACCOUNT,
    **options: object,
) -> ListScene:
    """A bracket around 50: an entry of this quantity, a take profit at 60 and a stop at 40."""
    whole, out = Decimal(quantity), opposite(side)
    near, far = ("60", "40") if side is Side.BUY else ("40", "60")
    legs = [
        terms("entry", whole, side, "50", account=account),
        terms("take_profit", whole, out, near, account=account),
        terms("stop_loss", whole, out, stop=far, strict=strict, account=account),
    ]
    return ListScene("bracket", legs, strict=strict, trigger=g.Trigger(trigger), **options)  # type: ignore[arg-type]


def check(scene: ListScene, text: str) -> ListScene:
    """Play the lines of a scene."""
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        try:
            scene.play(line)
        except AssertionError as error:
            raise AssertionError(f"line {number}: {line}\n{error}") from error
    return scene
