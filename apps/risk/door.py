"""risk over HTTP: `POST /check` raw for speed, the rest through FastAPI."""

import time
import unicodedata
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from apps.http import Exact, Refusal, encode, read_body, send_json
from apps.risk.blocks import Blocks
from apps.risk.body import malformed, read_object, read_order
from apps.risk.desk import Desk
from apps.risk.measures import Measures
from apps.risk.views import decision_view, limits_view, portfolio_view
from domain.controls import ControlEvent, SymbolBlocked, SymbolUnblocked
from domain.ports import Clock, Unavailable
from domain.risk.engine import Risk
from domain.values import IDENTIFIER, rfc3339

APPROVED: Final = b'{"approved":true}'
REASON_MAX: Final = 200
PORTFOLIOS_MAX: Final = 1000
WHO: Final = "operator"

AccountQuery = Annotated[str | None, Query(pattern=f"^{IDENTIFIER.pattern}$")]

_NUMBER_SCHEMA: Final = {"anyOf": [{"type": "number"}, {"type": "string"}], "description": "a JSON number or decimal string, read exactly"}
CHECK_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["account", "symbol", "side", "quantity"],
    "additionalProperties": False,
    "properties": {
        "account": {"type": "string"},
        "symbol": {"type": "string"},
        "side": {"enum": ["buy", "sell"]},
        "quantity": _NUMBER_SCHEMA,
        "price": _NUMBER_SCHEMA,
        "type": {"enum": ["market", "limit", "stop", "stop_limit"], "description": "limit when a price is given, else market"},
        "stop_price": _NUMBER_SCHEMA,
        "order_id": {"type": "string", "description": "with it the check reserves; without it, it is dry"},
    },
}


class Door:
    """Each route is one method. Refusals travel as exceptions; the chassis renders them."""

    def __init__(self, risk: Risk, desk: Desk, blocks: Blocks, measures: Measures, clock: Clock) -> None:
        self._risk = risk
        self._desk = desk
        self._blocks = blocks
        self._measures = measures
        self._clock = clock

    def answer(self, body: bytes, explain: bool) -> bytes:
        """What `POST /check` says. Refusal 400 or 422 when the body is no order."""
        began = time.perf_counter_ns()
        terms = read_order(body, self._risk.instruments)
        decision = self._desk.decide(terms)
        answer = APPROVED if decision.denial is None and not explain else encode(decision_view(decision, explain))
        self._measures.took("http", time.perf_counter_ns() - began, terms.order_id)
        return answer

    async def check(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The raw handler. Its twin in `router` answers the same and is what /docs shows."""
        explain = parse_qs(scope["query_string"].decode("latin-1")).get("explain", ["0"])[-1] == "1" if scope["query_string"] else False
        await send_json(send, 200, self.answer(await read_body(receive), explain))

    def router(self) -> APIRouter:
        router = APIRouter()
        body = {"requestBody": {"required": True, "content": {"application/json": {"schema": CHECK_SCHEMA}}}}
        router.add_api_route("/check", self._check_twin, methods=["POST"], openapi_extra=body, summary="May this order pass?")
        router.add_api_route("/risk/portfolio", self._portfolio, methods=["GET"], summary="What accounts have at stake")
        router.add_api_route("/risk/limits", self._limits, methods=["GET"], summary="The limits in force, and blocked symbols")
        router.add_api_route("/risk/symbols/{symbol:path}/block", self._block, methods=["POST"], summary="Refuse orders in a symbol")
        router.add_api_route("/risk/symbols/{symbol:path}/unblock", self._unblock, methods=["POST"], summary="Let them pass again")
        return router

    async def _check_twin(self, request: Request, explain: int = 0) -> Response:
        return Response(self.answer(await request.body(), explain == 1), media_type="application/json")

    async def _portfolio(
        self,
        account: AccountQuery = None,
        limit: Annotated[int, Query(ge=1, le=PORTFOLIOS_MAX)] = PORTFOLIOS_MAX,
        cursor: AccountQuery = None,
    ) -> Response:
        exposure = self._risk.exposure
        if account is not None:
            return Exact(portfolio_view(self._risk, exposure.look(account)))
        names = [name for name in sorted(exposure.accounts) if cursor is None or name > cursor]
        views = [portfolio_view(self._risk, exposure.look(name)) for name in names[:limit]]
        return Exact({"accounts": views, "next": names[limit - 1] if len(names) > limit else None})

    async def _limits(self, account: AccountQuery = None) -> Response:
        return Exact(limits_view(self._risk, account))

    async def _block(self, symbol: str, request: Request) -> Response:
        return await self._change(SymbolBlocked, symbol, await request.body())

    async def _unblock(self, symbol: str, request: Request) -> Response:
        return await self._change(SymbolUnblocked, symbol, await request.body())

    async def _change(self, kind: type[SymbolBlocked | SymbolUnblocked], symbol: str, body: bytes) -> Response:
        fields = read_object(body, ("reason", "who"))
        reason, who = _reason(fields.get("reason")), _who(fields.get("who"))
        if symbol not in self._risk.instruments:
            raise Refusal(422, "unknown_symbol", "there is no such instrument")

        at = self._clock.now_ns()

        def event(version: int) -> ControlEvent:
            return kind(version=version, at=at, who=who, reason=reason, symbol=symbol)

        try:
            stored = await self._blocks.record(event)
        except Unavailable as trouble:
            outcome = "unknown" if trouble.unknown else "not_accepted"
            raise Refusal(503, "unavailable", str(trouble), outcome=outcome, headers={"retry-after": "1"}) from trouble
        blocked = self._risk.controls.blocked(symbol)
        return Exact({"symbol": symbol, "blocked": blocked, "reason": reason, "who": who, "at": rfc3339(at), "seq": stored.seq})


def _reason(found: object) -> str:
    if type(found) is not str or not found.strip():
        raise malformed("reason is missing: say why, it is kept for ever", "/reason")
    text = unicodedata.normalize("NFC", found.strip())
    if len(text) > REASON_MAX or not text.isprintable():
        raise malformed(f"reason may have {REASON_MAX} printable characters at most", "/reason")
    return text


def _who(found: object) -> str:
    if found is None:
        return WHO
    if type(found) is not str or not IDENTIFIER.fullmatch(found):
        raise malformed("who must be 1 to 64 of the characters A-Z a-z 0-9 _ -", "/who")
    return found
