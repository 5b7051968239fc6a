"""Write journals to a backup, and restore a backup into empty servers."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from nats.aio.client import Client

from adapters import journalcopy, subjects
from adapters.controls import ACCESS_COMMITS, ACCESS_JOURNAL, open_journal
from adapters.jetstream import ensure_stream, stream_state
from adapters.order_streams import SHARDS, created_with, shards_of
from apps.tools.backup.file import Heading, Seal, Writer, entries, heading_of, sealed
from domain.access.events import AccessAccepted
from domain.ports import Corrupt, Head

Progress = Callable[[int], None]


Heads = Mapping[str, Mapping[str, Head]]
"""The last commit of each journal of each stream."""


class Copy(Protocol):
    """A copy of all journals: a backup, or an archive."""

    async def verified(self) -> Heads:
        """Verify every message against the chains; return where they end. Raises Corrupt, Unavailable."""

    async def max_bytes(self) -> Mapping[str, int]:
        """Return the streams to create, with their maximum bytes. Raises Corrupt, Unavailable."""

    def messages(self) -> AsyncGenerator[tuple[str, Sequence[journalcopy.Copied]]]:
        """Yield all messages stream by stream, in order. Raises Corrupt, Unavailable."""


class BackupCopy:
    """The copy in the file of a backup."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def verified(self) -> Heads:
        return sealed(self._path).heads

    async def max_bytes(self) -> Mapping[str, int]:
        return heading_of(self._path).max_bytes

    async def messages(self) -> AsyncGenerator[tuple[str, Sequence[journalcopy.Copied]]]:
        waiting: list[journalcopy.Copied] = []
        stream = ""
        for entry in entries(self._path):
            if waiting and (entry.stream != stream or len(waiting) >= journalcopy.AT_ONCE):
                yield stream, waiting
                waiting = []
            stream = entry.stream
            waiting.append(entry.message)
        if waiting:
            yield stream, waiting


class NotEmpty(Exception):
    """A journal already has commits, and a restore does not overwrite it."""


class CopiedShardsDiffer(Exception):
    """The servers are for another number of shards than the copy has."""

    def __init__(self, copied: int, expected: int) -> None:
        super().__init__(f"the copy has {copied} shard{'' if copied == 1 else 's'}, and the order journal here has {expected}")
        self.copied = copied


async def size(client: Client) -> int:
    """Return the number of commits in all streams."""
    states = [await stream_state(client, name) for name in journalcopy.streams(await shards_of(client))]
    return sum(state.messages for state in states if state)


async def keep(client: Client, path: Path, at_ns: int, progress: Progress, *, replace: bool = False) -> Seal:
    """Write all journals as of now, with services running or not, then verify the file. Corrupt, Unavailable, OSError."""
    streams = journalcopy.streams(await shards_of(client))
    states = {name: await stream_state(client, name) for name in streams}
    heading = Heading(1, at_ns, {name: state.max_bytes for name, state in states.items() if state})
    done = 0
    with Writer(path, heading, replace=replace) as file:
        for name in heading.max_bytes:
            async for batch in journalcopy.out_of(client, name, streams[name]):
                for message in batch:
                    file.write(name, message)
                done += len(batch)
                progress(done)
        file.seal()
    return sealed(path)


async def bring_back(
    client: Client, writers: Mapping[str, Client], copy: Copy, progress: Progress, *, revoke: Callable[[Head], AccessAccepted] | None = None
) -> Heads:
    """Restore into servers without journals. The whole copy is verified before the first commit.

    NotEmpty, CopiedShardsDiffer, Corrupt, Unavailable.

    `client` creates the streams and reads; `writers` has, for each stream, the connection that may write it.
    `revoke` makes the event, from the head of the journal of access, that revokes the restored keys; None keeps them.
    """
    heads, max_bytes = await copy.verified(), await copy.max_bytes()
    shards = journalcopy.shards_in(max_bytes)
    if (created := await created_with(client) or shards) != shards:
        raise CopiedShardsDiffer(shards, created)
    streams = journalcopy.streams(shards)
    for name in streams:
        state = await stream_state(client, name)
        if state is not None and state.messages:
            raise NotEmpty(f"the stream {name} holds {state.messages} commits")
    for name, most in max_bytes.items():
        several = shards > 1 and name.startswith(subjects.ORDER_STREAM)
        await ensure_stream(client, name, [streams[name]], most, metadata={SHARDS: str(shards)} if several else {})
    done = 0
    async with contextlib.aclosing(copy.messages()) as batches:
        async for stream, messages in batches:
            await journalcopy.into(writers[stream], messages)
            done += len(messages)
            progress(done)
    expected = {stream: dict(of) for stream, of in heads.items()}
    if revoke is not None and subjects.ACCESS_STREAM in expected:  # first: reading back takes time, and may be interrupted
        expected[subjects.ACCESS_STREAM] |= await _revoke(client, writers[subjects.ACCESS_STREAM], revoke)
    await _compare(client, expected, streams)
    return heads


async def _revoke(client: Client, writer: Client, revoke: Callable[[Head], AccessAccepted]) -> Mapping[str, Head]:
    """Append the event that revokes all keys, behind the restored ones; return where their journal ends. Empty if it has no keys."""
    journal = await open_journal(client, ACCESS_JOURNAL, writer)
    head = await journal.head()
    if not head.seq:
        return {}
    return {ACCESS_JOURNAL.subject: await journal.append(ACCESS_COMMITS.encode(0, head.n + 1, (revoke(head),)), head)}


async def _compare(client: Client, copied: Heads, streams: Mapping[str, str]) -> None:
    """Read the streams back: every chain must end at the head in the copy."""
    for name, heads in copied.items():
        chains = journalcopy.Chains()
        async for batch in journalcopy.out_of(client, name, streams[name]):
            for message in batch:
                chains.take(message)
        if chains.heads != heads:
            raise Corrupt(f"the stream {name} differs from the copy")
