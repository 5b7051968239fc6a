"""Views of parents in responses."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from apps.http.order_view import View, event_view
from apps.oms.algos import AlgoResult
from domain.groups.schedule import next_due, target
from domain.narrative import OwnerOf, no_owner
from domain.order.algo import LIVE, AlgoSliced, AnyAlgoEvent, Parent, Strategy, slices_between, slices_total
from domain.order.events import OrderEvent
from domain.order.legs import Candidate
from domain.order.order import Order
from domain.values import ZERO, average, rfc3339

HALF: Final = Decimal("0.5")
TIMES: Final = ("at", "due_at", "start_at", "end_at")
"""Fields of events of parents that are times."""


def result_view(result: AlgoResult) -> View:
    """Build the answer to a submit: the first one, whatever became of the parent since."""
    parent = result.parent
    view: dict[str, Any] = {
        "status": "submitted" if parent.denial is None else "rejected",
        "algo_id": parent.algo_id,
        "client_algo_id": parent.client_algo_id,
    }
    if parent.denial is None:
        view |= {"seed": parent.asked.params.seed, "slices": _first_slices(parent)}
    else:
        numbers = {name: value for name in ("found", "limit", "unit") if (value := getattr(parent.denial, name)) is not None}
        view |= {"reason": parent.denial.code, **({"detail": numbers} if numbers else {})}
    view["seq"] = result.seq
    return view | ({"replayed": True} if result.replayed else {})


def _first_slices(parent: Parent) -> int | None:
    """Return how many slices the parent had at first, before any change; None of an iceberg."""
    asked = parent.asked
    if asked.end_at is None or asked.strategy is Strategy.ICEBERG:
        return None
    return slices_between(max(asked.start_at or 0, parent.created_at), asked.end_at, asked.params)


def algo_view(parent: Parent, now: int, lot: Decimal) -> View:
    """Build a parent as it is. `now`: ns UTC; `lot`: of its symbol."""
    live = parent.state in LIVE
    goal = target(parent, now, lot) if live else None
    following = next_due(parent) if live else None
    committed = parent.cum_quantity + parent.working_quantity + parent.doubtful_quantity
    return {
        "algo_id": parent.algo_id,
        "client_algo_id": parent.client_algo_id,
        "account": parent.account,
        "symbol": parent.symbol,
        "side": parent.side,
        "strategy": parent.strategy,
        "status": parent.state,
        "reason": parent.reason,
        "quantity": parent.quantity,
        "limit_price": parent.limit_price,
        "start_at": rfc3339(parent.start_at),
        "end_at": None if parent.end_at is None else rfc3339(parent.end_at),
        "cum_quantity": parent.cum_quantity,
        "leaves_quantity": ZERO if parent.closed else parent.leaves_quantity,
        "working_quantity": parent.working_quantity,
        "doubtful_quantity": parent.doubtful_quantity,
        "average_price": average(parent.notional, parent.cum_quantity) if parent.cum_quantity else None,
        "fees": parent.fees,
        "arrival_price": arrival_price(parent),
        "target_quantity": goal,
        "behind_quantity": None if goal is None else max(goal - committed, ZERO),
        "slices_done": parent.slices,
        "slices_total": slices_total(parent),
        "next_at": None if following is None else rfc3339(following),
        "children": parent.children,
        "refusals": parent.refusals,
        "alert": parent.alert,
        "flags": parent.flags,
        "params": parent.params,
        "created_at": rfc3339(parent.created_at),
        "updated_at": rfc3339(parent.updated_at),
        "version": parent.version,
        "seq": parent.seen,
    }


def arrival_price(parent: Parent) -> Decimal | None:
    """Return the mid at the submit; None if nothing was quoted then."""
    quote = parent.arrival
    return None if quote is None or quote.bid is None or quote.ask is None else (quote.bid + quote.ask) * HALF


def slice_view(event: AlgoSliced, seq: int, child: Order | None) -> View:
    """Build one slice with what became of its child."""
    inputs = event.inputs
    return {
        "n": event.n,
        "due_at": rfc3339(event.due_at),
        "at": rfc3339(event.at),
        "target": event.target,
        "quantity": event.quantity,
        "reason": event.reason or None,
        "inputs": {
            "at": rfc3339(inputs.at),
            "quote": None if inputs.quote is None else quote_view(inputs.quote),
            "displayed": inputs.displayed,
            "cum_quantity": inputs.cum_quantity,
            "working_quantity": inputs.working_quantity,
            "doubtful_quantity": inputs.doubtful_quantity,
        },
        "order_id": event.child or None,
        "price": None if child is None else child.price,
        "status": None if child is None else child.status,
        "cum_quantity": ZERO if child is None else child.cum_quantity,
        "average_price": average(child.notional, child.cum_quantity) if child is not None and child.cum_quantity else None,
        "seq": seq,
    }


def quote_view(quote: Candidate) -> View:
    return {"venue": quote.venue, "bid": quote.bid, "ask": quote.ask, "size": quote.size, "quote_seq": quote.quote_seq}


def algo_event_view(event: OrderEvent, seq: int, owner_of: OwnerOf = no_owner) -> View:
    """Build one line of a parent's story: an event of its own, or of a child."""
    view = event_view(event, seq, owner_of)
    if not isinstance(event, AnyAlgoEvent):
        return {"order_id": event.order_id} | view
    del view["status"]  # an order's; the parent's is `state`
    for name in ("terms", "inputs"):
        if name in view:
            view[name] = _timed(msgspec.structs.asdict(view[name]))
    return _timed(view)


def _timed(view: View) -> View:
    """Return a view whose times are text."""
    return {name: rfc3339(value) if name in TIMES and isinstance(value, int) else value for name, value in view.items()}
