"""`/session`: the page exchanges a key for a session of risk, whose token it never sees: a cookie carries it.

A session lasts 15 minutes. The page renews it while it is used, up to the hard end that risk sets; then the key is needed again, because a
stolen token must end. Every answer says when, so that the page asks for the key in time. desk keeps neither the key nor the token.
"""

import asyncio
import contextlib
import re
from typing import Any, Final

import httpx
import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from apps.desk.peer import RETRY_AFTER, Headers, Peer
from apps.http.app import Exact, Refusal
from apps.http.authority import Authority
from apps.http.body import model_doc, read_model
from apps.http.caller import Caller, access_unknown, caller_of
from apps.http.credentials import AUTHORIZATION, CREDENTIAL_MAX, KEY_ID, BadCredentials, Secret, digest
from apps.http.messages import header
from apps.http.problem import malformed
from apps.http.route_scopes import ANY
from apps.http.session_cookie import COOKIE, token_of
from config.sections import AccessSection
from domain.access.keys import Session
from domain.access.scopes import LOCAL
from domain.ports import Clock
from domain.values import rfc3339

PATH: Final = "/session"
POLL_S: Final = 0.005
KNOWN_POLLS_MAX: Final = 400
"""Looks for a new session in the keys that this service has read: two seconds, which is twice what it may be behind."""
STARTED: Final = (200, 202)
OVER: Final = (200, 202, 401, 404)
"""Answers of risk after which the token opens nothing."""

_BEARER: Final = "Bearer "
_KEY: Final = re.compile(rf"({KEY_ID.pattern})\.([!-~]+)")
_FORM: Final = f"{COOKIE}={{}}; HttpOnly; SameSite=Strict; Max-Age={{}}"
"""Without Path, so the cookie is for the folder of `/session`: that of the page, also behind a proxy with a prefix (RFC 6265, 5.1.4).

So every request that sets it has this one address. Set from an address below it, a browser would keep a second cookie.
"""


class SignInBody(BaseModel):
    """The body of `POST /session`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(max_length=CREDENTIAL_MAX, description="The key and its secret, as they were shown once: KEY_ID.SECRET")


class SessionStart(msgspec.Struct):
    """What is needed of risk's answer."""

    token: str


class SessionRenewal(msgspec.Struct):
    """What is needed of risk's answer to a renewal."""

    expires_at: str


class RiskProblem(msgspec.Struct):
    """What is needed of a refusal by risk."""

    code: str
    detail: str


class SessionEndpoint:
    """Signs in, says who is signed in, and signs out."""

    def __init__(self, risk: Peer, authority: Authority, clock: Clock, *, secure: bool) -> None:
        """`authority`: desk's own, which judges a key before risk is asked. `secure`: browsers send the cookie over TLS only."""
        self._risk = risk
        self._authority = authority
        self._clock = clock
        self._form = _FORM + ("; Secure" if secure else "")

    def router(self) -> APIRouter:
        router = APIRouter(tags=["session"])
        router.add_api_route(
            PATH, self._start, methods=["POST"], summary="Sign in with a key, for 15 minutes", openapi_extra=model_doc(SignInBody)
        )
        router.add_api_route(PATH, self._renew, methods=["PATCH"], summary="Renew the session, for 15 minutes from now")
        router.add_api_route(PATH, self._show, methods=["GET"], summary="Who is signed in, and until when")
        router.add_api_route(PATH, self._end, methods=["DELETE"], summary="Sign out", status_code=204)
        return router

    async def _start(self, request: Request) -> Response:
        key = _KEY.fullmatch(read_model(await request.body(), SignInBody).key.strip())
        if key is None:
            raise malformed("key must be KEY_ID.SECRET, as it was shown when it was made", "/key")
        address = self._authority.address(request.scope)
        secret = Secret(key[1], key[2].encode())
        self._authority.admit("POST", PATH, address, secret, (True, ANY))
        answer = await self._asked("POST", b"/access/sessions", f"{key[1]}.{key[2]}", address, key[1])
        if answer.status_code not in STARTED:
            raise _as_risk_said(answer)
        return await self._signed_in(msgspec.json.decode(answer.content, type=SessionStart).token, "")

    async def _renew(self, request: Request) -> Response:
        """Answer as `GET /session`, and set the cookie again. Refusal 404 without a session; 409 if it cannot be renewed."""
        caller = caller_of(request.scope)
        if not caller.session:
            raise Refusal(404, "session_not_found", "this request was not made with the cookie of a session")
        token = (header(request.scope, AUTHORIZATION) or "").removeprefix(_BEARER)  # the guard put it there in place of the cookie
        answer = await self._asked("POST", b"/access/sessions/current", token, self._authority.address(request.scope), caller.key_id)
        if answer.status_code not in STARTED:
            raise _as_risk_said(answer)
        return await self._signed_in(token, msgspec.json.decode(answer.content, type=SessionRenewal).expires_at)

    async def _signed_in(self, token: str, until: str) -> Response:
        hashed = digest(token.encode())
        session = await self._known(hashed, until)
        seconds = max(1, (session.expires_at - self._clock.now_ns()) // 1_000_000_000)
        caller = Caller(session.key_id, "", "", 0, hashed)
        return Exact(self._view(caller), headers={"Set-Cookie": self._form.format(token, seconds)})

    async def _show(self, request: Request) -> Response:
        return Exact(self._view(caller_of(request.scope)))

    async def _end(self, request: Request) -> Response:
        """Clear the cookie in any case. 503 if risk cannot be asked to end the session: it then ends by itself."""
        cleared = {"Set-Cookie": self._form.format("", 0)}
        token = None
        with contextlib.suppress(BadCredentials):
            token = token_of(request.scope)
        session = None if token is None else self._authority.keys.sessions.get(digest(token.encode()))
        if token is not None and session is not None:
            try:
                answer = await self._asked(
                    "DELETE", b"/access/sessions/current", token, self._authority.address(request.scope), session.key_id
                )
                if answer.status_code not in OVER:
                    raise _as_risk_said(answer)
            except Refusal as refusal:
                refusal.headers |= cleared
                refusal.extra["expires_at"] = rfc3339(session.expires_at)
                raise
        return Response(status_code=204, headers=cleared)

    async def _asked(self, method: str, path: bytes, bearer: str, address: str, key_id: str) -> httpx.Response:
        """Ask risk with the caller's own credentials. Refusal 503."""
        headers: Headers = [
            (AUTHORIZATION, f"Bearer {bearer}".encode("ascii")),
            *([(b"x-forwarded-for", address.encode("ascii"))] if address else []),
        ]
        try:
            async with self._risk.asked(method, path, headers, b"", caller=key_id, urgent=True) as answer:
                await answer.aread()
                return answer
        except httpx.HTTPError as error:
            raise _no_answer(str(error) or type(error).__name__) from error
        except Refusal as refusal:
            raise _no_answer(refusal.detail) from refusal

    async def _known(self, hashed: bytes, until: str) -> Session:
        """Wait until this service knows the session, good until then at least, or its requests would be refused. Refusal 503."""
        for _ in range(KNOWN_POLLS_MAX):
            session = self._authority.keys.sessions.get(hashed)
            if session is not None and rfc3339(session.expires_at) >= until:
                return session
            await asyncio.sleep(POLL_S)
        raise access_unknown()

    def _view(self, caller: Caller) -> dict[str, Any]:
        """Return who is signed in, with the names of `/access/me`. `expires_at` is that of the session, if there is one.

        `expires_in_sec` is by the clock here: that of a browser may be wrong.
        """
        keys = self._authority.keys
        key, session = keys.by_id.get(caller.key_id), keys.sessions.get(caller.session)
        expires_at = session.expires_at if session else key.expires_at if key else None
        if key is not None:
            caller = Caller(key.key_id, key.owner, key.account, key.mask)
        return {
            "signed_in": caller.key_id != LOCAL,
            "key_id": caller.key_id,
            "owner": caller.owner,
            "account": caller.account,
            "scopes": [str(scope) for scope in caller.scopes],
            "expires_at": None if expires_at is None else rfc3339(expires_at),
            "expires_in_sec": None if session is None else max(0, (session.expires_at - self._clock.now_ns()) // 1_000_000_000),
            "mode": self._authority.mode,
        }


def secure_cookies(access: AccessSection) -> bool:
    """Return whether browsers reach the port over TLS: its own, or that of a proxy in front."""
    return access.tls is not None


def _no_answer(why: str) -> Refusal:
    """Return the refusal while risk does not answer. To sign in or out again does no harm, so its outcome need not be asked for."""
    return Refusal(503, "service_unavailable", why, headers=RETRY_AFTER, service="risk")


def _as_risk_said(answer: httpx.Response) -> Refusal:
    """Return risk's refusal as one of desk: its status, code and detail."""
    try:
        problem = msgspec.json.decode(answer.content, type=RiskProblem)
    except msgspec.DecodeError:
        return _no_answer(f"risk returned {answer.status_code}")
    kept = {name: answer.headers[name] for name in ("retry-after", "www-authenticate") if name in answer.headers}
    return Refusal(answer.status_code, problem.code, problem.detail, headers=kept)
