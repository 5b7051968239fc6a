"""The lease store on NATS: the key-value bucket OMS_SHARDS. Every write expects a revision, which is the key's last sequence.

It is read like the journals, without a consumer (adapters/feed.py), so that the rights stay small.
"""

import base64
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client

from adapters import bus, subjects
from adapters.codec import encode
from adapters.feed import API, STORED, Feed, subject_of
from adapters.jetstream import EXPECTED, NO_MESSAGE, NO_STREAM, WRONG_LAST_SEQUENCE
from domain.leases import CLUSTER, KEY, KINDS, LeaseEntry, LeaseValue, name_in
from domain.ports import Fenced, Missing, Unavailable

log = structlog.get_logger()

TTL: Final = "Nats-TTL"
TTL_S: Final = 60
"""Keys that are no longer renewed disappear after this time. It only tidies up: no unit takes a shard because of it."""
OPERATION: Final = "KV-Operation"
DELETED: Final = "DEL"
ANSWER_S: Final = 1.0
BUCKET_BYTES_MAX: Final = 4 * 1024 * 1024
_PREFIX: Final = subjects.lease("")


async def ensure_bucket(client: Client, replicas: int = 1) -> None:
    """Create the bucket if it is missing: on disk, one revision a key. Raises Unavailable."""
    answer = await _api(
        client,
        f"STREAM.CREATE.{subjects.LEASE_STREAM}",
        {
            "name": subjects.LEASE_STREAM,
            "subjects": [subjects.LEASES],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_bytes": BUCKET_BYTES_MAX,
            "num_replicas": replicas,
            "allow_direct": True,
            "allow_rollup_hdrs": True,
            "allow_msg_ttl": True,
            "deny_delete": True,
            "republish": {"src": ">", "dest": f"{STORED}.>"},
        },
    )
    if "error" in answer:
        raise Unavailable(f"stream {subjects.LEASE_STREAM}: {answer['error'].get('description')}")


class NatsLeases:
    """Port: domain.ports.Leases."""

    def __init__(self, client: Client, *, ttl_s: int = TTL_S) -> None:
        self._client = client
        self._ttl_s = ttl_s

    async def read(self, key: str) -> LeaseEntry:
        answer = await _api(self._client, f"STREAM.MSG.GET.{subjects.LEASE_STREAM}", {"last_by_subj": _subject(key)})
        if (code := answer.get("error", {}).get("err_code")) == NO_MESSAGE:
            return LeaseEntry(key, 0, None)
        if code is not None:
            kind = Missing if code == NO_STREAM else Unavailable
            raise kind(f"the lease store: {answer['error'].get('description')}")
        message = answer["message"]
        return LeaseEntry(key, int(message["seq"]), _value(key, base64.b64decode(message.get("data", ""))))

    async def watch(self) -> AsyncGenerator[Sequence[LeaseEntry]]:
        feed = Feed(self._client, subjects.LEASE_STREAM, subjects.LEASES, 0, whole=False)
        async with contextlib.aclosing(feed.batches()) as batches:
            async for batch in batches:
                found = [(seq, subject_of(message).removeprefix(_PREFIX), message.data) for seq, message in batch]
                entries = [LeaseEntry(key, seq, _value(key, payload)) for seq, key, payload in found if name_in(key)[0] in KINDS]
                if entries:
                    yield entries

    async def write(self, key: str, value: LeaseValue, after: int) -> int:
        return await self._put(key, encode(value), after, {})

    async def give_back(self, key: str, after: int) -> int:
        return await self._put(key, b"", after, {OPERATION: DELETED})

    async def _put(self, key: str, payload: bytes, after: int, headers: Mapping[str, str]) -> int:
        subject = _subject(key)
        expected = {EXPECTED: str(after), **({} if key == CLUSTER else {TTL: f"{self._ttl_s}s"})}
        try:
            reply = await self._client.request(subject, payload, timeout=ANSWER_S, headers={**expected, **headers})
            ack = json.loads(reply.data)
        except (TimeoutError, OSError, nats.errors.Error, ValueError) as error:
            sent = not isinstance(error, nats.errors.NoRespondersError | nats.errors.OutboundBufferLimitError)
            raise Unavailable(f"the lease store does not answer: {str(error) or type(error).__name__}", unknown=sent) from error
        if "error" not in ack:
            return int(ack["seq"])
        if ack["error"].get("err_code") == WRONG_LAST_SEQUENCE:
            raise Fenced(f"{key} has another revision than {after}")
        raise Unavailable(f"the lease store refused {key}: {ack['error'].get('description')}")


def _subject(key: str) -> str:
    if not KEY.fullmatch(key):
        raise ValueError(f"not a key of the lease store: {key[:80]!r}")
    return subjects.lease(key)


def _value(key: str, payload: bytes) -> LeaseValue | None:
    """Return the value; None if it was given back, or cannot be read: then the key is free."""
    if not payload:
        return None
    try:
        value: LeaseValue = msgspec.json.decode(payload, type=KINDS[name_in(key)[0]])
    except ValueError as error:
        log.error("a lease cannot be read", key=key, reason=str(error))
        return None
    return value


async def _api(client: Client, what: str, body: dict[str, object]) -> dict[str, Any]:
    reply = await bus.request(client, f"{API}.{what}", json.dumps(body).encode(), ANSWER_S)
    answer: dict[str, Any] = json.loads(reply)
    return answer
