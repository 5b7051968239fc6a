"""One NATS connection a service, with the options that FACTS of the client demand, and requests that say Unavailable."""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import nats.errors
import structlog
from nats.aio.client import Client

from domain.ports import Unavailable

log = structlog.get_logger()

PING_INTERVAL_S: Final = 5
RECONNECT_WAIT_S: Final = 0.25
RECONNECT_FOR_EVER: Final = -1

INBOX: Final = "_INBOX"

WireError: Final = (OSError, nats.errors.Error)
"""What the client raises when it cannot send."""


async def connect(url: str, name: str, *, closed: Callable[[], None], timeout_s: float = 5.0) -> Client:
    """Connect and stay connected; `closed` is called when the client gave up for good, which a service treats as fatal. Unavailable.

    Nothing published while disconnected is kept (pending_size=0), nor what had not left when the connection broke: both would be sent
    later as ghosts.
    """

    async def on_error(error: Exception) -> None:
        log.warning("NATS error", error=str(error) or type(error).__name__)

    async def on_disconnected() -> None:
        client._pending.clear()  # the client would send it over the next connection; subscriptions it repeats by itself
        client._pending_data_size = 0
        if not client.is_closed:
            log.warning("NATS connection lost, trying again")

    async def on_reconnected() -> None:
        log.info("Connected to NATS", again=True)

    async def on_closed() -> None:
        closed()

    client, said = Client(), without_password(url)
    try:
        await asyncio.wait_for(
            client.connect(
                url,
                name=name,
                pending_size=0,
                inbox_prefix=_inbox(url),
                ping_interval=PING_INTERVAL_S,
                max_reconnect_attempts=RECONNECT_FOR_EVER,
                skip_subject_validation=True,  # subjects are made of names that were validated at the edge
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]
                connect_timeout=timeout_s,  # type: ignore[arg-type]
                error_cb=on_error,
                disconnected_cb=on_disconnected,
                reconnected_cb=on_reconnected,
                closed_cb=on_closed,
            ),
            timeout_s,
        )
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise Unavailable(f"NATS at {said} does not answer: {str(error) or type(error).__name__}") from error
    log.info("Connected to NATS", url=said)
    return client


def without_password(url: str) -> str:
    """An address as it may be shown."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _inbox(url: str) -> str:
    """A user's answers come to a place of its own, where nobody else may listen."""
    user = urlsplit(url).username
    return f"{INBOX}_{user}" if user else INBOX


async def request(client: Client, subject: str, payload: bytes, timeout_s: float) -> bytes:
    """One request, one reply. Unavailable when nobody answers in time."""
    try:
        reply = await client.request(subject, payload, timeout=timeout_s)
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise Unavailable(f"no answer on {subject}: {str(error) or type(error).__name__}", unknown=True) from error
    return reply.data


def server_id(client: Client) -> str:
    """Of the server that we are connected to, or were last; empty when there was none."""
    return str(client._server_info.get("server_id", ""))


async def flush(client: Client) -> None:
    """Until the server has all that was published and subscribed before. WireError, also when it does not answer in 20 s.

    The client writes its PING past what still waits for its sender, so the first answer says nothing of that; it is sent meanwhile.
    """
    await client.flush()
    await client.flush()


async def publish(client: Client, subject: str, payload: bytes) -> None:
    """Send and forget. Unavailable while disconnected: the caller decides whether the loss matters."""
    try:
        await client.publish(subject, payload)
    except (OSError, nats.errors.Error) as error:
        raise Unavailable(f"cannot publish on {subject}: {str(error) or type(error).__name__}") from error
