"""Where daily closes are kept: QuestDB, over its HTTP. Value at risk will read them; today risk only knows whether it answers."""

from typing import Final

import httpx

from domain.ports import Unavailable

OK: Final = 200


class QuestdbPriceHistory:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    def at(cls, http_url: str, *, timeout_s: float) -> "QuestdbPriceHistory":
        """Connects when first asked."""
        return cls(httpx.AsyncClient(base_url=http_url, timeout=timeout_s, trust_env=False))

    async def ping(self) -> None:
        """Unavailable when QuestDB does not answer a query."""
        try:
            answer = await self._client.get("/exec", params={"query": "select 1"})
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable(f"QuestDB: {str(error) or type(error).__name__}") from error
        if answer.status_code != OK:
            raise Unavailable(f"QuestDB: HTTP {answer.status_code}")

    async def close(self) -> None:
        await self._client.aclose()
