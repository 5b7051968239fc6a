"""Blocks, the kill switch and limits over HTTP: durable and in effect before the response, with who and why kept permanently."""

import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
import structlog
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from apps.connections.controls import ARMED, SIGNED, THROWN, Scopes, body_doc, kill_doc, reason_of, texts_of_kill, token_of, who_of
from apps.http.app import Exact, Refusal
from apps.http.body import read_object
from apps.http.caller import account_not_found, caller_of, scope_missing
from apps.http.query import refused
from apps.http.route_scopes import RISK
from apps.risk.control_acks import ControlAcks
from apps.risk.control_log import ControlLog
from apps.risk.engines import RiskEngines
from apps.risk.limits_body import DOCUMENTED, AskedLimits, read_limits
from apps.risk.limits_body import FIELDS as LIMIT_FIELDS
from apps.risk.sight import sees, without_others
from apps.risk.views import control_view, controls_view, limits_view, proposal_view
from domain.access.scopes import EVERY_ACCOUNT, AccessScope
from domain.four_eyes import SECOND_STEP_MAX_NS, in_time, same_person
from domain.ports import Clock, Head, Unavailable
from domain.risk.controls import (
    HISTORY_KEPT_MAX,
    AccountResumed,
    AccountSuspended,
    Armed,
    ArmRequested,
    ControlEvent,
    KillThrown,
    LimitsChanged,
    LimitsProposed,
    SymbolBlocked,
    SymbolUnblocked,
)
from domain.risk.overrides import own, raised_above
from domain.values import IDENTIFIER, SYMBOL, rfc3339

log = structlog.get_logger()

TOKEN_BYTES: Final = 4

Make = Callable[[int], ControlEvent]

Account = Annotated[str | None, Query(pattern=f"^{IDENTIFIER.pattern}$")]
AccountName = Annotated[str, Path(pattern=f"^{IDENTIFIER.pattern}$")]
Symbol = Annotated[str | None, Query(pattern=f"^{SYMBOL.pattern}$")]


class ControlEndpoint:
    """The control routes, one method each. Refusals are raised; the chassis renders them."""

    def __init__(
        self,
        risk: RiskEngines,
        log: ControlLog[ControlEvent],
        obeying: ControlAcks,
        scopes: Scopes,
        clock: Clock,
        second_person: bool = True,
        alone_max_usd: Decimal | None = None,
    ) -> None:
        """`second_person`: the second of two steps must be another person's. `alone_max_usd`: raising a limit above it takes two steps."""
        self._risk = risk
        self._controls = risk.controls
        self._log = log
        self._obeying = obeying
        self._scopes = scopes
        self._clock = clock
        self._second_person = second_person
        self._alone_max_usd = alone_max_usd

    def router(self) -> APIRouter:
        router = APIRouter()
        for path, handler, doc, summary in (
            ("/risk/symbols/{symbol:path}/block", self._block, body_doc(SIGNED), "Refuse orders in a symbol"),
            ("/risk/symbols/{symbol:path}/unblock", self._unblock, body_doc(SIGNED), "Allow orders in a symbol again"),
            ("/risk/kill", self._kill, kill_doc(), "Set the kill switch for a scope"),
            ("/risk/arm", self._arm, body_doc(ARMED), "Request to arm a scope again; with the token, confirm it"),
            ("/risk/accounts/{account}/suspend", self._suspend, body_doc(SIGNED), "Refuse new orders of an account, at its own wish"),
            ("/risk/accounts/{account}/resume", self._resume, body_doc(SIGNED), "Accept orders of a suspended account again"),
            ("/risk/repeats/{account}/enable", self._enable, body_doc(SIGNED), "Allow orders that were refused as repeated"),
        ):
            router.add_api_route(path, handler, methods=["POST"], summary=summary, openapi_extra=doc)
        router.add_api_route("/risk/controls", self._show, methods=["GET"], summary="The controls in force")
        router.add_api_route("/risk/controls/history", self._history, methods=["GET"], summary="The history of controls: who, when and why")
        router.add_api_route("/risk/limits", self._limits, methods=["GET"], summary="The limits and controls in force")
        router.add_api_route(
            "/risk/limits/{account}",
            self._set_limits,
            methods=["PUT"],
            summary="Set the limits of an account, or of a symbol of it",
            openapi_extra=body_doc(LIMIT_FIELDS, DOCUMENTED),
        )
        return router

    async def _block(self, symbol: str, request: Request) -> Response:
        return await self._change(SymbolBlocked, symbol, request)

    async def _unblock(self, symbol: str, request: Request) -> Response:
        return await self._change(SymbolUnblocked, symbol, request)

    async def _change(self, kind: type[SymbolBlocked | SymbolUnblocked], symbol: str, request: Request) -> Response:
        fields = read_object(await request.body(), SIGNED)
        reason, who, at = reason_of(fields), who_of(fields, caller_of(request.scope)), self._clock.now_ns()
        if symbol not in self._risk.instruments:
            raise Refusal(422, "unknown_symbol", "unknown instrument")
        stored = await self._record(lambda version: kind(version=version, at=at, who=who, reason=reason, symbol=symbol))
        blocked = self._controls.blocked(symbol)
        view = {"symbol": symbol, "blocked": blocked, "reason": reason, "who": who, "at": rfc3339(at), "seq": stored.seq}
        return await self._answered(view, stored) if kind is SymbolBlocked else Exact(view)

    async def _kill(self, request: Request) -> Response:
        fields = read_object(await request.body(), THROWN)
        scope, at, caller = self._scopes.of(fields), self._clock.now_ns(), caller_of(request.scope)
        if not caller.has(AccessScope.RISK) and scope != f"account:{caller.account}":
            raise scope_missing(RISK)  # a key with cancel alone kills its own account
        reason, who = texts_of_kill(fields, caller)
        stored = await self._record(lambda version: KillThrown(version=version, at=at, who=who, reason=reason, scope=scope))
        view = {"scope": scope, "killed": scope in self._controls.kills, "reason": reason, "who": who, "at": rfc3339(at), "seq": stored.seq}
        return await self._answered(view, stored)

    async def _answered(self, view: dict[str, Any], stored: Head) -> Response:
        """Return 200 if all sending services have acknowledged the control, 202 if it is durable but not acknowledged by all."""
        obeyed = await self._obeying.of(stored.seq)
        status = 202 if "unknown" in obeyed.values() else 200
        return Exact({**view, "acknowledged": obeyed, "obeyed": obeyed}, status_code=status)

    async def _arm(self, request: Request) -> Response:
        fields = read_object(await request.body(), ARMED)
        scope, reason, at = self._scopes.of(fields), reason_of(fields), self._clock.now_ns()
        who = who_of(fields, caller_of(request.scope))
        token = token_of(fields)
        if token is None:
            return await self._ask_to_arm(scope, reason, who, at)

        def event(version: int) -> Armed:
            self._may_arm(scope, token, who, at)
            return Armed(version=version, at=at, who=who, reason=reason, scope=scope, token=token)

        stored = await self._record(event)
        return Exact({"scope": scope, "killed": False, "reason": reason, "who": who, "at": rfc3339(at), "seq": stored.seq})

    async def _ask_to_arm(self, scope: str, reason: str, who: str, at: int) -> Response:
        token = secrets.token_hex(TOKEN_BYTES)

        def event(version: int) -> ArmRequested:
            self._must_be_killed(scope)
            return ArmRequested(version=version, at=at, who=who, reason=reason, scope=scope, token=token)

        stored = await self._record(event)
        until = rfc3339(at + SECOND_STEP_MAX_NS)
        view = {"scope": scope, "killed": True, "token": token, "expires_at": until, "reason": reason, "who": who, "seq": stored.seq}
        return Exact(view, status_code=202)

    def _must_be_killed(self, scope: str) -> None:
        if scope not in self._controls.kills:
            raise Refusal(409, "not_killed", f"the kill switch is not set for {scope}", scope=scope)

    def _may_arm(self, scope: str, token: str, who: str, at: int) -> None:
        """Check that the second step matches the first. Refusal 403, 409."""
        self._must_be_killed(scope)
        asked = self._controls.arming.get(scope)
        if asked is None or asked.token != token or not in_time(asked.at, at):
            raise Refusal(409, "not_requested", f"no valid request to arm {scope} with this token: request again without a token")
        self._must_be_another(asked, who)

    def _must_be_another(self, first: ArmRequested | LimitsProposed, who: str) -> None:
        """Check that the second step is another person's, if the configuration says so. Refusal 403."""
        if self._second_person and same_person(first.who, who):
            raise Refusal(
                403, "second_person_required", f"{first.who} made the request: another person must do the second step", pointer="/who"
            )

    async def _show(self) -> Response:
        return Exact(controls_view(self._controls, self._clock.now_ns()))

    async def _history(self, limit: Annotated[int, Query(ge=1, le=HISTORY_KEPT_MAX)] = 100) -> Response:
        newest = list(self._controls.history)[-limit:][::-1]
        return Exact({"controls": [control_view(event) for event in newest]})

    async def _limits(self, request: Request, account: Account = None, symbol: Symbol = None) -> Response:
        caller = caller_of(request.scope)
        if not sees(caller, EVERY_ACCOUNT):
            account = account or caller.account  # the defaults name the overrides and kills of all accounts
        if symbol is not None and account is None:
            raise refused("account", "symbol needs an account: limits of a symbol belong to an account")
        if account is not None and not sees(caller, account):
            raise account_not_found()
        view = limits_view(self._risk.all[0], account, symbol or "")
        return Exact(view if sees(caller, EVERY_ACCOUNT) else without_others(view, caller.account))

    async def _set_limits(self, account: str, request: Request) -> Response:
        asked = read_limits(await request.body(), account, self._risk.instruments, caller_of(request.scope))
        at, token = self._clock.now_ns(), secrets.token_hex(TOKEN_BYTES)
        proposed: LimitsProposed | None = None

        def event(version: int) -> LimitsProposed | LimitsChanged:
            nonlocal proposed
            change = self._limits_changed(account, asked, version, at)
            proposed = self._proposal(change, asked, token)
            return proposed or change

        stored = await self._record(event)
        if proposed is not None:
            return Exact(proposal_view(proposed) | {"seq": stored.seq}, status_code=202)
        return Exact(limits_view(self._risk.all[0], account, asked.symbol) | {"seq": stored.seq})

    def _limits_changed(self, account: str, asked: AskedLimits, version: int, at: int) -> LimitsChanged:
        """Return the change that was asked for. Refusal 403 and 409, if it is a second step that may not be made; 409."""
        found = self._risk.limits_of(account, asked.symbol).version
        if asked.version != found:
            raise Refusal(409, "limits_version_stale", f"the limits are now at version {found}: read them again", version=found)
        if asked.token is not None:
            self._may_confirm(account, asked, asked.token, at)
        return LimitsChanged(
            version=version,
            at=at,
            who=asked.who,
            reason=asked.reason,
            account=account,
            symbol=asked.symbol,
            old=own(self._controls, account, asked.symbol),
            new=asked.limits,
            token=asked.token or "",
        )

    def _proposal(self, change: LimitsChanged, asked: AskedLimits, token: str) -> LimitsProposed | None:
        """Return the proposal to record first, if this change is a first step and one person may not make it alone."""
        if self._alone_max_usd is None or asked.token is not None:
            return None
        before, after = self._risk.limits_of(change.account, change.symbol), self._risk.overrides.with_change(change)
        if not raised_above(before, after, self._alone_max_usd):
            return None
        fields = msgspec.structs.asdict(change) | {"token": token, "limits_version": asked.version}
        return LimitsProposed(**fields)

    def _may_confirm(self, account: str, asked: AskedLimits, token: str, at: int) -> None:
        """Check that the second step matches the first. Refusal 403, 409."""
        first = self._controls.proposals.get((account, asked.symbol))
        same = first is not None and (first.token, first.limits_version, first.new) == (token, asked.version, asked.limits)
        if first is None or not same or not in_time(first.at, at):
            raise Refusal(409, "not_requested", "no valid proposal of these limits with this token: propose them again without a token")
        self._must_be_another(first, asked.who)

    async def _enable(self, account: AccountName, request: Request) -> Response:
        """Enable repeated orders of an account. This is not journaled: a restart of risk enables them too."""
        fields = read_object(await request.body(), SIGNED)
        reason, who = reason_of(fields), who_of(fields, caller_of(request.scope))
        enabled = self._risk.enable(account)
        log.warning("repeated orders enabled", account=account, orders=enabled, who=who, reason=reason)
        return Exact({"account": account, "enabled": enabled, "reason": reason, "who": who})

    async def _suspend(self, account: AccountName, request: Request) -> Response:
        return await self._set_suspension(AccountSuspended, account, request)

    async def _resume(self, account: AccountName, request: Request) -> Response:
        return await self._set_suspension(AccountResumed, account, request)

    async def _set_suspension(self, kind: type[AccountSuspended | AccountResumed], account: str, request: Request) -> Response:
        """Suspend or resume the caller's own account. What is so already is not recorded again."""
        fields, caller = read_object(await request.body(), SIGNED), caller_of(request.scope)
        reason, who, at = reason_of(fields), who_of(fields, caller), self._clock.now_ns()
        if not caller.owns(account):
            raise account_not_found()
        suspends = kind is AccountSuspended
        view = {"account": account, "suspended": suspends, "reason": reason, "who": who, "at": rfc3339(at)}
        if (account in self._controls.suspensions) is suspends:
            return Exact({**view, "version": self._controls.version})
        stored = await self._record(lambda version: kind(version=version, at=at, who=who, reason=reason, account=account))
        view |= {"version": self._controls.version, "seq": stored.seq}
        return await self._answered(view, stored) if suspends else Exact(view)

    async def _record(self, make: Make) -> Head:
        """Record the event. Refusal 503."""
        try:
            return await self._log.record(make)
        except Unavailable as trouble:
            outcome = "unknown" if trouble.unknown else "not_accepted"
            raise Refusal(503, "unavailable", str(trouble), outcome=outcome, headers={"retry-after": "1"}) from trouble
