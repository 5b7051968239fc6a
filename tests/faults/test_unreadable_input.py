"""Unreadable input, of clients, services and venues: it is answered, counted or set aside, and all the rest flows."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus
from adapters.codec import decoder, encode
from apps.oms.report_sessions import UNREADABLE_MAX
from domain.order.commands import ReportKind, RouteOrder, VenueReport
from domain.order.events import Leg, OrderFilled, ReportQuarantined
from domain.values import Side
from tests.faults.scene import PATIENT, connected, events_of, order, risk_that_says_yes
from tests.given import NOW
from tests.live import LiveServer
from tests.process import LiveService

VENUE: Final = "PAPER_A"
REPORTS: Final = f"venue.{VENUE}.reports.0"
GARBAGE: Final = (b"", b"not json", b"\xff\xfe", b"[]", b"{}", b'{"venue":"PAPER_A"}', b"[" * 100_000)
ASK_S: Final = 5.0
_ANSWERS: Final = decoder(list[dict[str, Any]])


class Venue:
    """What it has reported, and its session: it sends again from where it is asked."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reports: list[bytes] = []
        self.resent = 0

    async def listen(self) -> None:
        await self._client.subscribe(f"venue.{VENUE}.session.0", cb=self._on_asked)

    async def report(self, payload: bytes) -> None:
        self._reports.append(payload)
        await self._client.publish(REPORTS, b"[%b]" % payload)

    async def _on_asked(self, message: Msg) -> None:
        asked = msgspec.json.decode(message.data)
        await message.respond(encode({"last": len(self._reports)}))
        again = self._reports[asked["from"] - 1 :]
        self.resent += len(again)
        await self._client.publish(REPORTS, b"[%b]" % b",".join(again))


def report(seq: int, kind: ReportKind, order_id: str, **more: Any) -> bytes:
    common: dict[str, Any] = {
        "venue": VENUE,
        "account": "alice",
        "symbol": "BTCUSDT",
        "side": Side.BUY,
        "at": NOW,
        "route_id": f"{order_id}-1",
    }
    return encode(VenueReport(report=kind, order_id=order_id, report_seq=seq, **common, **more))


async def test_a_report_that_cannot_be_read_is_set_aside_and_those_behind_it_are_booked(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 45
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http, connected(fresh_nats.url) as client:
        venue = Venue(client)
        await venue.listen()
        oms.start()
        order_id = (await http.post("/orders", json=order("o-1"))).json()["order_id"]
        leg = Leg(route_id=f"{order_id}-1", venue=VENUE, quantity=Decimal("0.001"))
        route = RouteOrder(order_id=order_id, legs=(leg,), policy="best_price")
        assert _ANSWERS.decode(await bus.request(client, "oms.commands.0", encode([route]), ASK_S))[0]["ok"]

        await venue.report(report(1, ReportKind.ACCEPTED, order_id, venue_order_id="V1"))
        poison = report(2, ReportKind.FILL, order_id, exec_id="X1").replace(b'"fill"', b'"flil"')
        await venue.report(poison)
        for garbage in GARBAGE:
            await client.publish(REPORTS, garbage)
            await client.publish(REPORTS, b"[%b]" % garbage)
        money = {"quantity": Decimal("0.001"), "price": Decimal(45_000), "fee": Decimal(0)}
        await venue.report(report(3, ReportKind.FILL, order_id, exec_id="X2", **money))
        async with asyncio.timeout(120):
            while (await http.get(f"/orders/{order_id}")).json()["status"] != "filled":
                await asyncio.sleep(0.05)

        events = [event for _, event in await events_of(fresh_nats)]
        (aside,) = [event for event in events if isinstance(event, ReportQuarantined)]
        assert (aside.report_seq, aside.reason, aside.report.encode()) == (2, "unreadable", poison)
        assert [event.exec_id for event in events if isinstance(event, OrderFilled)] == ["X2"]
        stats = (await http.get("/stats")).json()["reports"]
        assert stats["unreadable"] >= len(GARBAGE) + UNREADABLE_MAX
        assert venue.resent, "it was never asked again"

        oms.kill()
        oms.start()
        assert (await http.get(f"/orders/{order_id}")).json()["status"] == "filled"
        assert len([event for _, event in await events_of(fresh_nats) if isinstance(event, ReportQuarantined)]) == 1, "and not again"
    oms.stop()


async def test_commands_that_cannot_be_read_are_answered_and_the_next_are_done(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 45
    oms = LiveService("oms", fresh_nats, tmp_path / "oms", changes=PATIENT)
    async with risk_that_says_yes(fresh_nats.url), oms.client() as http, connected(fresh_nats.url) as client:
        oms.start()
        order_id = (await http.post("/orders", json=order("o-1"))).json()["order_id"]
        unreadable = [b'[{"command":"teleport","order_id":"x"}]', b'[{"command":"cancel"}]', *(each for each in GARBAGE if each != b"[]")]
        for body in unreadable:
            assert _ANSWERS.decode(await bus.request(client, "oms.commands.0", body, ASK_S))[0]["code"] == "malformed", body[:100]
        cancel = encode([{"command": "cancel", "order_id": order_id}])
        assert _ANSWERS.decode(await bus.request(client, "oms.commands.0", cancel, ASK_S))[0]["ok"]
        assert (await http.get(f"/orders/{order_id}")).json()["status"] == "cancelled"
    oms.stop()
