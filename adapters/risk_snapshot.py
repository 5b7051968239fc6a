"""Risk's published portfolios in Valkey: a hash `risk:portfolio:<account>`. No decision uses it, and risk never reads it back."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from domain.ports import Unavailable
from domain.position.equity import Worth
from domain.values import IDENTIFIER, from_rfc3339

PREFIX: Final = "risk:portfolio:"
CONNECTION_WAIT_S: Final = 1.0
WORTH: Final = ("updated_at", "equity", "cash", "long_value", "short_value")


def portfolio_key(account: str) -> str:
    """Return an account's key. Raises ValueError if the account could be parsed as more than itself."""
    if not IDENTIFIER.fullmatch(account):
        raise ValueError(f"not an account: {account[:80]!r}")
    return PREFIX + account


class ValkeySnapshots:
    """Whole hashes in one round trip. Any error of the server raises Unavailable."""

    def __init__(self, client: "Redis") -> None:
        self._client = client

    @classmethod
    def at(cls, url: str, *, database: int, timeout_ms: float, connections_max: int) -> "ValkeySnapshots":
        """Create the adapter; it connects with its first call."""
        pool = BlockingConnectionPool.from_url(
            url,
            db=database,
            max_connections=connections_max,
            timeout=CONNECTION_WAIT_S,
            socket_timeout=timeout_ms / 1000,
            socket_connect_timeout=timeout_ms / 1000,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        return cls(Redis(connection_pool=pool))

    async def ping(self) -> None:
        try:
            await self._client.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"Valkey: {str(error) or type(error).__name__}") from error

    async def write(self, snapshots: Iterable[tuple[str, Mapping[str, str]]]) -> None:
        """Replace each account's hash field by field; the fields are always the same."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for account, fields in snapshots:
                    pipeline.hset(portfolio_key(account), items=[text for pair in fields.items() for text in pair])
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"Valkey: {str(error) or type(error).__name__}") from error

    async def read(self, accounts: Sequence[str]) -> list[Worth | None]:
        """Return what each account is worth, in one round trip; None for one that was not published, or not by this version."""
        client: Any = self._client  # its annotations are bytes even where texts are decoded
        try:
            async with client.pipeline(transaction=False) as pipeline:
                for account in accounts:
                    pipeline.hmget(portfolio_key(account), WORTH)
                return [_worth(fields) for fields in await pipeline.execute()]
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable(f"Valkey: {str(error) or type(error).__name__}") from error

    async def close(self) -> None:
        await self._client.connection_pool.disconnect()


def _worth(fields: Sequence[str | None]) -> Worth | None:
    updated_at, *amounts = fields
    try:
        return Worth(from_rfc3339(updated_at or ""), *(Decimal(amount or "") for amount in amounts))
    except (ValueError, InvalidOperation):
        return None
