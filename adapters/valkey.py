"""Positions in Valkey: a hash for each, and the journal sequence they represent, changed in one step by a function in the server."""

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from domain.ports import Unavailable
from domain.position.position import Position
from domain.shards import ONE_SHARD, Shards
from domain.values import IDENTIFIER, SYMBOL, plain, subject_token

log = structlog.get_logger()

DATABASE: Final = 5
TIMEOUT_MS: Final = 100.0
CONNECTIONS_MAX: Final = 20
CONNECTION_WAIT_S: Final = 1.0
READ_MANY: Final = 500
"""Hashes in one round trip, so that each trip is well within the timeout."""
OF_TRIES_MAX: Final = 5

CHECKPOINT: Final = "projection:positions"
ACCOUNTS: Final = "projection:accounts"
SYMBOLS: Final = "projection:symbols:"
"""The prefix of a hash of an account's symbols, so that no reader scans keys. Its value is the whole position if the key may expire."""

FIELDS: Final = ("quantity", "last_price", "average_price", "realised_pnl", "fees", "cost", "updated_at", "seq")

STORE: Final = """
local function store(keys, args)
  if (redis.call('GET', keys[1]) or '0') ~= args[1] then return 0 end
  local ttl, arg = tonumber(args[3]), 4
  for key = 3, #keys, 2 do
    local account, symbol, flat = args[arg], args[arg + 1], args[arg + 2]
    redis.call('HSET', keys[key], 'quantity', args[arg + 3], 'last_price', args[arg + 4], 'average_price', args[arg + 5],
      'realised_pnl', args[arg + 6], 'fees', args[arg + 7], 'cost', args[arg + 8], 'updated_at', args[arg + 9], 'seq', args[arg + 10])
    if flat == '' then redis.call('PERSIST', keys[key]) else redis.call('EXPIRE', keys[key], ttl) end
    redis.call('HSET', keys[key + 1], symbol, flat)
    redis.call('SADD', keys[2], account)
    arg = arg + 11
  end
  redis.call('SET', keys[1], args[2])
  return 1
end
"""
# FUNCTION LOAD persists: the name carries the text's hash, so that an older program's function is not called by it.
NAME: Final = "positions_store_" + hashlib.sha256(STORE.encode()).hexdigest()[:12]
LIBRARY: Final = f"#!lua name={NAME}\n{STORE}\nredis.register_function('{NAME}', store)\n"


def position_key(account: str, symbol: str) -> str:
    """Return `position:<account>:<symbol>`. Raises ValueError if a part could be parsed as more than itself."""
    if not SYMBOL.fullmatch(symbol):
        raise ValueError(f"not a symbol: {symbol[:80]!r}")
    return f"position:{_checked(account)}:{subject_token(symbol)}"


RETRIES: Final = 1
"""A pooled connection may be older than the server. A repeat changes nothing: a second `store` is refused by its `after`."""


class ValkeyPositions:
    """Port: domain.ports.Positions. Any error of the server raises Unavailable; the data sent may then have been stored."""

    def __init__(self, client: Redis, address: str, position_ttl_sec: int, shards: Shards = ONE_SHARD, shard: int = 0) -> None:
        self._client: Any = client  # its annotations are bytes even where texts are decoded
        self._address = address
        self._ttl = position_ttl_sec
        self._shards = shards
        self._checkpoint_key, self._accounts_key = self._of_shard(CHECKPOINT, shard), self._of_shard(ACCOUNTS, shard)
        self._connected = False

    @classmethod
    def at(
        cls,
        url: str,
        *,
        database: int = DATABASE,
        position_ttl_sec: int = 0,
        timeout_ms: float = TIMEOUT_MS,
        connections_max: int = CONNECTIONS_MAX,
        shards: Shards = ONE_SHARD,
        shard: int = 0,
    ) -> "ValkeyPositions":
        """Create the adapter; it connects with its first call. A flat position's key is kept for `position_ttl_sec` (0: never removed).

        With several shards, all calls but `of` are about the accounts of `shard`.
        """
        pool = BlockingConnectionPool.from_url(
            url,
            db=database,
            max_connections=connections_max,
            timeout=CONNECTION_WAIT_S,
            socket_timeout=timeout_ms / 1000,
            socket_connect_timeout=timeout_ms / 1000,
            retry=Retry(NoBackoff(), RETRIES),
            decode_responses=True,
        )
        return cls(Redis(connection_pool=pool), urlsplit(url).netloc.rpartition("@")[2], position_ttl_sec, shards, shard)

    def _of_shard(self, key: str, shard: int) -> str:
        return key if self._shards.count == 1 else f"{key}:{shard}"

    async def close(self) -> None:
        await self._client.connection_pool.disconnect()

    async def ping(self) -> None:
        """Raise Unavailable if the server does not answer."""
        with self._answering():
            await self._client.ping()

    async def checkpoint(self) -> int:
        with self._answering():
            return int(await self._client.get(self._checkpoint_key) or 0)

    async def load(self) -> list[Position]:
        """Return all positions, also those with expired keys.

        If a key was deleted, clear all of them for a rebuild and raise Unavailable.
        """
        with self._answering():
            accounts: list[str] = sorted(await self._client.smembers(self._accounts_key))
            indexes = await self._hashes([SYMBOLS + account for account in accounts])
            wanted = [(account, symbol, rest) for account, index in zip(accounts, indexes, strict=True) for symbol, rest in index.items()]
            found = await self._hashes([position_key(account, symbol) for account, symbol, _ in wanted])
        positions = [_position(a, s, fields or _fields(rest)) for (a, s, rest), fields in zip(wanted, found, strict=True) if fields or rest]
        if len(positions) < len(wanted):
            await self.clear()
            raise Unavailable("a position was deleted from Valkey: all are cleared and will be rebuilt from the journal")
        return positions

    async def of(self, account: str) -> tuple[list[Position], int]:
        """Read positions and checkpoint in one step; again if a new symbol appeared in between."""
        index, checkpoint = SYMBOLS + _checked(account), self._of_shard(CHECKPOINT, self._shards.of(account))
        with self._answering():
            for _ in range(OF_TRIES_MAX):
                symbols: list[str] = sorted(await self._client.hkeys(index))
                async with self._client.pipeline(transaction=True) as step:
                    step.get(checkpoint).hlen(index)
                    for symbol in symbols:
                        step.hgetall(position_key(account, symbol))
                    seq, count, *hashes = await step.execute()
                if count == len(symbols):
                    return [_position(account, s, fields) for s, fields in zip(symbols, hashes, strict=True) if fields], int(seq or 0)
        raise Unavailable(f"the positions of {account} change faster than they can be read; retry")

    async def store(self, changed: Iterable[Position], *, after: int, seq: int) -> bool:
        """Store positions in one function call. Its time grows with their number: a few thousand fit the timeout."""
        keys, args = [self._checkpoint_key, self._accounts_key], [str(after), str(seq), str(self._ttl)]
        for position in changed:
            account, symbol, values = position.account, position.symbol, _values(position)
            keys += (position_key(account, symbol), SYMBOLS + account)
            args += (account, symbol, " ".join(values) if self._ttl and not position.quantity else "", *values)
        with self._answering():
            return bool(await self._call(keys, args))

    async def clear(self) -> None:
        """Delete everything, the checkpoint first: after a crash in between, the rest is not used."""
        with self._answering():
            await self._client.delete(self._checkpoint_key)
            for account in await self._client.smembers(self._accounts_key):
                symbols: list[str] = list(await self._client.hkeys(SYMBOLS + account))
                for part in _parts(symbols):
                    await self._client.unlink(*(position_key(account, symbol) for symbol in part))
                await self._client.unlink(SYMBOLS + account)
            await self._client.unlink(self._accounts_key)

    async def _call(self, keys: list[str], args: list[str]) -> int:
        """Call the function. A replaced or flushed server has none: load it and call again. Only the projector may load it."""
        try:
            return int(await self._client.fcall(NAME, len(keys), *keys, *args))
        except ResponseError as error:
            if "function not found" not in str(error).lower():
                raise
        try:
            await self._client.function_load(LIBRARY, replace=True)
        except NoPermissionError as error:
            raise Unavailable(
                "Valkey does not have the function that stores positions; the projector loads it with its next write"
            ) from error
        return int(await self._client.fcall(NAME, len(keys), *keys, *args))

    async def _hashes(self, keys: Sequence[str]) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        for part in _parts(keys):
            async with self._client.pipeline(transaction=False) as together:
                for key in part:
                    together.hgetall(key)
                found += await together.execute()
        return found

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (RedisError, OSError, TimeoutError) as error:
            self._connected = False
            raise Unavailable(f"Valkey: {str(error) or type(error).__name__}", unknown=True) from error
        if not self._connected:
            self._connected = True
            log.info("Connected to Redis", address=self._address)


def _checked(account: str) -> str:
    if not IDENTIFIER.fullmatch(account):
        raise ValueError(f"not an account: {account[:80]!r}")
    return account


def _values(position: Position) -> tuple[str, ...]:
    """Return the values in the order of FIELDS."""
    p = position
    numbers = (p.quantity, p.last_price, p.average_price, p.realised_pnl, p.fees, p.cost)
    return (*map(plain, numbers), str(p.updated_at), str(p.seq))


def _fields(rest: str) -> dict[str, str]:
    return dict(zip(FIELDS, rest.split(" "), strict=True))


def _position(account: str, symbol: str, fields: dict[str, str]) -> Position:
    """Decode a position. The average price is stored for readers only; here it follows from the cost."""
    return Position(
        account=account,
        symbol=symbol,
        quantity=Decimal(fields["quantity"]),
        cost=Decimal(fields["cost"]),
        realised_pnl=Decimal(fields["realised_pnl"]),
        fees=Decimal(fields["fees"]),
        last_price=Decimal(fields["last_price"]),
        updated_at=int(fields["updated_at"]),
        seq=int(fields["seq"]),
    )


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + READ_MANY] for start in range(0, len(keys), READ_MANY))
