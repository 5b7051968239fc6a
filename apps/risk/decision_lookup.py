"""`GET /risk/decisions/{order_id}`: the decisions on an order of any age, read from its timeline in oms."""

import ssl
from typing import Annotated, Any, Final

import httpx
import msgspec
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from adapters.codec import decoder
from apps.http.app import Exact, Refusal
from apps.http.caller import caller_of
from apps.http.passed_on import credentials_in, good_from_here
from apps.http.tls import needed_for
from domain.access.keys import KeyRing
from domain.access.scopes import LOCAL
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
"""Events that may carry a decision, and whether it is an approval."""
NUMBERS: Final = ("found", "limit", "unit")

OrderId = Annotated[str, Path(pattern=f"^{IDENTIFIER.pattern}$")]
View = dict[str, Any]


class Timeline(msgspec.Struct):
    events: list[View]


_TIMELINE: Final = decoder(Timeline)


class Decisions:
    """Reads the decisions on an order from oms over HTTP."""

    def __init__(self, oms: httpx.AsyncClient, keys: KeyRing) -> None:
        self._oms = oms
        self._keys = keys

    @classmethod
    def at(cls, oms_url: str, keys: KeyRing, verify: ssl.SSLContext | bool = True) -> "Decisions":
        """Return an instance for this URL. It connects on the first request; `verify` checks the certificate if the URL is https."""
        return cls(httpx.AsyncClient(base_url=oms_url, timeout=ASK_TIMEOUT_S, trust_env=False, verify=needed_for(oms_url, verify)), keys)

    def router(self) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/risk/decisions/{order_id}", self._show, methods=["GET"], summary="The risk decisions on an order, and why")
        return router

    async def close(self) -> None:
        await self._oms.aclose()

    async def _show(self, order_id: OrderId, request: Request) -> Response:
        """Return the decision on the order itself, and under `replaces` those on its replaces. oms judges the caller again."""
        shown = credentials_in(request.headers.raw)
        caller = caller_of(request.scope)
        if not shown and caller.key_id != LOCAL:
            raise _no_scope()  # in open mode oms would take the request for one of a program without a key
        if not good_from_here(self._keys, caller.key_id, self._oms.base_url.host):
            raise _no_scope()  # oms would count failures of this address, and then refuse everyone here
        found = [decision_of(event) for event in await self._timeline(order_id, shown) if _was_decided(event)]
        if not found:
            raise Refusal(NOT_FOUND, "decision_not_found", "no decision on this order")
        return Exact({"order_id": order_id, **found[0], "replaces": found[1:]})

    async def _timeline(self, order_id: str, shown: dict[str, str]) -> list[View]:
        try:
            answer = await self._oms.get(f"/orders/{order_id}/events", headers=shown)
            if answer.status_code == NOT_FOUND:
                raise Refusal(NOT_FOUND, "order_not_found", f"unknown order {order_id!r}")
            if answer.status_code in (401, 403):
                raise _no_scope()
            if answer.status_code != OK:
                raise _away(f"oms returned {answer.status_code}")
            found: Timeline = _TIMELINE.decode(answer.content)
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise _away(f"oms is not reachable: {str(error) or type(error).__name__}") from error
        return found.events


def _no_scope() -> Refusal:
    detail = "decisions are read from oms, with the same key: it needs the scope read, no limit to networks, and a secret"
    return Refusal(403, "scope_missing", detail, needs="read")


def _away(why: str) -> Refusal:
    return Refusal(503, "decisions_unavailable", why, headers={"retry-after": "1"})


def _was_decided(event: View) -> bool:
    """Return whether the event carries a decision: not a rejection by a venue or router, but also oms's denial for a missing reply."""
    return event.get("type") in DECIDED and "limits_version" in event


def decision_of(event: View) -> View:
    """Extract the fields of a timeline event that describe the decision."""
    view: View = {"approved": DECIDED[event["type"]]}
    if not view["approved"]:
        detail = {name: event[name] for name in NUMBERS if name in event}
        view |= {"reason": event.get("reason"), "source": event.get("source"), **({"detail": detail} if detail else {})}
    kept = ("limits_version", "reference", "checks", "prices", "closes_to", "replace_id", "at", "seq")
    return view | {"checks": []} | {name: event[name] for name in kept if name in event}
