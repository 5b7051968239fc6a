"""Objects by name, in a bucket of S3 or a directory: written once, read whole, listed, deleted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import LocalStore, MemoryStore, S3Store

from domain.ports import Missing, Unavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

T = TypeVar("T")

TIMEOUT: Final = "30s"
RETRIES_MAX: Final = 2
RETRIES_WITHIN: Final = timedelta(seconds=20)
"""No retry begins later: against a server that is silent, a call ends after TIMEOUT."""
CALLS_MAX: Final = 8
"""Calls at a time. A process that ends waits for those that are under way: a thread that came back afterwards would abort it."""

LISTED_AT_ONCE: Final = 1000
SIGNED_FOR: Final = timedelta(minutes=1)
REGION: Final = "us-east-1"
"""S3 requires a region; servers of one's own ignore it."""


class WrongAddress(ValueError):
    """An address that is neither `s3://bucket/prefix` nor `file:///directory`."""


class Objects:
    """The objects below one address.

    Each call runs on a thread of ours. The library's coroutines are not used: they hand over a result from a thread of the
    library that still needs the interpreter afterwards, and a process that ended at this moment was aborted (SIGABRT).
    """

    def __init__(self, store: S3Store | LocalStore | MemoryStore, url: str, bucket: S3Store | None = None) -> None:
        self._store = store
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="objects")
        self.url = url

    @classmethod
    def at(cls, url: str, *, endpoint: str = "", credentials: tuple[str, str] | None = None, creates: bool = True) -> "Objects":
        """Open `s3://bucket/prefix` at the server `endpoint`, or `file:///directory`, which is created if `creates`.

        Nothing is read yet. WrongAddress; Unavailable if the directory does not exist or cannot be created.
        """
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.path.strip("/") and not parts.netloc:
            try:
                return cls(LocalStore(prefix=parts.path, mkdir=creates), url)
            except BaseError as error:
                raise Unavailable(f"{url}: the directory does not exist, or cannot be opened") from error
        if parts.scheme != "s3" or not parts.netloc:
            raise WrongAddress(f"{url!r} is no address of an archive: s3://bucket/prefix or file:///directory")
        config: S3Config = {"region": REGION, "skip_signature": credentials is None}
        if endpoint:
            config["endpoint"] = endpoint
        if credentials is not None:
            config["access_key_id"], config["secret_access_key"] = credentials
        options: ClientConfig = {"allow_http": True, "timeout": TIMEOUT}
        retries: RetryConfig = {"max_retries": RETRIES_MAX, "retry_timeout": RETRIES_WITHIN}
        prefix = parts.path.strip("/") or None
        store, bucket = (
            S3Store(parts.netloc, prefix=each, config=config, client_options=options, retry_config=retries) for each in (prefix, None)
        )
        return cls(store, url, bucket if credentials is not None else None)

    async def put_new(self, name: str, data: bytes) -> bool:
        """Write an object that does not exist yet; return False, with nothing changed, if it does. Unavailable."""
        try:
            await self._call(partial(obstore.put, self._store, name, data, mode="create"))
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise Unavailable(f"{self.url}: {name} was not written: {_first_line(error)}", unknown=True) from error
        return True

    async def put(self, name: str, data: bytes) -> None:
        """Write an object, in place of what it was. Unavailable."""
        try:
            await self._call(partial(obstore.put, self._store, name, data))
        except (BaseError, OSError) as error:
            raise Unavailable(f"{self.url}: {name} was not written: {_first_line(error)}", unknown=True) from error

    async def get(self, name: str) -> bytes:
        """Return an object. Missing if it does not exist, Unavailable."""
        async with self._reading(name):
            return await self._call(lambda: bytes(obstore.get(self._store, name).bytes()))

    async def names(self, folder: str, after: str = "") -> list[str]:
        """Return the names of all objects below a folder, sorted; with `after` only those behind that name. Unavailable."""
        async with self._reading(folder):
            return await self._call(lambda: self._listed(folder, after))

    async def folders(self, folder: str) -> list[str]:
        """Return the folders right below a folder, with their whole names. Unavailable."""
        async with self._reading(folder):
            return await self._call(lambda: sorted(obstore.list_with_delimiter(self._store, folder)["common_prefixes"]))

    async def delete(self, names: Sequence[str]) -> None:
        """Delete objects; one that does not exist changes nothing. Unavailable."""
        for name in names:
            try:
                async with self._reading(name):
                    await self._call(partial(obstore.delete, self._store, name))
            except Missing:
                continue

    async def make_bucket(self) -> None:
        """Create the bucket if it is missing and these keys may create one; a directory needs nothing. Unavailable."""
        if self._bucket is None:
            return
        url = obstore.sign(self._bucket, "PUT", "", SIGNED_FOR)
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                await http.put(url)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.url}: {str(error) or type(error).__name__}") from error

    def _listed(self, folder: str, after: str) -> list[str]:
        batches = obstore.list(self._store, folder, offset=after or None, chunk_size=LISTED_AT_ONCE)
        return sorted(each["path"] for batch in batches for each in batch)

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    @asynccontextmanager
    async def _reading(self, name: str) -> AsyncIterator[None]:
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            raise Missing(f"{self.url}: {name} does not exist") from error
        except (BaseError, OSError) as error:
            raise Unavailable(f"{self.url}: {name}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
