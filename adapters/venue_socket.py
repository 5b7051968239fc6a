"""The websocket client of a venue: text messages as received, with bounds, over the library `websockets`."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from domain.market.venues.feed import FRAME_BYTES_MAX
from domain.ports import Unavailable

OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0
PING_EVERY_S: Final = 15.0
PONG_WITHIN_S: Final = 15.0
QUEUE_MAX: Final = 64
"""Messages that the library holds before it stops reading the connection."""
REASON_MAX: Final = 200


class VenueSocket:
    """One open connection. Pings of the transport are sent and answered by the library."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def read(self, take: Callable[[str], None]) -> str:
        """Call `take` with each message until the connection ends, and return the reason of its end."""
        taken = 0
        try:
            async for message in self._connection:
                take(message if isinstance(message, str) else message.decode("utf-8", "replace"))
                taken += 1
                if taken % QUEUE_MAX == 0:
                    await asyncio.sleep(0)  # reading from a full queue never waits, and other tasks must run
        except ConnectionClosed as closed:
            return _words(closed)
        return f"closed by the venue: {self._connection.close_code} {self._connection.close_reason or ''}".strip()[:REASON_MAX]

    async def send(self, text: str) -> None:
        """Raises Unavailable if the connection has ended."""
        try:
            await self._connection.send(text)
        except ConnectionClosed as closed:
            raise Unavailable(_words(closed)) from closed

    async def close(self) -> None:
        await self._connection.close()


async def dial(url: str) -> VenueSocket:
    """Open a connection. Raises Unavailable: no address, no route, refused, no TLS, or no reply in time."""
    try:
        return VenueSocket(
            await connect(
                url,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=PING_EVERY_S,
                ping_timeout=PONG_WITHIN_S,
                max_size=FRAME_BYTES_MAX,
                max_queue=QUEUE_MAX,
                compression=None,
                proxy=None,
            )
        )
    except (OSError, TimeoutError, WebSocketException, ssl.SSLError, ValueError) as error:
        raise Unavailable(_words(error)) from error


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:REASON_MAX]
