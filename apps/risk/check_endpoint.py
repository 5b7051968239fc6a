"""HTTP endpoints of risk: `POST /check` in raw ASGI for speed, the others through FastAPI."""

import time
from typing import Annotated, Final, Literal, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from apps.http.app import Exact, encode, read_body, send_json
from apps.http.caller import Caller, account_not_found, account_not_yours, caller_of, scope_missing
from apps.http.query import read_query, refused, word_asked
from apps.http.route_scopes import RISK
from apps.risk.check_body import CHECK_SCHEMA, read_order
from apps.risk.engines import Checks, RiskEngines
from apps.risk.metrics import RiskMetrics
from apps.risk.sight import sees
from apps.risk.time_slice import ACCOUNT_WEIGHT, TimeSlice
from apps.risk.views import View, check_view, decision_view, portfolio_view
from domain.access.scopes import EVERY_ACCOUNT
from domain.execution.order_rules import OrderRules
from domain.order.commands import Terms
from domain.ports import Clock
from domain.values import IDENTIFIER

APPROVED: Final = b'{"approved":true}'
PORTFOLIOS_MAX: Final = 1000
Explain = Literal["0", "1", "all"]
EXPLAIN: Final = get_args(Explain)
ExplainQuery = Annotated[
    Explain,
    Query(description="1: the checks up to the first denial. all: every enabled check with its outcome; only without an order_id."),
]
AccountQuery = Annotated[str | None, Query(pattern=f"^{IDENTIFIER.pattern}$")]


class CheckEndpoint:
    """The check and portfolio routes, one method each. Refusals are raised; the chassis renders them."""

    def __init__(self, engines: RiskEngines, check_service: Checks, measures: RiskMetrics, rules: OrderRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._engines = engines
        self._check_service = check_service
        self._measures = measures

    def answer(self, body: bytes, explain: str, caller: Caller) -> bytes:
        """Return the response body of `POST /check`. Refusal 400, 403 or 422 when the body is not a valid order of this caller."""
        began = time.perf_counter_ns()
        own = "" if caller.account == EVERY_ACCOUNT else caller.account
        terms, entry = read_order(body, self._rules, own, self._clock.now_ns())
        if not sees(caller, terms.account):
            raise account_not_yours()
        if terms.order_id and not caller.mask & RISK:
            raise scope_missing(RISK)  # it reserves, and an order_id is not bound to an account: another account's order would be denied
        if explain == "all" and terms.order_id:
            raise refused("explain", "explain=all is a dry check: leave out the order_id")
        answer = self._explained(terms, entry) if explain == "all" else self._decided(terms, entry, explain == "1")
        self._measures.took("http", time.perf_counter_ns() - began, terms.order_id)
        return answer

    def _decided(self, terms: Terms, entry: Terms | None, explain: bool) -> bytes:
        decision = self._check_service.decide(terms) if entry is None else self._check_service.explain(terms, entry)[0]
        return APPROVED if decision.denial is None and not explain else encode(decision_view(decision, explain))

    def _explained(self, terms: Terms, entry: Terms | None) -> bytes:
        decision, checks = self._check_service.explain(terms, entry)
        return encode(decision_view(decision, explain=True) | {"checks": [check_view(check) for check in checks]})

    async def check(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve `POST /check` in raw ASGI. The route in `router` returns the same and documents it in /docs."""
        explain = "0"
        if query := scope["query_string"]:
            explain = word_asked(read_query(query, ("explain",)), "explain", EXPLAIN) or explain
        await send_json(send, 200, self.answer(await read_body(receive), explain, caller_of(scope)))

    def router(self) -> APIRouter:
        router = APIRouter()
        body = {"requestBody": {"required": True, "content": {"application/json": {"schema": CHECK_SCHEMA}}}}
        router.add_api_route("/check", self._check_twin, methods=["POST"], openapi_extra=body, summary="Check an order")
        router.add_api_route("/risk/portfolio", self._portfolio, methods=["GET"], summary="Portfolios of accounts")
        return router

    async def _check_twin(self, request: Request, explain: ExplainQuery = "0") -> Response:
        return Response(self.answer(await request.body(), explain, caller_of(request.scope)), media_type="application/json")

    async def _portfolio(
        self,
        request: Request,
        account: AccountQuery = None,
        limit: Annotated[int, Query(ge=1, le=PORTFOLIOS_MAX)] = PORTFOLIOS_MAX,
        cursor: AccountQuery = None,
    ) -> Response:
        caller = caller_of(request.scope)
        if account is not None and not sees(caller, account):
            raise account_not_found()
        if account is not None:
            return Exact(self._viewed(account)[0])
        names = [name for name in sorted(self._engines.accounts()) if (cursor is None or name > cursor) and sees(caller, name)]
        views, pacing = [], TimeSlice()
        for name in names[:limit]:
            view, holdings = self._viewed(name)
            views.append(view)
            await pacing.after(ACCOUNT_WEIGHT + holdings)
        return Exact({"accounts": views, "next": names[limit - 1] if len(names) > limit else None})

    def _viewed(self, name: str) -> tuple[View, int]:
        """Return the portfolio of an account, and how many holdings it has."""
        engine = self._engines.of(name)
        account = engine.exposure.look(name)
        return portfolio_view(engine, account) | self._engines.shards.field(name), len(account.holdings)
