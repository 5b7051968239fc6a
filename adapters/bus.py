"""The NATS connection of a service, with the options that the client library needs, and requests that raise Unavailable."""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import nats.errors
import structlog
from nats.aio.client import Client, Srv

from domain.ports import Unavailable

log = structlog.get_logger()

PING_INTERVAL_S: Final = 5
RECONNECT_WAIT_S: Final = 0.25
RECONNECT_WITHOUT_LIMIT: Final = -1

INBOX: Final = "_INBOX"

WireError: Final = (OSError, nats.errors.Error)
"""The exceptions of the client if it cannot send."""


class CarefulClient(Client):
    """The client, which refuses a server without TLS where the address says `tls://`, and closes what a failed attempt to connect opened.

    By itself it takes the server's word: a server that announces no TLS, or a machine in between that removes the announcement, would get
    user and password in the clear. And if a connection ends before the server's greeting, the client opens the next one over it, and the
    socket of the first stays open until it is collected.
    """

    async def _connect_to_server(self, s: Srv) -> None:
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    def _connect_command(self) -> bytes:
        server = self._current_server
        if server is not None and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
            raise nats.errors.Error("the server offers no TLS, and the address is tls://")
        return super()._connect_command()


async def connect(url: str, name: str, *, closed: Callable[[], None], timeout_s: float = 5.0) -> Client:
    """Connect and stay connected. `closed` is called when the client gave up for good, which a service treats as fatal.

    Raises Unavailable. Nothing published while disconnected is kept (pending_size=0), and unsent data is dropped when the connection
    breaks: both would otherwise be sent later as ghosts.

    """

    async def on_error(error: Exception) -> None:
        log.warning("NATS error", error=str(error) or type(error).__name__)

    async def on_disconnected() -> None:
        client._pending.clear()  # else sent over the next connection; the client resends subscriptions itself
        client._pending_data_size = 0
        if not client.is_closed:
            log.warning("NATS connection lost, trying again")

    async def on_reconnected() -> None:
        log.info("Connected to NATS", again=True)

    async def on_closed() -> None:
        closed()

    client, address = CarefulClient(), without_password(url)
    try:
        await asyncio.wait_for(
            client.connect(
                url,
                name=name,
                pending_size=0,
                inbox_prefix=_inbox(url),
                ping_interval=PING_INTERVAL_S,
                max_reconnect_attempts=RECONNECT_WITHOUT_LIMIT,
                skip_subject_validation=True,  # subjects consist of names that were validated on input
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
        raise Unavailable(f"NATS at {address} does not answer: {str(error) or type(error).__name__}") from error
    log.info("Connected to NATS", url=address)
    return client


def without_password(url: str) -> str:
    """Return an address without its credentials, for display."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _inbox(url: str) -> str:
    """Return the inbox prefix of a user: a place of its own, to which no other user may subscribe."""
    user = urlsplit(url).username
    return f"{INBOX}_{user}" if user else INBOX


async def request(client: Client, subject: str, payload: bytes, timeout_s: float) -> bytes:
    """Send one request and return its reply. Raises Unavailable if none arrives in time."""
    try:
        reply = await client.request(subject, payload, timeout=timeout_s)
    except (TimeoutError, OSError, nats.errors.Error) as error:
        raise Unavailable(f"no answer on {subject}: {str(error) or type(error).__name__}", unknown=True) from error
    return reply.data


def server_id(client: Client) -> str:
    """Return the id of the current or last connected server; empty if there was none."""
    return str(client._server_info.get("server_id", ""))


async def flush(client: Client) -> None:
    """Wait until the server has everything that was published and subscribed before. Raises WireError, also after 20 s without a reply.

    Flushes twice: the client writes its PING ahead of what still waits to be sent, so the first reply does not cover that.
    """
    await client.flush()
    await client.flush()


async def publish(client: Client, subject: str, payload: bytes) -> None:
    """Publish without a reply. Raises Unavailable while disconnected: the caller decides whether the loss matters."""
    try:
        await client.publish(subject, payload)
    except (OSError, nats.errors.Error) as error:
        raise Unavailable(f"cannot publish on {subject}: {str(error) or type(error).__name__}") from error
