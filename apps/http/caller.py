"""Who calls: its account and scopes, what is left of its rate, and the refusals that depend on it."""

from typing import Final

import msgspec
from starlette.types import Scope

from apps.http.problem import Refusal
from domain.access.scopes import BITS, EVERY_ACCOUNT, LOCAL, AccessScope, bits, mask_of, scopes_of
from domain.four_eyes import same_person

_OPEN_TO_LOCAL: Final = mask_of((AccessScope.READ, AccessScope.TRADE, AccessScope.RISK, AccessScope.OPS))
_AUDIT: Final = bits(AccessScope.AUDIT)


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who calls. `account` is `*` for a key of every account. `session`: the digest of the token, if one was sent instead of the key."""

    key_id: str
    owner: str
    account: str
    mask: int
    session: bytes = b""

    def owns(self, account: str) -> bool:
        """Return whether this caller may change the account, as far as its scopes go."""
        return self.account in (account, EVERY_ACCOUNT)

    def sees(self, account: str) -> bool:
        """Return whether this caller may read the account. The scope audit reads all accounts."""
        return self.account in (account, EVERY_ACCOUNT) or bool(self.mask & _AUDIT)

    def has(self, scope: AccessScope) -> bool:
        return bool(self.mask & BITS[scope])

    @property
    def scopes(self) -> tuple[AccessScope, ...]:
        return scopes_of(self.mask)


LOCAL_CALLER: Final = Caller(LOCAL, LOCAL, EVERY_ACCOUNT, _OPEN_TO_LOCAL)


def caller_of(scope: Scope) -> Caller:
    """Return who makes this request. The listener has set it; KeyError in a handler that no listener guards."""
    caller: Caller = scope["caller"]
    return caller


class Rate(msgspec.Struct, frozen=True, gc=False):
    """A key's bucket after a request: its size, what is left, and the seconds until it is full again."""

    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-ratelimit-limit", b"%d" % self.limit),
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % self.reset_s),
        ]

    def texts(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.headers()}


def scope_missing(needed: int, rate: Rate | None = None) -> Refusal:
    """Return the refusal of a caller that has none of these scopes (bits). `needs` names the one that is meant for the route.

    `rate`: what is left of the key's rate, if no one else adds it to the response.
    """
    wanted = [str(scope) for scope in scopes_of(needed)]
    meant = next((scope for scope in wanted if scope != AccessScope.AUDIT), wanted[0])
    headers = None if rate is None else rate.texts()
    return Refusal(403, "scope_missing", f"this needs the scope {' or '.join(wanted)}", headers=headers, needs=meant)


def account_not_found() -> Refusal:
    """Return the refusal for an account that the caller may not see. It is that of an account that does not exist."""
    return Refusal(404, "account_not_found", "there is no such account")


def account_not_yours() -> Refusal:
    """Return the refusal of a change in an account that is not the caller's."""
    return Refusal(403, "account_not_yours", "this key is for another account", pointer="/account", outcome="not_accepted")


def unauthorized() -> Refusal:
    """Return the one refusal for whatever is wrong with a key."""
    return Refusal(401, "unauthorized", "a valid key is needed", headers={"WWW-Authenticate": "Bearer"})


def signature_not_passed_on() -> Refusal:
    """Return the refusal of a signature over a path that the request has only here: the service behind it could not verify it."""
    detail = "a signature is for one service: send the request to it directly, or start a session at risk and use its token here"
    return Refusal(400, "signature_not_passed_on", detail, outcome="not_accepted")


def access_unknown() -> Refusal:
    """Return the refusal while the keys are not known to be complete."""
    return Refusal(503, "access_unknown", "the keys are not known now; retry", headers={"Retry-After": "1"}, outcome="not_accepted")


def signed_by(caller: Caller, given: str | None) -> str:
    """Return who signs a change: the owner of the caller's key. `given` is `who` of the body; it may only repeat the owner.

    A caller without a key has no owner: then it is `given`, empty if the body has none. Refusal 403 `who_not_yours`.
    """
    if caller.key_id == LOCAL:
        return given or ""
    if given is not None and not same_person(given, caller.owner):
        raise Refusal(403, "who_not_yours", "who must be the owner of the key, or absent", pointer="/who")
    return caller.owner
