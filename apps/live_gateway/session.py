"""Session of each venue and shard on `venue.<venue>.session.<shard>`: resends, order queries and hellos."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import subjects
from adapters.codec import decoder, encode
from apps.live_gateway.flush_marker import FlushMarker
from apps.live_gateway.request_handler import SHARDS_MAX, RequestHandler
from apps.live_gateway.venue_host import VenueHost
from apps.live_gateway.views import PAGE_MAX, open_orders, order_view
from domain.execution.owner import named
from domain.order.commands import VenueReport
from domain.ports import Unavailable

log = structlog.get_logger()


RESEND_PAGE: Final = 5_000
"""Reports of one venue and shard resent before those of others."""

ORDER_REPORTS_MAX: Final = 1000


class Resend(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="resend", rename={"first": "from"}):
    first: int


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="hello"):
    """Checks that the session is alive. An exeq names its unit and epoch."""

    unit: str = ""
    epoch: int = 0


class ReportsPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="reports", rename={"first": "from"}):
    """Requests a page of all reports in the reply itself, for reconciliation."""

    first: int
    limit: int = PAGE_MAX


class OpenOrders(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="orders"):
    after: int = 0
    limit: int = PAGE_MAX


class OneOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="order"):
    """Queries one route. From the answer on, requests of an exeq with an older epoch are refused, so the answer stays valid."""

    route_id: str
    unit: str = ""
    epoch: int = 0


Asked = Resend | Hello | ReportsPage | OpenOrders | OneOrder
_ASKED: Final = decoder(Asked)


class Sessions:
    """Answers the session requests of all hosted venues, and runs their resends."""

    def __init__(self, hosts: Mapping[str, VenueHost], intake: RequestHandler, sent: FlushMarker) -> None:
        self._hosts = hosts
        self._intake = intake
        self._sent = sent
        self._wanted: dict[tuple[str, int], int] = {}
        self._asked = asyncio.Event()
        self.resent = 0

    async def listen(self, client: Client) -> None:
        for venue in self._hosts:  # a subscription each: a venue that is slow to answer delays only its own session
            await client.subscribe(subjects.sessions_of(venue), cb=self._on_message)

    async def _on_message(self, message: Msg) -> None:
        _, venue, _, shard = message.subject.split(".")
        host = self._hosts[venue]
        if host.faults.frozen:
            return
        try:
            answer = await self._answer(host, shard_of(shard), _ASKED.decode(message.data))
        except ValueError:
            answer = {"error": "malformed"}
        except Unavailable:
            answer = {"error": "unavailable"}
        with contextlib.suppress(Exception):  # a callback of the NATS client must not raise; the sender repeats its request
            await message.respond(encode(answer))

    async def _answer(self, host: VenueHost, shard: int, asked: Asked) -> dict[str, object]:
        if isinstance(asked, Hello | OneOrder) and not named(asked.unit, asked.epoch):
            raise ValueError("invalid unit or epoch")
        if isinstance(asked, Hello):
            met = await host.meet(shard, asked.epoch, asked.unit)
            return {"last": host.reports.last(shard), "ready": host.ready.is_set(), "epoch": met}
        if not host.ready.is_set():
            raise Unavailable(f"venue {host.name} is reading its journal")  # its last report is not known yet
        if isinstance(asked, Resend):
            return self._resend(host, shard, asked.first)
        if isinstance(asked, ReportsPage):
            return await self._reports(host, shard, max(asked.first, 1), min(asked.limit, PAGE_MAX))
        await self._intake.heard_all(host.name)
        if isinstance(asked, OpenOrders):
            return await host.ask(lambda: {"last": host.reports.last(shard)} | open_orders(host, asked.after, asked.limit, shard))
        met = await host.meet(shard, asked.epoch, asked.unit)
        return await self._order(host, shard, asked.route_id) | {"epoch": met}

    async def _reports(self, host: VenueHost, shard: int, first: int, limit: int) -> dict[str, object]:
        last = host.reports.last(shard)
        found: list[VenueReport] = []
        async with contextlib.aclosing(host.reports.read(shard, first, min(last, first + limit - 1))) as batches:
            async for batch in batches:
                found += batch
        return {"last": last, "reports": found}

    def _resend(self, host: VenueHost, shard: int, first: int) -> dict[str, object]:
        """Start a resend. A request during a running one continues from the lower position: each venue and shard has one resend."""
        key, first = (host.name, shard), max(first, 1)
        self._wanted[key] = min(self._wanted.get(key, first), first)
        self._asked.set()
        return {"last": host.reports.last(shard)}

    async def _order(self, host: VenueHost, shard: int, route_id: str) -> dict[str, object]:
        def look() -> tuple[dict[str, object], tuple[int, ...]]:
            answer: dict[str, object] = {"last": host.reports.last(shard), "known": False}
            order = host.venue.orders.get(route_id)
            if order is None or order.request.shard != shard:
                return answer, ()
            return answer | {"known": True, "order": order_view(order)}, order.reports[-ORDER_REPORTS_MAX:]

        answer, seqs = await host.ask(look)
        if answer["known"]:
            answer["reports"] = await _reports(host, shard, seqs)
        return answer

    async def run(self) -> None:
        """Resend requested reports up to the last one, never more at once than the publisher holds."""
        while True:
            await self._asked.wait()
            for name, shard in list(self._wanted):
                await self._send_page(self._hosts[name], shard)
            if not self._wanted:
                self._asked.clear()

    async def _send_page(self, host: VenueHost, shard: int) -> None:
        key = (host.name, shard)
        first = self._wanted.pop(key)
        last = min(host.reports.last(shard), first + RESEND_PAGE - 1)
        if first > last:
            return
        self._wanted[key] = last + 1
        try:
            async with contextlib.aclosing(host.reports.read(shard, first, last)) as batches:
                async for batch in batches:
                    await self._publish(host, shard, batch)
        except Unavailable as trouble:
            log.warning("a resend was interrupted", venue=host.name, shard=shard, reason=str(trouble))
            self._wanted.pop(key, None)

    async def _publish(self, host: VenueHost, shard: int, batch: Sequence[VenueReport]) -> None:
        for begin in range(0, len(batch), PAGE_MAX):
            page = batch[begin : begin + PAGE_MAX]
            host.resend(shard, page)
            self.resent += len(page)
            await self._sent.all()


def shard_of(text: str) -> int:
    """Parse the shard in a session's subject. Raises ValueError when it is not a valid shard."""
    if not text.isascii() or not text.isdecimal() or len(text) > 4 or int(text) >= SHARDS_MAX:
        raise ValueError(f"invalid shard {text[:20]!r}")
    return int(text)


async def _reports(host: VenueHost, shard: int, seqs: tuple[int, ...]) -> list[VenueReport]:
    wanted = set(seqs)
    found: list[VenueReport] = []
    if seqs:
        async with contextlib.aclosing(host.reports.read(shard, seqs[0], seqs[-1])) as batches:
            async for batch in batches:
                found += [report for report in batch if report.report_seq in wanted]
    return found
