"""Write journals to a backup, and restore a backup into empty servers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from nats.aio.client import Client

from adapters import journalcopy, subjects
from adapters.controls import ACCESS_COMMITS, ACCESS_JOURNAL, open_journal
from adapters.jetstream import ensure_stream, stream_state
from apps.tools.backup.file import Heading, Seal, Writer, entries, heading_of, sealed
from domain.access.events import AccessAccepted
from domain.ports import Corrupt, Head

STREAMS: Final = {
    subjects.ORDER_STREAM: subjects.ORDER_JOURNALS,
    subjects.VENUE_STREAM: subjects.VENUE_JOURNALS,
    subjects.CONTROL_STREAM: subjects.CONTROL_EVENTS,
    subjects.ACCESS_STREAM: subjects.ACCESS_JOURNALS,
}
"""Saved in this order: a venue may be ahead of oms, which requests missed reports; the other way round reports would be lost."""
Progress = Callable[[int], None]


class NotEmpty(Exception):
    """A journal already has commits, and a restore does not overwrite it."""


async def size(client: Client) -> int:
    """Return the number of commits in all streams."""
    states = [await stream_state(client, name) for name in STREAMS]
    return sum(state.messages for state in states if state)


async def keep(client: Client, path: Path, at_ns: int, progress: Progress, *, replace: bool = False) -> Seal:
    """Write all journals as of now, with services running or not, then verify the file. Corrupt, Unavailable, OSError."""
    states = {name: await stream_state(client, name) for name in STREAMS}
    heading = Heading(1, at_ns, {name: state.max_bytes for name, state in states.items() if state})
    done = 0
    with Writer(path, heading, replace=replace) as file:
        for name in heading.max_bytes:
            async for batch in journalcopy.out_of(client, name, STREAMS[name]):
                for message in batch:
                    file.write(name, message)
                done += len(batch)
                progress(done)
        file.seal()
    return sealed(path)


async def bring_back(
    client: Client, writers: Mapping[str, Client], path: Path, progress: Progress, *, revoke: Callable[[Head], AccessAccepted] | None = None
) -> Seal:
    """Restore into servers without journals. The whole file is verified before the first commit. NotEmpty, Corrupt, Unavailable.

    `client` creates the streams and reads; `writers` has, for each stream, the connection that may write it.
    `revoke` makes the event, from the head of the journal of access, that revokes the restored keys; None keeps them.
    """
    seal = sealed(path)
    for name in STREAMS:
        state = await stream_state(client, name)
        if state is not None and state.messages:
            raise NotEmpty(f"the stream {name} holds {state.messages} commits")
    for name, max_bytes in heading_of(path).max_bytes.items():
        await ensure_stream(client, name, [STREAMS[name]], max_bytes)
    waiting: list[journalcopy.Copied] = []
    stream, done = "", 0
    for entry in entries(path):
        if waiting and (entry.stream != stream or len(waiting) >= journalcopy.AT_ONCE):
            await journalcopy.into(writers[stream], waiting)
            done, waiting = done + len(waiting), []
            progress(done)
        stream = entry.stream
        waiting.append(entry.message)
    if waiting:
        await journalcopy.into(writers[stream], waiting)
    progress(done + len(waiting))
    await _compare(client, seal)
    if revoke is not None and subjects.ACCESS_STREAM in seal.heads:
        await _revoke(client, writers[subjects.ACCESS_STREAM], revoke)
    return seal


async def _revoke(client: Client, writer: Client, revoke: Callable[[Head], AccessAccepted]) -> None:
    """Append the event that revokes all keys, behind the restored ones."""
    journal = await open_journal(client, ACCESS_JOURNAL, writer)
    head = await journal.head()
    if head.seq:
        await journal.append(ACCESS_COMMITS.encode(0, head.n + 1, (revoke(head),)), head)


async def _compare(client: Client, seal: Seal) -> None:
    """Read the streams back: every chain must end at the head in the seal."""
    for name, heads in seal.heads.items():
        chains = journalcopy.Chains()
        async for batch in journalcopy.out_of(client, name, STREAMS[name]):
            for message in batch:
                chains.take(message)
        if chains.heads != heads:
            raise Corrupt(f"the stream {name} differs from the backup")
