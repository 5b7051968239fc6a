"""GET requests to a venue's REST interface: the body as received, with bounds on its size and its time."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import httpx

from domain.market.venues.feed import FRAME_BYTES_MAX
from domain.ports import Unavailable

TIMEOUT_S: Final = 10.0
CONNECTIONS_MAX: Final = 4


class RestReply(NamedTuple):
    status: int
    body: str
    headers: Mapping[str, str]


class VenueRest:
    """A client for one venue."""

    def __init__(self, url: str) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits, trust_env=False)

    async def get(self, path: str) -> RestReply:
        """Raises Unavailable if there is no reply, or one larger than a frame may be."""
        body = bytearray()
        try:
            async with self._client.stream("GET", path) as response:
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > FRAME_BYTES_MAX:
                        raise Unavailable(f"the reply is larger than {FRAME_BYTES_MAX} bytes")
                return RestReply(response.status_code, body.decode("utf-8", "replace"), response.headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        await self._client.aclose()
