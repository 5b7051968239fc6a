"""The messages of a client of the stream, and the answers that are no updates."""

from typing import Final

import msgspec

from apps.http.credentials import CREDENTIAL_MAX, Secret
from apps.oms.alpaca.update_frames import TRADE_UPDATES

AUTHENTICATE: Final = ("authenticate", "auth")
LISTEN: Final = "listen"


class _Data(msgspec.Struct):
    key_id: str = ""
    secret_key: str = ""
    streams: list[str] = []
    since_seq: int | None = None


class _Said(msgspec.Struct):
    action: str
    data: _Data = msgspec.field(default_factory=_Data)
    key: str = ""
    secret: str = ""
    since_seq: int | None = None


class Authenticate(msgspec.Struct, frozen=True):
    """A key. `sent` is None if it cannot be one."""

    sent: Secret | None


class Listen(msgspec.Struct, frozen=True):
    """The streams that are sent from now on; with `since_seq`, what came after this sequence first."""

    streams: tuple[str, ...]
    since_seq: int | None


class NotUnderstood(Exception):
    """A message that is none of the stream's."""


def understood(text: str | bytes) -> Authenticate | Listen:
    """Read a message of a client. Fields that are not known are ignored. NotUnderstood."""
    try:
        said = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotUnderstood("not understood: " + str(error).encode("ascii", "replace").decode()) from error
    if said.action in AUTHENTICATE:
        return Authenticate(_secret(said.data.key_id or said.key, said.data.secret_key or said.secret))
    if said.action != LISTEN:
        raise NotUnderstood("unknown action")
    since = said.data.since_seq if said.data.since_seq is not None else said.since_seq
    if since is not None and since < 0:
        raise NotUnderstood("since_seq must not be negative")
    return Listen(tuple(name for name in (TRADE_UPDATES,) if name in said.data.streams), since)


def _secret(key_id: str, secret: str) -> Secret | None:
    """Return the key. None if it cannot be one: an empty id would stand for the token of a session."""
    if not key_id or len(key_id) + len(secret) > CREDENTIAL_MAX:
        return None
    return Secret(key_id, secret.encode(errors="replace"))


def authorization(*, granted: bool) -> str:
    status = "authorized" if granted else "unauthorized"
    return _encoded({"stream": "authorization", "data": {"action": "authenticate", "status": status}})


def now_listening(streams: tuple[str, ...]) -> str:
    return _encoded({"stream": "listening", "data": {"streams": streams}})


def _encoded(message: object) -> str:
    return msgspec.json.encode(message).decode()


_DECODER: Final = msgspec.json.Decoder(_Said)
