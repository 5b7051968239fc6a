"""A restore that ends half-way."""

from collections.abc import AsyncGenerator, Mapping, Sequence

import pytest
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.controls import ACCESS_COMMITS, ACCESS_JOURNAL, open_journal
from adapters.journalcopy import Copied
from apps.tools.backup import streams
from domain.access.events import AccessAccepted
from domain.ports import Head
from tests.archived import FakeStream
from tests.live import LiveServer


class Interrupted(BaseException):
    """Ctrl-C."""


class CopyOfKeys:
    """Port: apps.tools.backup.streams.Copy. The journal of access alone, with one commit."""

    def __init__(self) -> None:
        self.access = FakeStream(subjects.ACCESS_STREAM)
        self.access.put(subjects.ACCESS, ACCESS_COMMITS.encode(0, 1, (accepted(Head()),)))

    async def verified(self) -> streams.Heads:
        return {subjects.ACCESS_STREAM: self.access.heads}

    async def max_bytes(self) -> Mapping[str, int]:
        return {subjects.ACCESS_STREAM: 2**20}

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
