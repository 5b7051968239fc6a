"""`GET /risk/decisions/{order_id}`: what was decided about an order, however long ago. The journal has it; oms knows where it stands."""

from typing import Annotated, Any, Final

import httpx
import msgspec
from fastapi import APIRouter, Path
from starlette.responses import Response

from adapters.codec import decoder
from apps.http.app import Exact, Refusal
from domain.values import IDENTIFIER

ASK_TIMEOUT_S: Final = 2.0
NOT_FOUND: Final = 404
OK: Final = 200
DECIDED: Final = {
    "OrderRiskChecked": True,
    "OrderRejected": False,
    "ReplaceRequested": True,
    "OrderReplaced": True,
    "ReplaceRefused": False,
}
"""Events that may carry a decision, and whether it was a yes."""
NUMBERS: Final = ("found", "limit", "unit")

OrderId = Annotated[str, Path(pattern=f"^{IDENTIFIER.pattern}$")]
View = dict[str, Any]


class Timeline(msgspec.Struct):
    events: list[View]


_TIMELINE: Final = decoder(Timeline)


class Decisions:
    def __init__(self, oms: httpx.AsyncClient) -> None:
        self._oms = oms

    @classmethod
    def at(cls, oms_url: str) -> "Decisions":
        """Connects when first asked."""
        return cls(httpx.AsyncClient(base_url=oms_url, timeout=ASK_TIMEOUT_S, trust_env=False))

    def router(self) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/risk/decisions/{order_id}", self._show, methods=["GET"], summary="What was decided about an order, and why")
        return router

    async def close(self) -> None:
        await self._oms.aclose()

    async def _show(self, order_id: OrderId) -> Response:
        """The decision on the order itself, and under `replaces` those on new terms of it."""
        found = [decision_of(event) for event in await self._timeline(order_id) if _was_decided(event)]
        if not found:
            raise Refusal(NOT_FOUND, "decision_not_found", "nothing was decided about this order")
        return Exact({"order_id": order_id, **found[0], "replaces": found[1:]})

    async def _timeline(self, order_id: str) -> list[View]:
        try:
            answer = await self._oms.get(f"/orders/{order_id}/events")
            if answer.status_code == NOT_FOUND:
                raise Refusal(NOT_FOUND, "order_not_found", f"there is no order {order_id!r}")
            if answer.status_code != OK:
                raise _away(f"oms answered {answer.status_code}")
            found: Timeline = _TIMELINE.decode(answer.content)
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise _away(f"oms does not answer: {str(error) or type(error).__name__}") from error
        return found.events


def _away(why: str) -> Refusal:
    return Refusal(503, "decisions_unavailable", why, headers={"retry-after": "1"})


def _was_decided(event: View) -> bool:
    """A rejection by a venue or a router is no decision of risk; one that oms wrote down for want of an answer is."""
    return event.get("type") in DECIDED and "limits_version" in event


def decision_of(event: View) -> View:
    """The parts of a timeline's event that say what was decided."""
    view: View = {"approved": DECIDED[event["type"]]}
    if not view["approved"]:
        detail = {name: event[name] for name in NUMBERS if name in event}
        view |= {"reason": event.get("reason"), "source": event.get("source"), **({"detail": detail} if detail else {})}
    kept = ("limits_version", "reference", "checks", "prices", "closes_to", "replace_id", "at", "seq")
    return view | {"checks": []} | {name: event[name] for name in kept if name in event}
