"""A venue goes away with orders working there, and comes back: what it had not answered is in doubt until then, and nothing else is.

What we have otherwise than it is corrected.
"""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from adapters import bus
from adapters.clock import SystemClock
from adapters.codec import encode
from apps.exeq.reconciliation import VenuePass
from apps.tools.reconcile.venues import Kept, reconcile
from domain.order.commands import BookReport, ReportKind, VenueReport
from domain.order.events import OrderInDoubt
from domain.values import Side
from tests.faults.scene import answered, connected, events_of, order, order_journal
from tests.faults.test_send import House
from tests.live import LiveServer

RESTING: Final = 20
TRADED: Final = 600
"""Orders that fill while passes are made."""


def trade(nats: LiveServer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "trade"), *arguments]
    return subprocess.run(command, env=os.environ | {"TRADE_NATS_URL": nats.url}, capture_output=True, text=True, timeout=300, check=False)


async def test_a_venue_that_went_away_and_came_back(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 34, 37
    house = House(fresh_nats, tmp_path)
    async with house.living(fresh_nats):
        http, gateway = house.http["oms"], house.services["live-gateway"]
        resting = [(await answered(http, order(f"o-{number}", price="20000")))["order_id"] for number in range(RESTING)]
        await acked(house)
        cancelled = resting.pop()
        gateway.freeze()
        assert (await http.delete(f"/orders/{cancelled}")).status_code == 202
        sent = (await answered(http, order("sent", price="20000")))["order_id"]
        await until_stands(house, {cancelled: "in_doubt", sent: "in_doubt"})
        await until_away(house)
        refused = await answered(http, order("late", price="20000"))
        await until_stands(house, {refused["order_id"]: "rejected"})
        late = (await http.get(f"/orders/{refused['order_id']}")).json()
        assert (late["reason"], late["source"]) == ("no_venue", "exeq"), "no new orders"
        gateway.thaw()
        await until_stands(house, {cancelled: "cancelled", sent: "routed", **dict.fromkeys(resting, "routed")})
        assert (await house.sends())["most"] == 1
        assert (await house.http["exeq"].get("/stats")).json()["in_doubt"] == 0
    events = [event for _, event in await events_of(fresh_nats)]
    assert {e.order_id for e in events if isinstance(e, OrderInDoubt)} == {cancelled, sent}, "what rests there is in no doubt"
    timelines = Counter(e.order_id for e in events)
    assert {timelines[order_id] for order_id in resting} == {5}, "submitted, checked, queued, routed, acknowledged, and nothing since"


async def until_stands(house: House, wanted: dict[str, str], within_s: float = 120.0) -> None:
    async with asyncio.timeout(within_s):
        while not wanted.items() <= {one["order_id"]: one["status"] for one in await house.orders()}.items():
            await asyncio.sleep(0.05)


async def until_away(house: House) -> None:
    async with asyncio.timeout(120):
        while not all(v["closed"] == "disconnected" for v in (await house.http["exeq"].get("/venues")).json()["venues"]):
            await asyncio.sleep(0.05)


async def acked(house: House) -> None:
    async with asyncio.timeout(120):
        while not all(route["venue_order_id"] for one in await house.orders() for route in one["routes"]):
            await asyncio.sleep(0.05)


async def compared(house: House) -> None:
    """exeq compares by itself when a venue comes: once that is done it rests for a minute, and leaves to us what we do."""
    async with asyncio.timeout(120):
        while not (await house.http["exeq"].get("/stats")).json()["venues_upkeep"]["passes"]:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)


async def test_what_differs_is_shown_then_corrected_and_the_second_pass_finds_nothing(fresh_nats: LiveServer, tmp_path: Path) -> None:
    # FAILURES 38
    house = House(fresh_nats, tmp_path)
    async with house.living(fresh_nats):
        http = house.http["oms"]
        await answered(http, order("filled", price="50000"))
        await house.settled()
        await compared(house)
        assert trade(fresh_nats, "reconcile", "--dry-run").returncode == 0
        accepted = await answered(http, order("resting", price="20000"))
        await acked(house)
        resting = (await http.get(f"/orders/{accepted['order_id']}")).json()
        async with connected(fresh_nats.url) as client:
            told = [invented(resting, ReportKind.FILL), invented(resting, ReportKind.CANCELLED)]
            commands = [BookReport(order_id=resting["order_id"], report=report) for report in told]
            await bus.request(client, "oms.commands.0", encode(commands), 5)
        assert (await http.get(f"/orders/{accepted['order_id']}")).json()["status"] == "cancelled", "as we were told, wrongly"

        shown = await asyncio.to_thread(trade, fresh_nats, "reconcile", "--dry-run")
        assert shown.returncode == 1, shown.stderr
        for words in ("trade not there", "0.0005 @ 20000", "order works there", "position", "3 differences"):
            assert words in shown.stdout, shown.stdout
        written = await asyncio.to_thread(trade, fresh_nats, "reconcile")
        assert (written.returncode, "2 repaired" in written.stdout) == (0, True), written.stdout + written.stderr
        again = await asyncio.to_thread(trade, fresh_nats, "reconcile")
        assert (again.returncode, again.stdout.count("no difference")) == (0, 2), again.stdout
        after = (await http.get(f"/orders/{accepted['order_id']}")).json()
        assert (after["status"], after["cum_quantity"]) == ("cancelled", 0)


async def test_a_pass_continues_from_where_the_last_one_ended_and_begins_again_when_an_old_order_moves(
    fresh_nats: LiveServer, tmp_path: Path
) -> None:
    # FAILURES 38
    house, kept = House(fresh_nats, tmp_path), Kept(tmp_path / "kept", SystemClock())
    async with house.living(fresh_nats), connected(fresh_nats.url) as client:
        await compared(house)
        journal = await order_journal(client)

        async def look() -> dict[str, VenuePass]:
            return {venue: await reconcile(client, journal, venue, write=True, kept=kept) for venue in ("PAPER_A", "PAPER_B")}

        async def trade_on(names: Iterator[str]) -> None:
            for name in names:
                await answered(house.http["oms"], order(name, price="50000"))

        old = await answered(house.http["oms"], order("old", price="50000"))
        await house.settled()
        seen = [await look()]
        trading = asyncio.create_task(trade_on(f"o-{number}" for number in range(TRADED)))
        while not trading.done():
            seen.append(await look())
        await trading
        await house.settled()
        seen.append(await look())
        assert len(seen) > 3
        for before, after in pairwise(seen):
            for venue, found in after.items():
                assert (found.found, found.read_from) == ((), before[venue].as_of_seq), "only what is new is read, also while orders come"
        assert sum(found.orders for found in seen[-1].values()) == 1 + TRADED, "and all is counted"
        assert sum(found.trades for found in seen[-1].values()) == 1 + TRADED

        filled = (await house.http["oms"].get(f"/orders/{old['order_id']}")).json()
        await bus.request(
            client, "oms.commands.0", encode([BookReport(order_id=old["order_id"], report=invented(filled, ReportKind.FILL))]), 5
        )
        third = (await look())[filled["routes"][0]["venue"]]
        assert (third.read_from, [each.what for each in third.found]) == (0, ["trade not there", "position"])
        assert (third.repaired, third.left) == (1, ()), "a trade that a closed order never had is taken back"


def invented(order: dict[str, Any], kind: ReportKind) -> VenueReport:
    """What the venue never said."""
    route = order["routes"][0]
    trade = {"exec_id": "X-1", "quantity": "0.0005", "price": "20000"} if kind is ReportKind.FILL else {}
    return VenueReport(
        report=kind,
        order_id=order["order_id"],
        route_id=route["route_id"],
        venue=route["venue"],
        report_seq=0,
        at=0,
        account=order["account"],
        symbol=order["symbol"],
        side=Side(order["side"]),
        **trade,  # type: ignore[arg-type]
    )
