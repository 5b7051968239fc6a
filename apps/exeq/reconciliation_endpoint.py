"""`/reconciliation`: the last comparison of the venues with the journal: when, what differed, what was repaired; and to compare now."""

from itertools import islice
from typing import Any, Final

from fastapi import APIRouter, Response

from apps.exeq.reconciliation import LastPass, MissedPass, VenuePass, VenueReconciliation
from apps.http.app import Exact
from apps.http.problem import Refusal
from domain.execution.reconciliation import OrderDifference
from domain.values import rfc3339

DIFFERENCES_SHOWN_MAX: Final = 500
"""Differences in one answer, of all venues together. Those that are left come before those that were repaired."""
REASON_MAX: Final = 500
"""Characters of the reason of a pass that could not be made."""

View = dict[str, Any]
RECONCILIATION_DOC: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": f"`last_pass` is null before the first one. At most {DIFFERENCES_SHOWN_MAX} differences are listed."}
}

START_DOC: Final[dict[int | str, dict[str, Any]]] = {
    202: {"description": "The comparison begins. `GET /reconciliation` says `running` until it has ended, and then what it found."},
    409: {"description": "`reconciliation_running` while one runs; `no_venue_to_compare` if no venue reports its orders."},
}


def router(reconciliation: VenueReconciliation) -> APIRouter:
    routes = APIRouter()

    @routes.get("/reconciliation", summary="The last comparison of the venues with the journal", responses=RECONCILIATION_DOC)
    async def show_reconciliation() -> Response:
        """Return what the last pass found and repaired, by venue, and the last pass that could not be made."""
        return Exact(reconciliation_view(reconciliation))

    @routes.post("/reconciliation", summary="Compare the venues with the journal now", status_code=202, responses=START_DOC)
    async def start_reconciliation() -> Response:
        """Start a pass, which repairs what can be repaired. Only one pass runs at a time."""
        if not reconciliation.venues:
            raise Refusal(409, "no_venue_to_compare", "no venue of this catalogue reports its orders and trades")
        if not reconciliation.start():
            raise Refusal(409, "reconciliation_running", "the venues are being compared; read the result when it has ended")
        return Exact(reconciliation_view(reconciliation), status_code=202)

    return routes


def reconciliation_view(reconciliation: VenueReconciliation) -> View:
    last, missed = reconciliation.last, reconciliation.missed
    return {
        "last_pass": None if last is None else _pass(last, reconciliation.not_compared(last.venues)),
        "last_failure": None if missed is None else _failure(missed),
        "passes": reconciliation.passes,
        "failed": reconciliation.failed,
        "running": reconciliation.running,
        "began_at": None if reconciliation.began is None else rfc3339(reconciliation.began),
    }


def _pass(last: LastPass, not_compared: list[str]) -> View:
    """Build one pass. A venue that gave no result, or not for every shard, is in `not_compared`."""
    listed, venues = DIFFERENCES_SHOWN_MAX, []
    for each in last.venues:
        view = _venue(each, listed)
        listed -= len(view["differences"])
        venues.append(view)
    return {"began_at": rfc3339(last.began), "at": rfc3339(last.ended), "venues": venues, "not_compared": not_compared}


def _venue(done: VenuePass, listed_max: int) -> View:
    """Build one venue. `left` are the differences that remain; new ones may have come up while others were repaired."""
    left = {difference.key for difference in done.left}
    repaired = [difference for difference in done.found if difference.key not in left]
    listed = [*((each, "left") for each in done.left), *((each, "repaired") for each in repaired)]
    return {
        "venue": done.venue,
        **({} if done.shard is None else {"shard": done.shard}),
        "as_of_seq": done.as_of_seq,
        "read_from_seq": done.read_from,
        "orders": done.orders,
        "trades": done.trades,
        "repaired": len(repaired),
        "left": len(done.left),
        "differences": [_difference(*each) for each in islice(listed, listed_max)],
        "truncated": len(listed) > listed_max,
    }


def _difference(difference: OrderDifference, outcome: str) -> View:
    return {
        "outcome": outcome,
        "what": difference.what,
        "account": difference.account,
        "symbol": difference.symbol,
        "order_id": difference.order_id or None,
        "about": difference.about or None,
        "ours": difference.ours,
        "theirs": difference.theirs,
        "repair": _repair(difference),
    }


def _repair(difference: OrderDifference) -> str | None:
    """Return what was sent to repair it: a report that oms books, `in_doubt`, or `cancel` to the venue; None if nothing is sent."""
    if difference.repair is not None:
        return str(difference.repair.report)
    if difference.doubt is not None:
        return "in_doubt"
    return None if difference.cancel is None else "cancel"


def _failure(missed: MissedPass) -> View:
    return {"at": rfc3339(missed.at), "reason": missed.reason[:REASON_MAX]}
