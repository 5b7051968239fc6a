"""A restore that ends half-way."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

import pytest
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.controls import ACCESS_COMMITS, ACCESS_JOURNAL, open_journal
from adapters.jetstream import ensure_stream, stream_state
from adapters.journalcopy import Copied
from apps.cli.backup import same_shards
from apps.stack.directory import keep_shards
from apps.tools.backup import streams
from domain.access.events import AccessAccepted
from domain.ports import Head
from tests.archived import FakeStream
from tests.live import LiveServer


class Interrupted(BaseException):
    """Ctrl-C."""


class CopyOfKeys:
    """Port: apps.tools.backup.streams.Copy. The journal of access alone, with one commit."""

    def __init__(self, *others: str) -> None:
        self.others = others
        self.access = FakeStream(subjects.ACCESS_STREAM)
        self.access.put(subjects.ACCESS, ACCESS_COMMITS.encode(0, 1, (accepted(Head()),)))

    async def verified(self) -> streams.Heads:
        return {subjects.ACCESS_STREAM: self.access.heads}

    async def max_bytes(self) -> Mapping[str, int]:
        return dict.fromkeys((subjects.ACCESS_STREAM, *self.others), 2**20)

    async def messages(self) -> AsyncGenerator[tuple[str, Sequence[Copied]]]:
        yield subjects.ACCESS_STREAM, self.access.messages


def accepted(head: Head) -> AccessAccepted:
    return AccessAccepted(version=head.n + 1, at=1, who="eve", reason="restored", goes_on_from=head.seq, acknowledged_to=head.seq)


async def test_keys_are_revoked_before_the_restored_journals_are_read_back(fresh_nats: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The services may be started after a restore that was interrupted. The keys of another environment must not be valid there."""

    async def interrupted(client: Client, copied: streams.Heads, names: Mapping[str, str]) -> None:
        raise Interrupted

    monkeypatch.setattr(streams, "_compare", interrupted)
    client = await bus.connect(fresh_nats.url, "test", closed=lambda: None, timeout_s=5.0)
    try:
        with pytest.raises(Interrupted):
            await streams.bring_back(client, {subjects.ACCESS_STREAM: client}, CopyOfKeys(), lambda done: None, revoke=accepted)
        assert (await (await open_journal(client, ACCESS_JOURNAL)).head()).n == 2
    finally:
        await client.close()


async def test_the_revocation_is_part_of_what_is_read_back(fresh_nats: LiveServer) -> None:
    copy = CopyOfKeys()
    client = await bus.connect(fresh_nats.url, "test", closed=lambda: None, timeout_s=5.0)
    try:
        heads = await streams.bring_back(client, {subjects.ACCESS_STREAM: client}, copy, lambda done: None, revoke=accepted)
        assert heads == {subjects.ACCESS_STREAM: copy.access.heads}, "what the copy has"
        with pytest.raises(streams.NotEmpty, match="the stream ACCESS holds 2 commits"):
            await streams.bring_back(client, {}, copy, lambda done: None)
    finally:
        await client.close()


async def test_a_copy_of_another_number_of_shards_is_refused_before_anything_is_written(fresh_nats: LiveServer) -> None:
    copy = CopyOfKeys(*(subjects.order_stream(shard, 2) for shard in range(2)))
    client = await bus.connect(fresh_nats.url, "test", closed=lambda: None, timeout_s=5.0)
    try:
        await ensure_stream(client, subjects.ORDER_STREAM, [subjects.ORDER_JOURNALS], 2**20)
        with pytest.raises(streams.CopiedShardsDiffer, match="the copy has 2 shards, and the order journal here has 1"):
            await streams.bring_back(client, {}, copy, lambda done: None)
        assert await stream_state(client, subjects.order_stream(1, 2)) is None
        assert await stream_state(client, subjects.ACCESS_STREAM) is None
    finally:
        await client.close()


def test_a_copy_of_another_number_of_shards_is_refused_by_the_stack_of_the_directory(tmp_path: Path) -> None:
    """Its users of NATS have no rights for further streams, and a request without rights has no answer."""
    keep_shards(tmp_path, 4)
    same_shards(tmp_path, 4)
    same_shards(None, 2)
    with pytest.raises(streams.CopiedShardsDiffer, match="the copy has 1 shard, and the order journal here has 4"):
        same_shards(tmp_path, 1)
