"""OpenSearch as a place: documents in bulk, each at an external version, and a checkpoint that only its owner moves."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import msgspec

from adapters.codec import decoder, encode
from adapters.opensearch_schema import CHECKPOINTS, MAPPINGS, creation, index
from domain.archive.checkpoint import Checkpoint
from domain.archive.documents import NOTICED, ORDERS, OrderChange, OrderRecord, changed, document, record_of
from domain.archive.ports import REFUSED_MAX, ArchiveRow, RowsRefused
from domain.order.events import OrderSubmitted
from domain.ports import Fenced, Unavailable

TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 3.0
BULK_DOCUMENTS_MAX: Final = 500
BULK_BYTES_MAX: Final = 4 * 2**20
LOOKUP_MAX: Final = 500
"""Documents in one lookup."""
RECORDS_MAX: Final = 5_000
"""Records of open orders in memory, so that most changes need no lookup; the oldest make room."""
REASON_MAX: Final = 300
STORED: Final = frozenset({200, 201, 409})
"""409: the place has this version, or a later one."""

REMOVED: Final = frozenset({200, 404, 409})

_CHECKPOINTS: Final = decoder(Checkpoint)
_EXACT: Final = msgspec.json.Encoder(decimal_format="number")

Action = tuple[bytes, list[ArchiveRow]]
"""Two lines of a bulk request, and the rows that its document is made from."""


class OpenSearch:
    """HTTP client of one OpenSearch. It has no users: it must be on a network of its own."""

    def __init__(self, url: str) -> None:
        timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False)

    async def request(
        self, method: str, path: str, body: object = None, *, fine: Sequence[int] = (), **query: str | int
    ) -> tuple[int, dict[str, Any]]:
        """Return status and body of a response with a status below 300 or in `fine`. Raises Unavailable for any other."""
        content = body if isinstance(body, bytes | None) else _EXACT.encode(body)
        try:
            response = await self._http.request(
                method, path, content=content, params=query, headers={"content-type": "application/json"} if content else {}
            )
            found = response.json() if response.content else {}
        except (httpx.TransportError, ValueError) as error:
            raise Unavailable(f"OpenSearch: {str(error) or type(error).__name__}", unknown=True) from error
        if response.status_code >= 300 and response.status_code not in fine:
            raise Unavailable(f"OpenSearch: {method} {path}: {response.status_code} {reason_of(found)}", unknown=True)
        return response.status_code, found

    async def close(self) -> None:
        await self._http.aclose()


class OpenSearchPlace:
    """Port: domain.archive.ports.Place. `name` is the checkpoint's; several places share a server, each for indexes of its own."""

    def __init__(self, server: OpenSearch, name: str, fails: Callable[[str], None]) -> None:
        self._server = server
        self._name = name
        self._fails = fails
        self._owner = 0
        self._turn: tuple[int, int] = (0, 0)
        """Sequence and term of our last write of the checkpoint: it only succeeds if no other came between."""
        self._records: OrderedDict[str, OrderRecord] = OrderedDict()

    async def claim(self) -> Checkpoint:
        for name in MAPPINGS:
            status, _ = await self._server.request("HEAD", f"/{index(name)}", fine=[404])
            if status == 404:
                await self._server.request("PUT", f"/{index(name)}", creation(name), fine=[400])  # 400: another sink was faster
        self._records.clear()
        found = await self._stored()
        self._turn = (found.get("_seq_no", -1), found.get("_primary_term", 0))
        source = found.get("_source", {"owner": 0, "body": ""})
        self._owner = source["owner"] + 1
        checkpoint = _CHECKPOINTS.decode(source["body"]) if source["body"] else Checkpoint()
        try:
            await self._put(checkpoint)
        except Fenced as race:
            raise Unavailable(f"another sink claims {self._name} at this moment") from race
        return checkpoint

    async def write(self, rows: Sequence[ArchiveRow], checkpoint: Checkpoint) -> None:
        records = await self._fold(rows)
        if orphans := [row for row in rows if row.table == ORDERS and records[row.value.order_id] is None and _orphaned(row.value)]:
            raise RowsRefused([(row, "the place has no document of this order") for row in orphans])
        refused: list[tuple[ArchiveRow, str]] = []
        for bulk in _bulks(_actions(rows, records)):
            refused += await self._send(bulk)
        broken = {row.value.order_id for row, _ in refused if row.table == ORDERS}
        self._remember(records, broken)
        if broken and len(refused) <= REFUSED_MAX:  # else not the rows are wrong, and they come again
            await self._remove({order_id: record.n for order_id in broken if (record := records[order_id])})
        if refused:
            raise RowsRefused(refused)
        self._fails("after_rows")
        await self._put(checkpoint)

    async def checkpoint(self) -> Checkpoint:
        body = (await self._stored()).get("_source", {}).get("body", "")
        return _CHECKPOINTS.decode(body) if body else Checkpoint()

    async def ping(self) -> None:
        await self._server.request("GET", "/")

    async def close(self) -> None:
        """Leave the connection to its owner."""

    async def _stored(self) -> dict[str, Any]:
        return (await self._server.request("GET", f"/{index(CHECKPOINTS)}/_doc/{self._name}", fine=[404]))[1]

    async def _put(self, checkpoint: Checkpoint) -> None:
        seq, term = self._turn
        condition: dict[str, str | int] = {"op_type": "create"} if seq < 0 else {"if_seq_no": seq, "if_primary_term": term}
        body = {"owner": self._owner, "body": encode(checkpoint).decode()}
        path = f"/{index(CHECKPOINTS)}/_doc/{self._name}"
        status, found = await self._server.request("PUT", path, body, fine=[409], **condition)
        if status == 409:
            raise Fenced(f"another sink claimed {self._name} in OpenSearch")
        self._turn = (found["_seq_no"], found["_primary_term"])

    async def _fold(self, rows: Sequence[ArchiveRow]) -> dict[str, OrderRecord | None]:
        """Return each changed order after all of its changes. None: the place lacks its beginning."""
        records: dict[str, OrderRecord | None] = {}
        changes = [row.value for row in rows if row.table == ORDERS]
        born = {change.order_id for change in changes if _begins(change)}
        wanted = list(dict.fromkeys(change.order_id for change in changes if change.order_id not in born | self._records.keys()))
        for first in range(0, len(wanted), LOOKUP_MAX):
            records |= await self._lookup(wanted[first : first + LOOKUP_MAX])
        for change in changes:
            before = records[change.order_id] if change.order_id in records else self._records.get(change.order_id)
            records[change.order_id] = changed(before, change)
        return records

    async def _lookup(self, order_ids: Sequence[str]) -> dict[str, OrderRecord | None]:
        _, found = await self._server.request("POST", f"/{index(ORDERS)}/_mget", {"ids": order_ids})
        return {each["_id"]: record_of(each["_source"]) for each in found["docs"] if each.get("found")}

    async def _send(self, bulk: Sequence[Action]) -> list[tuple[ArchiveRow, str]]:
        """Send documents; return the rows of those that can never be stored, with the reason."""
        lines = b"".join(action for action, _ in bulk)
        _, found = await self._server.request("POST", "/_bulk", lines)
        refused = []
        for (_, rows), item in zip(bulk, found["items"], strict=True):
            (result,) = item.values()
            if result["status"] in STORED:
                continue
            if result["status"] != 400:
                raise Unavailable(f"OpenSearch: {result['status']} {reason_of(result)}", unknown=True)
            refused += [(row, reason_of(result)) for row in rows]
        return refused

    async def _remove(self, versions: Mapping[str, int]) -> None:
        """Delete the documents of orders that miss an event from now on: later events would make them wrong."""
        metas = ({"_index": index(ORDERS), "_id": key, "version": n, "version_type": "external"} for key, n in versions.items())
        _, found = await self._server.request("POST", "/_bulk", b"".join(_EXACT.encode({"delete": meta}) + b"\n" for meta in metas))
        for item in found["items"]:
            if (result := item["delete"])["status"] not in REMOVED:
                raise Unavailable(f"OpenSearch: {result['status']} {reason_of(result)}", unknown=True)

    def _remember(self, records: Mapping[str, OrderRecord | None], refused: set[str]) -> None:
        for order_id, record in records.items():
            self._records.pop(order_id, None)
            if record is not None and not record.order.closed and order_id not in refused:
                self._records[order_id] = record
        while len(self._records) > RECORDS_MAX:
            self._records.popitem(last=False)


def _begins(change: OrderChange) -> bool:
    return isinstance(change.events[0][1], OrderSubmitted)


def _orphaned(change: OrderChange) -> bool:
    """Return whether the change needs an order. Notices about unknown orders have documents of their own."""
    return not all(isinstance(event, NOTICED) for _, event in change.events)


def _actions(rows: Sequence[ArchiveRow], records: Mapping[str, OrderRecord | None]) -> Iterator[Action]:
    """Yield the documents to write: an order's once, however many rows change it."""
    by_order: dict[str, list[ArchiveRow]] = {}
    for row in rows:
        if row.table == ORDERS:
            by_order.setdefault(row.value.order_id, []).append(row)
        else:
            yield _lines({"create": {"_index": index(row.table), "_id": row.value["id"]}}, row.value), [row]
    for order_id, some in by_order.items():
        if (record := records[order_id]) is not None:
            meta = {"_index": index(ORDERS), "_id": order_id, "version": record.n, "version_type": "external"}
            yield _lines({"index": meta}, document(record)), some


def _lines(meta: object, source: object) -> bytes:
    return _EXACT.encode(meta) + b"\n" + _EXACT.encode(source) + b"\n"


def _bulks(actions: Iterator[Action]) -> Iterator[list[Action]]:
    bulk: list[Action] = []
    size = 0
    for action in actions:
        if bulk and (len(bulk) >= BULK_DOCUMENTS_MAX or size + len(action[0]) > BULK_BYTES_MAX):
            yield bulk
            bulk, size = [], 0
        bulk.append(action)
        size += len(action[0])
    if bulk:
        yield bulk


def reason_of(found: Mapping[str, Any]) -> str:
    """Return the reason in an error of OpenSearch, with the first line of its innermost cause."""
    error = found.get("error", {})
    if not isinstance(error, dict):
        return str(error)[:REASON_MAX]
    roots = error.get("root_cause") or [error]
    first = last = str(roots[0].get("reason", ""))
    while isinstance(error := error.get("caused_by"), dict):
        last = str(error.get("reason", ""))
    causes = [first] if last in first else [first, last]
    return ": ".join(cause.splitlines()[0] for cause in causes if cause)[:REASON_MAX]
