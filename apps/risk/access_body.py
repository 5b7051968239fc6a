"""Bodies of `/access/*`: parsed, and checked as far as that needs no state."""

import base64
import binascii
import ipaddress
from typing import Annotated, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, field_validator

from apps.http.body import read_model
from apps.http.problem import Refusal
from domain.access.scopes import AccessScope, against
from domain.values import IDENTIFIER

NETWORKS_MAX: Final = 32
TEXT_MAX: Final = 200
RATE: Final = 100
BURST: Final = 200
RATE_MAX: Final = 10_000
BURST_MAX: Final = 100_000
"""Requests a second of a key and how many at once: by default and at most."""
EXPIRES_MAX_S: Final = 10 * 366 * 86_400
GRACE_S: Final = 600
GRACE_MAX_S: Final = 86_400
"""How long the old secret of a rotated key stays good, by default and at most."""
PUBLIC_KEY_BYTES: Final = 32

Name = Annotated[str, Field(pattern=f"^{IDENTIFIER.pattern}$")]
Text = Annotated[str, Field(max_length=TEXT_MAX)]


class _Body(BaseModel):
    """Every body may say why; the reason is stored permanently."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reason: Text = ""

    @field_validator("reason", "note", check_fields=False)
    @classmethod
    def _printable(cls, text: str) -> str:
        if not text.isprintable():
            raise ValueError("must consist of printable characters")
        return text.strip()


class AccountBody(_Body):
    account: Name


class ReasonBody(_Body):
    pass


class KeyBody(_Body):
    """A key to create. With `public_key` (base64 of 32 bytes, Ed25519) the owner signs, and there is no secret.

    `token`: from the answer to the first step, if another owner must confirm.
    """

    account: Annotated[str, Field(pattern=rf"^(\*|{IDENTIFIER.pattern})$")]
    scopes: Annotated[list[AccessScope], Field(min_length=1, max_length=len(AccessScope), strict=False)]
    owner: Name | None = None
    expires_in_sec: Annotated[int, Field(ge=1, le=EXPIRES_MAX_S)] | None = None
    networks: Annotated[list[str], Field(max_length=NETWORKS_MAX)] = []
    rate: Annotated[int, Field(ge=1, le=RATE_MAX)] = RATE
    burst: Annotated[int, Field(ge=1, le=BURST_MAX)] | None = None
    note: Text = ""
    public_key: str | None = None
    token: str | None = None

    @field_validator("networks")
    @classmethod
    def _networks(cls, given: list[str]) -> list[str]:
        """Networks in their usual form: the address of a host is a network of one."""
        return [str(ipaddress.ip_network(each, strict=False)) for each in given]

    @field_validator("public_key")
    @classmethod
    def _public_key(cls, given: str | None) -> str | None:
        if given is None:
            return None
        try:
            raw = base64.b64decode(given, validate=True)
            Ed25519PublicKey.from_public_bytes(raw)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"must be the base64 of the {PUBLIC_KEY_BYTES} bytes of an Ed25519 public key") from error
        return base64.b64encode(raw).decode()


class RevokeBody(_Body):
    cancel_orders: bool = False


class RotateBody(_Body):
    grace_sec: Annotated[int, Field(ge=0, le=GRACE_MAX_S)] = GRACE_S


class LimitBody(_Body):
    rate: Annotated[int, Field(ge=1, le=RATE_MAX)]
    burst: Annotated[int, Field(ge=1, le=BURST_MAX)]


def read_key(body: bytes) -> KeyBody:
    """Read the body of a key. Refusal 400; 422 if its scopes are never in one key."""
    asked = read_model(body, KeyBody)
    if refused := against(asked.scopes, asked.account):
        raise Refusal(422, "scopes_forbidden", refused, pointer="/scopes")
    return asked
