"""How a caller shows who it is: the headers that carry a key, the form of its secret, and the digest that is stored."""

import base64
import binascii
import hashlib
import re
import secrets
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

KEY_ID: Final = re.compile(r"PK[A-Z2-7]{18}")
SECRET_BYTES: Final = 32
PREFIX: Final = "trk_"
"""Starts every secret, so that scanners of code and logs find one that leaked."""
TOKEN_PREFIX: Final = "trs_"
CHECKSUM_CHARACTERS: Final = 6
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
WINDOW_MS: Final = b"5000"
WINDOW_MAX_MS: Final = 60_000
"""How old a signature may be, by default and at most."""
CREDENTIAL_MAX: Final = 512
"""The longest header value that is looked at."""

APCA_ID: Final = b"apca-api-key-id"
APCA_SECRET: Final = b"apca-api-secret-key"
AUTHORIZATION: Final = b"authorization"
TRADE_KEY: Final = b"trade-key"
TRADE_TIME: Final = b"trade-time"
TRADE_NONCE: Final = b"trade-nonce"
TRADE_SIGNATURE: Final = b"trade-signature"
TRADE_WINDOW: Final = b"trade-window"
SIGNING: Final = frozenset((TRADE_KEY, TRADE_TIME, TRADE_NONCE, TRADE_SIGNATURE, TRADE_WINDOW))
HEADERS: Final = frozenset((APCA_ID, APCA_SECRET, AUTHORIZATION, *SIGNING))


class Secret(NamedTuple):
    """A key and its secret, as sent. `key_id` is empty for a session's token."""

    key_id: str
    secret: bytes


class Signed(NamedTuple):
    """A signed request: who signs, when (ms since the epoch), the nonce, the signature, and for how long it holds (ms)."""

    key_id: str
    at_ms: int
    nonce: str
    signature: bytes
    window_ms: int


class BadCredentials(Exception):
    """Credentials were sent that cannot be read, or of two kinds at once."""


def new_key_id() -> str:
    """Return a new key id: `PK` and 18 characters of base 32."""
    return "PK" + "".join(secrets.choice(_ALPHABET) for _ in range(18))


def new_secret() -> str:
    """Return a new secret: 256 random bits behind a fixed prefix, with a checksum that tells a typo from a guess."""
    body = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    return body + checksum(body)


def new_token() -> str:
    """Return the token of a new session: 256 random bits behind a fixed prefix."""
    return TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


def checksum(body: str) -> str:
    """Return six characters of base 32 over the text."""
    value = zlib.crc32(body.encode())
    return "".join(_ALPHABET[value >> shift & 31] for shift in (0, 5, 10, 15, 20, 25))


def well_formed(secret: str) -> bool:
    """Return whether a text may be a secret at all: a typo is found without asking."""
    body = secret[:-CHECKSUM_CHARACTERS]
    return secret.startswith(PREFIX) and checksum(body) == secret[-CHECKSUM_CHARACTERS:]


def digest(secret: bytes) -> bytes:
    """Return what is stored of a secret. It has 256 random bits, so there is nothing that a slower hash would protect."""
    return hashlib.sha256(secret).digest()


def sent_in(found: Mapping[bytes, bytes]) -> Secret | Signed | None:
    """Read the credentials of a request from its headers; None without any. BadCredentials."""
    apca = APCA_ID in found or APCA_SECRET in found
    signed = not SIGNING.isdisjoint(found)
    value = found.get(AUTHORIZATION)
    if apca + signed + (value is not None) > 1:
        raise BadCredentials("two kinds of credentials")
    if value is not None:
        return _authorization(value)
    return _apca(found) if apca else _signed(found) if signed else None


def _apca(found: Mapping[bytes, bytes]) -> Secret:
    key_id, secret = found.get(APCA_ID), found.get(APCA_SECRET)
    if not key_id or secret is None or len(key_id) + len(secret) > CREDENTIAL_MAX:
        raise BadCredentials("half of a key")
    return Secret(key_id.decode("latin-1"), secret)


def _authorization(value: bytes) -> Secret:
    kind, _, rest = value.partition(b" ")
    if len(value) > CREDENTIAL_MAX or not rest:
        raise BadCredentials("not readable")
    if kind.lower() == b"bearer":
        key_id, dot, secret = rest.partition(b".")
        if not dot:
            return Secret("", rest)
        if key_id:  # without one, the rest would count as a session's token, which has one form only
            return Secret(key_id.decode("latin-1"), secret)
    if kind.lower() == b"basic":
        try:
            key_id, colon, secret = base64.b64decode(rest, validate=True).partition(b":")
        except binascii.Error:
            raise BadCredentials("not base64") from None
        if colon and key_id:
            return Secret(key_id.decode("latin-1"), secret)
    raise BadCredentials("an unknown kind")


def _signed(found: Mapping[bytes, bytes]) -> Signed:
    try:
        key_id = found[TRADE_KEY]
        signature = base64.b64decode(found[TRADE_SIGNATURE], validate=True)
        at_ms, window_ms = int(found[TRADE_TIME]), int(found.get(TRADE_WINDOW, WINDOW_MS))
        nonce = found[TRADE_NONCE].decode("ascii")
    except (KeyError, ValueError):
        raise BadCredentials("half of a signature") from None
    if not 0 < len(nonce) <= 64 or not 0 < window_ms <= WINDOW_MAX_MS:
        raise BadCredentials("a nonce or a window out of bounds")
    return Signed(key_id.decode("latin-1"), at_ms, nonce, signature, window_ms)


def signed_text(method: str, target: str, time: str, nonce: str, body: bytes) -> bytes:
    """Return what a signature is over: method, path with query, time, nonce and the SHA-256 of the body, a line each."""
    return "\n".join((method, target, time, nonce, hashlib.sha256(body).hexdigest())).encode()
