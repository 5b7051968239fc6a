"""The journal on JetStream: one message is one commit, fenced by the last sequence, chained, fsynced before the ack."""

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.chain import GENESIS, ChainReading, following, is_foreign, number
from adapters.feed import API, STORED, Feed
from domain.order.events import Foreign
from domain.ports import FOREIGN_MAX, Corrupt, Fenced, Head, JournalEntry, Missing, Unavailable

log = structlog.get_logger()

EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
COMMIT_ID: Final = "Nats-Msg-Id"
CHAIN: Final = "Oms-Chain"

WRONG_LAST_SEQUENCE: Final = 10071
IN_FLIGHT: Final = 10164
NO_MESSAGE: Final = 10037
NO_STREAM: Final = 10059
SETTLED_BY_READING: Final = frozenset({WRONG_LAST_SEQUENCE, IN_FLIGHT})

API_TIMEOUT_S: Final = 2.0
SETTLE_PAUSE_S: Final = 0.02
CONNECTION_WAIT_S: Final = 1.0
"""How long a commit waits for a connection before it fails; nothing of it has been sent."""
LOOK_BEHIND_EVERY: Final = 10
"""How many quiet intervals of a read pass between two checks for missing commits."""
DUPLICATE_WINDOW_S: Final = 30
READABLE: Final = {"allow_direct": True, "republish": {"src": ">", "dest": f"{STORED}.>"}}
"""The settings that a stream needs to be read (adapters.feed)."""


class OldStream(Exception):
    """The stream lacks the settings for reading. Only the admin can add them: no service may change a stream."""


FOREIGN_SEEN: Final[dict[str, set[int]]] = {}
"""Sequences of skipped foreign messages in this process, by journal, for its metrics; at most FOREIGN_MAX of each."""


class StreamState(msgspec.Struct, frozen=True):
    """How much a stream holds, and the sequence of its newest message."""

    messages: int
    bytes: int
    max_bytes: int
    last_seq: int


async def stream_state(client: Client, name: str) -> StreamState | None:
    """Return the stream's state; None if it does not exist. Raises Unavailable."""
    answer = await _info(client, name)
    if answer is None:
        return None
    state = answer["state"]
    return StreamState(state["messages"], state["bytes"], answer["config"]["max_bytes"], state["last_seq"])


async def stream_metadata(client: Client, name: str) -> Mapping[str, str] | None:
    """Return the metadata that a stream was created with; None if it does not exist. Raises Unavailable."""
    answer = await _info(client, name)
    return None if answer is None else answer["config"].get("metadata") or {}


async def _info(client: Client, name: str) -> dict[str, Any] | None:
    answer = await _api(client, f"STREAM.INFO.{name}", {})
    if "error" not in answer:
        return answer
    if answer["error"].get("err_code") == NO_STREAM:
        return None
    raise Unavailable(f"stream {name}: {answer['error'].get('description')}")


async def stream_subjects(client: Client, name: str) -> Sequence[str]:
    """Return the subjects of which a stream holds messages; none if it does not exist. Raises Unavailable."""
    answer = await _api(client, f"STREAM.INFO.{name}", {"subjects_filter": ">"})
    return sorted(answer.get("state", {}).get("subjects") or ())


async def ensure_stream(
    client: Client,
    name: str,
    subjects: Sequence[str],
    max_bytes: int,
    replicas: int = 1,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Create the stream if it is missing: on disk, nothing ever deleted or purged, full means refused. Raises Unavailable, OldStream.

    `metadata` is stored with a stream that is created.
    """
    found = await _info(client, name)
    if found is None:
        config = _stream_config(name, subjects, max_bytes, replicas)
        await _make(client, "CREATE", name, config | {"metadata": dict(metadata)} if metadata else config)
    elif not _is_readable(found["config"]):
        raise OldStream(f"the stream {name} was created by an earlier release and cannot be read by this one: run trade journal upgrade")


async def make_readable(client: Client, name: str) -> bool:
    """Make a stream of an earlier release readable; return False if it already is. Needs the admin. Raises Unavailable, Missing."""
    found = await _info(client, name)
    if found is None:
        raise Missing(f"there is no stream {name}")
    if _is_readable(found["config"]):
        return False
    await _make(client, "UPDATE", name, found["config"] | READABLE)
    return True


def _is_readable(config: Mapping[str, Any]) -> bool:
    return all(config.get(key) == value for key, value in READABLE.items())


async def _make(client: Client, verb: str, name: str, config: dict[str, Any]) -> None:
    answer = await _api(client, f"STREAM.{verb}.{name}", config)
    if "error" in answer:
        raise Unavailable(f"stream {name}: {answer['error'].get('description')}")


def _stream_config(name: str, subjects: Sequence[str], max_bytes: int, replicas: int) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": list(subjects),
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": max_bytes,
        "num_replicas": replicas,
        "deny_delete": True,
        "deny_purge": True,
        "duplicate_window": DUPLICATE_WINDOW_S * 1_000_000_000,
        **READABLE,
    }


class JetStreamJournal:
    """One shard (one subject) of a stream. Port: domain.ports.Journal."""

    def __init__(
        self, client: Client, writer: Client, stream: str, subject: str, *, append_timeout_s: float, append_deadline_s: float
    ) -> None:
        self._client = client
        self._writing = writer
        self._stream = stream
        self._subject = subject
        self._append_timeout_s = append_timeout_s
        self._append_deadline_s = append_deadline_s
        self._writer = secrets.token_hex(6)
        self._inbox = writer.new_inbox()
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._passed: dict[int, Foreign] = {}
        self._foreign_end = (0, GENESIS)
        """The last message if it was foreign, and the last commit before it."""

    @property
    def passed(self) -> Sequence[Foreign]:
        return [self._passed[seq] for seq in sorted(self._passed)]

    @classmethod
    async def open(
        cls,
        client: Client,
        *,
        stream: str,
        subject: str,
        writer: Client | None = None,
        append_timeout_s: float = 0.5,
        append_deadline_s: float = 2.0,
    ) -> "JetStreamJournal":
        """Open a journal over an existing stream (ensure_stream), ready to read and to append.

        Commits use the connection `writer`, which needs no other right than to publish them; by default `client`.
        """
        writer = writer or client
        journal = cls(client, writer, stream, subject, append_timeout_s=append_timeout_s, append_deadline_s=append_deadline_s)
        await writer.subscribe(f"{journal._inbox}.*", cb=journal._on_ack)
        return journal

    async def head(self) -> Head:
        last = await self._get({"last_by_subj": self._subject})
        if last is None:
            return GENESIS
        return await self._commit_before(last[0]) if _is_foreign(*last) else last[0].head

    async def _commit_before(self, last: JournalEntry) -> Head:
        """Search backwards for the last commit before a foreign message. The result is cached: stored messages do not change."""
        self._pass(_foreign(last))
        known, head = self._foreign_end
        at = last.head.seq
        while at > known:
            at -= 1
            found = await self._get({"seq": at}) if at else None
            if found is not None and not _is_foreign(*found):
                head = found[0].head
                break
        self._foreign_end = (last.head.seq, head)
        return head

    async def foreign(self, after: Head) -> Sequence[Foreign]:
        found: list[Foreign] = []
        at = after.seq
        while len(found) < FOREIGN_MAX:
            message = await self._get({"seq": at + 1, "next_by_subj": self._subject})
            if message is None or not _is_foreign(*message):
                break
            found.append(_foreign(message[0]))
            at = message[0].head.seq
        return found

    async def read(self, seq: int) -> JournalEntry | None:
        if seq < 1:
            return None
        found = await self._get({"seq": seq})
        return found[0] if found and not _is_foreign(*found) else None

    async def append(self, payload: bytes, after: Head) -> Head:
        """Publish until the outcome is known: an ack, this commit read back, or another writer's in its place (Fenced)."""
        chain = following(after, payload)
        commit_id = f"{after.n + 1}-{self._writer}-{chain[:8]}"
        headers = {EXPECTED: str(after.seq), COMMIT_ID: commit_id, CHAIN: chain}
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + self._append_deadline_s
        sent = False
        while loop.time() < (deadline if sent else min(deadline, began + CONNECTION_WAIT_S)):
            try:
                ack = await self._publish(payload, headers, min(self._append_timeout_s, deadline - loop.time()))
                sent = True
            except _NotSent:
                ack = None
            except TimeoutError:
                ack, sent = None, True
            if ack is not None and "error" not in ack:
                return Head(int(ack["seq"]), after.n + 1, chain)
            if ack is not None and ack["error"].get("err_code") not in SETTLED_BY_READING:
                raise Unavailable(f"the journal refused a commit: {ack['error'].get('description')}")
            left = deadline - loop.time()
            if sent and left > 0 and (head := await self._settle(commit_id, after, left)) is not None:
                return head
            await asyncio.sleep(SETTLE_PAUSE_S)
        if not sent:
            raise Unavailable("no connection to the journal")
        raise Unavailable(f"commit {after.n + 1} was not acknowledged within {self._append_deadline_s} s", unknown=True)

    async def _settle(self, commit_id: str, after: Head, timeout_s: float) -> Head | None:
        """Read the shard's last commit from the leader: this one is success, the one before it means resend (None), another is a fence."""
        try:
            last = await self._get({"last_by_subj": self._subject}, timeout_s)
        except Unavailable:
            return None
        recorded, found_id = last if last else (JournalEntry(GENESIS, b""), "")
        if found_id == commit_id:
            return recorded.head
        if recorded.head.seq == after.seq:
            return None
        if last is not None and _is_foreign(*last):
            raise Fenced(f"sequence {recorded.head.seq} is no commit: it was not written by a writer")
        raise Fenced(f"sequence {recorded.head.seq} was written by another writer ({found_id}), not {commit_id}")

    async def follow(self, after: Head, *, until: int | None = None) -> AsyncGenerator[Sequence[JournalEntry]]:
        reading = ChainReading(after)
        if until is not None and reading.at >= until:
            return
        feed, empty = Feed(self._client, self._stream, self._subject, after.seq), 0
        async with contextlib.aclosing(feed.batches()) as batches:
            async for messages in batches:
                recorded: list[JournalEntry] = []
                for seq, message in messages:
                    commit_id, chain = _claimed(message.headers)
                    if number(commit_id) > reading.head.n + 1:
                        await self._check_hole(reading.head)
                    found = reading.take(seq, commit_id, chain, message.data)
                    if isinstance(found, Foreign):
                        self._pass(found)
                    else:
                        recorded.append(found)
                    if seq == until:
                        break
                if recorded:
                    yield recorded
                if until is not None and reading.at >= until:
                    return
                empty = 0 if messages else empty + 1
                if empty and (until is not None or empty % LOOK_BEHIND_EVERY == 0):
                    await self._check_end(reading.head, until)

    async def _check_hole(self, head: Head) -> None:
        """Check a gap. If the leader has the commit in between, it was lost in transit: raise Unavailable to read again."""
        found = await self._next(head)
        if found is not None and found.n == head.n + 1:
            raise Unavailable(f"commit {found.n} was lost in transit, reading again")

    async def _check_end(self, head: Head, until: int | None) -> None:
        """Check the end of the journal. Raises Corrupt if a commit is missing there: a damaged last commit leaves no other gap."""
        if until is None and (await self.head()).seq <= head.seq:
            return
        if await self._next(head) is None:
            raise Corrupt(f"sequence {head.seq + 1}: the commit behind {head.n} cannot be read: the journal has a gap at its end")

    async def _next(self, head: Head) -> Head | None:
        """Return the leader's first commit behind `head`; None if it has none, or cannot read it. Raises Unavailable."""
        at = head.seq
        while (found := await self._get({"seq": at + 1, "next_by_subj": self._subject})) is not None:
            if not _is_foreign(*found):
                return found[0].head
            at = found[0].head.seq
        return None

    def _pass(self, found: Foreign) -> None:
        """Record a foreign message, and log it once in this process."""
        seen = FOREIGN_SEEN.setdefault(self._subject, set())
        if found.seq not in seen and len(seen) < FOREIGN_MAX:
            seen.add(found.seq)
            log.error("skipping a message in the journal: not a commit", journal=self._subject, sequence=found.seq, sha256=found.sha256)
        if len(self._passed) < FOREIGN_MAX:
            self._passed[found.seq] = found

    async def _publish(self, payload: bytes, headers: dict[str, str], timeout_s: float) -> dict[str, Any]:
        token = secrets.token_hex(8)
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            try:
                await self._writing.publish(self._subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            except (nats.errors.Error, OSError) as error:
                raise _NotSent from error
            return await asyncio.wait_for(waiting, timeout_s)
        finally:
            del self._waiting[token]

    async def _on_ack(self, message: Msg) -> None:
        """Resolve the waiting append. The client's own publish_async never fails its future on a server error."""
        waiting = self._waiting.get(message.subject.rsplit(".", 1)[1])
        if waiting is None or waiting.done():
            return
        try:
            waiting.set_result(json.loads(message.data))
        except ValueError:
            waiting.set_result({"error": {"err_code": IN_FLIGHT, "description": "unreadable ack"}})

    async def _get(self, which: dict[str, object], timeout_s: float = API_TIMEOUT_S) -> tuple[JournalEntry, str] | None:
        """Return one message from the leader (a direct get may be stale on a replica). None if there is none."""
        answer = await _api(self._client, f"STREAM.MSG.GET.{self._stream}", which, timeout_s)
        if "error" in answer:
            if answer["error"].get("err_code") == NO_MESSAGE:
                return None
            kind = Missing if answer["error"].get("err_code") == NO_STREAM else Unavailable
            raise kind(f"stream {self._stream}: {answer['error'].get('description')}")
        message = answer["message"]
        if message["subject"] != self._subject:
            return None  # the stream is shared with other journals
        headers = _headers(base64.b64decode(message.get("hdrs", "")))
        commit_id = headers.get(COMMIT_ID, "")
        head = Head(int(message["seq"]), number(commit_id), headers.get(CHAIN, ""))
        return JournalEntry(head, base64.b64decode(message.get("data", ""))), commit_id


class _NotSent(Exception):
    """The client had no connection: nothing left this process."""


async def _api(client: Client, what: str, body: dict[str, object], timeout_s: float = API_TIMEOUT_S) -> dict[str, Any]:
    reply = await bus.request(client, f"{API}.{what}", json.dumps(body).encode(), timeout_s)
    answer: dict[str, Any] = json.loads(reply)
    return answer


def _claimed(headers: Mapping[str, str] | None) -> tuple[str, str]:
    """Return the commit id and the chain value in a message's headers."""
    known = headers or {}
    return known.get(COMMIT_ID, ""), known.get(CHAIN, "")


def _is_foreign(recorded: JournalEntry, commit_id: str) -> bool:
    return is_foreign(commit_id, recorded.head.chain)


def _foreign(recorded: JournalEntry) -> Foreign:
    return Foreign(recorded.head.seq, hashlib.sha256(recorded.payload).hexdigest())


def _headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode(errors="replace").split("\r\n")[1:]
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines) if key}
