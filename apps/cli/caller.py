"""The key that `trade` sends with a request: the caller's own, or the command line's key of a stack on this machine."""

import base64
import secrets
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from adapters.clock import SystemClock
from apps.cli import key_files
from apps.cli.trouble import WrongUsage
from apps.http.credentials import KEY_ID, signed_text, well_formed
from apps.stack.credentials.users import CLI_KEY_FILE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_VARIABLE: Final = "TRADE_KEY"
FILE_VARIABLE: Final = "TRADE_KEY_FILE"
PRIVATE_VARIABLE: Final = "TRADE_PRIVATE_KEY"
NONCE_BYTES: Final = 16
FORM: Final = "A key is KEY_ID.SECRET, as trade key create printed it. A key that signs is KEY_ID, with TRADE_PRIVATE_KEY=FILE."


class SecretKey(httpx.Auth):
    """A key with a secret, sent as a bearer token."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = f"Bearer {self._key}"
        yield request


class SigningKey(httpx.Auth):
    """A key whose private half never leaves this machine: every request is signed (Ed25519), with its time and a nonce of its own."""

    requires_request_body = True

    def __init__(self, key_id: str, private: "Ed25519PrivateKey") -> None:
        self._key_id = key_id
        self._private = private

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        time, nonce = str(SystemClock().now_ns() // 1_000_000), secrets.token_urlsafe(NONCE_BYTES)
        signature = self._private.sign(signed_text(request.method, request.url.raw_path.decode("ascii"), time, nonce, request.content))
        request.headers["trade-key"] = self._key_id
        request.headers["trade-time"] = time
        request.headers["trade-nonce"] = nonce
        request.headers["trade-signature"] = base64.b64encode(signature).decode("ascii")
        yield request


def own_key(environ: Mapping[str, str]) -> httpx.Auth | None:
    """Return the key that the environment names; None without one. WrongUsage if it cannot be a key; the text never shows it."""
    text, source = environ.get(KEY_VARIABLE, ""), KEY_VARIABLE
    if not text and (file := environ.get(FILE_VARIABLE)):
        text, source = _content(Path(file)), f"{file} (TRADE_KEY_FILE)"
        if not text:
            raise WrongUsage(f"{source} is empty.", FORM)
    private = environ.get(PRIVATE_VARIABLE)
    if private:
        if not KEY_ID.fullmatch(text):
            raise WrongUsage("TRADE_PRIVATE_KEY signs for a key: TRADE_KEY must be its id, without a secret.", FORM)
        return SigningKey(text, key_files.private_key(Path(private)))
    return _with_secret(text, source) if text else None


def command_line_key(directory: Path) -> httpx.Auth | None:
    """Return the command line's key from a stack's secrets directory; None if this user cannot read it. WrongUsage if it is damaged."""
    file = directory / CLI_KEY_FILE
    try:
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return _with_secret(text, str(file))


def _with_secret(text: str, source: str) -> SecretKey:
    key_id, _, secret = text.partition(".")
    if not KEY_ID.fullmatch(key_id):
        raise WrongUsage(f"{source} is not a key.", FORM)
    if not well_formed(secret):
        raise WrongUsage(f"{source} is not a key: its secret is missing, cut off or mistyped, because its checksum does not match.", FORM)
    return SecretKey(text)


def _content(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text of ASCII characters"
        raise WrongUsage(f"{file} (TRADE_KEY_FILE) cannot be read: {reason}.", FORM) from None
