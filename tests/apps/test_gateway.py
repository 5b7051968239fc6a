"""live-gateway as a process on a real nats-server: requests in, reports out, and nothing lost or doubled when it dies."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import nats.errors
import pytest

from adapters import bus
from adapters.codec import encode
from apps.connections.venue_lists import SentRequest
from domain.order.commands import ReportKind, VenueReport
from domain.values import Side
from tests.apps.gateway_house import REPORTS, START_TIMEOUT_S, WAIT_S, Gateway, Trader, order
from tests.live import LiveServer

HEADER = "time,symbol,bid,bid_size,ask,ask_size\n"
MARKET = HEADER + "".join(
    f"2018-04-04T00:0{minute}:00,BTCUSD,{7000 + minute},4,{7001 + minute},4.000000000000002\n" for minute in (0, 1, 2, 3, 4)
)
# As PAPER_A shows it: no wider, half the size. Minute by minute the ask is 7001, 7002, 7003, 7004, 7005, and 2 stand there.

ONE = encode(SentRequest("new", order("A", "1")))


@pytest.fixture
def market_file(tmp_path: Path) -> Path:
    path = tmp_path / "market.csv"
    path.write_text(MARKET)
    return path


@pytest.fixture
async def gateway(fresh_nats: LiveServer, market_file: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(fresh_nats, market_file)
    try:
        await gateway.start()
        yield gateway
    finally:
        gateway.end()


@pytest.fixture
async def trader(fresh_nats: LiveServer) -> AsyncIterator[Trader]:
    trader = await Trader.open(fresh_nats.url)
    yield trader
    await trader.client.close()


async def test_an_order_goes_in_and_its_acceptance_and_fill_come_out(gateway: Gateway, trader: Trader) -> None:
    assert await gateway.advance(rows=1) == {"rows": 1, "time": "2018-04-04T00:00:00.000000Z"}
    await trader.send(order("A", "0.5", price="7010"))
    assert await trader.heard(2) == ["1 A accepted", "2 A fill"]
    fill = trader.reports[1]
    assert (fill.quantity, fill.price, fill.fee) == (Decimal("0.5"), Decimal(7001), Decimal("3.5005"))
    assert (fill.exec_id, fill.venue_order_id, fill.account) == ("PAPER_A-1", "PAPER_A-o1", "alice")


async def test_a_stepped_recording_answers_when_all_that_it_caused_has_been_sent(gateway: Gateway, trader: Trader) -> None:
    await trader.send(order("A", "5"))
    await trader.send(order("B", "1", side=Side.SELL, price="7003"))
    await trader.heard(2)
    assert await gateway.advance(until="2018-04-04T00:02:30") == {"rows": 3, "time": "2018-04-04T00:02:00.000000Z"}
    await bus.flush(trader.client)  # what was sent before the answer is here before the pong
    assert await trader.heard(5) == ["1 A accepted", "2 B accepted", "3 A fill", "4 A fill", "5 A fill"]
    assert [(r.quantity, r.price) for r in trader.reports[2:]] == [(Decimal(q), Decimal(p)) for q, p in ((2, 7001), (2, 7002), (1, 7003))]
    assert await gateway.advance(until="2018-04-04T03:00:00Z") == {"rows": 2, "time": "2018-04-04T00:04:00.000000Z"}
    assert (await trader.heard(6))[5:] == ["6 B fill"]
    assert await gateway.advance(rows=1) == {"rows": 0, "time": "2018-04-04T00:04:00.000000Z"}


async def test_what_was_reported_survives_kill_9_and_the_numbers_go_on(gateway: Gateway, trader: Trader) -> None:  # FAILURES 36
    await gateway.advance(rows=1)
    await trader.send(order("A", "0.5"))
    await trader.send(order("B", "1", price="6000"))
    await trader.heard(3)
    gateway.end(signal.SIGKILL)
    await gateway.start()
    await trader.send(order("A", "0.5"))  # sent again: counted, never a second order
    await trader.send(order("C", "1", price="6001"))
    assert (await trader.heard(4))[3:] == ["4 C accepted"]
    assert trader.reports[3].venue_order_id == "PAPER_A-o3"
    assert [o["route_id"] for o in (await gateway.get("/venues/PAPER_A/orders"))["orders"]] == ["B", "C"]
    found = await trader.session(kind="order", route_id="A")
    assert (found["known"], found["order"]["status"], found["order"]["sends"]) == (True, "filled", 2)
    assert [r["report"] for r in found["reports"]] == ["accepted", "fill"]
    stats = (await gateway.get("/stats"))["venues"]["PAPER_A"]
    assert (stats["orders"], stats["fills"], stats["sends_per_route_max"]) == (3, 1, 2)


async def test_missed_reports_are_sent_again_in_their_order(gateway: Gateway, trader: Trader) -> None:
    await gateway.advance(rows=1)
    for name in "ABC":
        await trader.send(order(name, "0.5"))
    first = [*await trader.heard(6)]
    said = [*trader.reports]
    gateway.end(signal.SIGKILL)
    await gateway.start()
    trader.reports.clear()
    assert await trader.session(kind="resend", **{"from": 3}) == {"last": 6}
    assert await trader.heard(4) == first[2:]
    assert trader.reports == said[2:]
    trader.reports.clear()
    assert await trader.session(kind="resend", **{"from": 7}) == {"last": 6}
    assert await trader.session(kind="orders") == {"last": 6, "orders": [], "next": None}
    assert trader.reports == []


async def test_new_and_cancel_of_one_order_keep_their_sequence(gateway: Gateway, trader: Trader) -> None:
    for n in range(50):
        await trader.send(order(f"A{n}", "1", price="6000"))
        await trader.send(order(f"A{n}", "1", price="6000"), verb="cancel")
    await trader.heard(100)
    assert [r.report for r in trader.reports] == [ReportKind.ACCEPTED, ReportKind.CANCELLED] * 50
    assert [r.report_seq for r in trader.reports] == list(range(1, 101))


async def test_a_query_is_answered_after_the_requests_before_it(gateway: Gateway, trader: Trader) -> None:
    for n in range(200):
        await trader.send(order(f"A{n}", "1", price="6000"))
    found = await trader.session(kind="order", route_id="A199")
    assert (found["known"], found["order"]["status"]) == (True, "working")
    assert (await trader.session(kind="order", route_id="absent"))["known"] is False
    page = await trader.session(kind="orders", limit=150)
    rest = await trader.session(kind="orders", after=page["next"])
    assert [o["route_id"] for o in page["orders"] + rest["orders"]] == [f"A{n}" for n in range(200)]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        ("PAPER_A.requests.0", b"{"),
        ("PAPER_A.requests.0", ONE),
        ("PAPER_A.requests.0", b'[{"verb":"new"}]'),
        ("PAPER_A.requests.0", b"[%b]" % ONE.replace(b'"new"', b'"amend"')),
        ("PAPER_B.requests.0", b"[%b]" % ONE),
        ("PAPER_A.requests.1", b"[%b]" % ONE),
        ("PAPER_A.requests.x", b"[%b]" % ONE),
        ("PAPER_A.requests.0", b"[%b]" % ONE.replace(b'"quantity":1', b'"quantity":1e999999')),
        ("PAPER_A.requests.0", b"[%b]" % ONE.replace(b'"quantity":1', b'"quantity":"NaN"')),
        ("PAPER_A.requests.0", b"[%b]" % ONE.replace(b'"order-A"', b'"A.>"')),
    ],
)
async def test_what_cannot_be_read_is_counted_and_harms_no_order(gateway: Gateway, trader: Trader, subject: str, payload: bytes) -> None:
    await trader.client.publish(f"venue.{subject}", payload)  # FAILURES 45
    await trader.send(order("B", "1", price="6000"))
    assert await trader.heard(1) == ["1 B accepted"]
    assert (await gateway.get("/stats"))["requests"]["unreadable"] == 1


async def test_a_request_that_cannot_be_read_spoils_none_of_its_list(gateway: Gateway, trader: Trader) -> None:
    good = encode(SentRequest("new", order("B", "1", price="6000")))
    await trader.client.publish("venue.PAPER_A.requests.0", b"[%b,%b,%b]" % (ONE.replace(b'"new"', b'"amend"'), good, b"7"))
    assert await trader.heard(1) == ["1 B accepted"]
    assert (await gateway.get("/stats"))["requests"] == {"taken": 1, "unreadable": 2}


async def test_fills_are_announced_to_subscribers_and_to_no_others(gateway: Gateway, trader: Trader) -> None:
    await trader.send(order("A", "1", price="6000"))
    await trader.heard(1)
    async with asyncio.timeout(WAIT_S):
        while (told := (await gateway.get("/stats"))["fills_announced"])["skipped"] != 1:
            await asyncio.sleep(0.05)
    assert told == {"subscribed": False, "published": 0, "skipped": 1}
    announced = await trader.client.subscribe("fills.alice")
    await trader.send(order("B", "1", price="6000"))
    message = await announced.next_msg(timeout=WAIT_S)
    assert message.data == encode((await reported(trader, 2))[1])


async def reported(trader: Trader, count: int) -> list[VenueReport]:
    await trader.heard(count)
    return trader.reports


async def test_a_list_is_taken_in_its_order_and_answered_with_one(gateway: Gateway, trader: Trader) -> None:
    lists = await trader.client.subscribe("venue.PAPER_A.reports.0")
    await trader.send(*(order(f"A{n}", "1", price="6000") for n in range(3)))
    assert await trader.heard(3) == ["1 A0 accepted", "2 A1 accepted", "3 A2 accepted"]
    assert len(REPORTS.decode((await lists.next_msg(timeout=WAIT_S)).data)) == 3


async def test_a_session_that_asks_nonsense_gets_an_error(gateway: Gateway, trader: Trader) -> None:
    assert await trader.session(kind="positions") == {"error": "malformed"}
    answer = await trader.client.request("venue.PAPER_A.session.x", b'{"kind":"orders"}', timeout=WAIT_S)
    assert answer.data == b'{"error":"malformed"}'


async def test_the_venue_comes_back_with_nats_and_reports_only_what_is_on_disk(  # FAILURES 8
    gateway: Gateway, trader: Trader, fresh_nats: LiveServer
) -> None:
    await gateway.advance(rows=1)
    await trader.send(order("A", "0.5"))
    await trader.heard(2)
    fresh_nats.restart()
    found: Any = {}
    async with asyncio.timeout(120):
        while not found.get("known"):
            with contextlib.suppress(OSError, TimeoutError, nats.errors.Error):  # no service replies yet
                await trader.send(order("B", "0.5"))
                found = await trader.session(2.0, kind="order", route_id="B")
            await asyncio.sleep(0.2)
    assert found["order"]["status"] == "filled"
    assert [r["report_seq"] for r in found["reports"]] == [3, 4]


async def test_quotes_of_every_venue_are_published_and_stay_fresh(gateway: Gateway, trader: Trader) -> None:
    await gateway.advance(rows=1)
    async with asyncio.timeout(WAIT_S):
        while len(trader.ticks) < 6:
            await asyncio.sleep(0.05)
    a, b = (next(q for q in trader.ticks if q.venue == venue) for venue in ("PAPER_A", "PAPER_B"))
    assert (a.bid, a.bid_size, a.ask, a.ask_size) == (Decimal(7000), Decimal(2), Decimal(7001), Decimal(2))
    assert (b.bid, b.bid_size, b.ask, b.ask_size) == (Decimal("6999.98"), Decimal(8), Decimal("7001.02"), Decimal(8))
    assert set(map(encode, trader.ticks)) == {encode(a), encode(b)}, "unchanged"
    shown = await gateway.get("/quotes/BTCUSD")
    assert [(q["venue"], q["ask"]) for q in shown["quotes"]] == [("PAPER_A", 7001), ("PAPER_B", 7001.02)]


async def test_http_refuses_what_is_not_there(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
        answers = [
            await http.get("/venues/ABSENT/orders"),
            await http.get("/quotes/BTCUSD"),
            await http.post("/quotes/advance", json={}),
            await http.post("/quotes/advance", json={"rows": 1, "until": "2018-04-04T00:00:00"}),
            await http.post("/quotes/advance", json={"until": "soon"}),
        ]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [
        (404, "venue_not_found"),
        (404, "no_quote"),
        (400, "malformed"),
        (400, "malformed"),
        (400, "malformed"),
    ]


async def test_the_simulated_market_fills_the_users_own_example(fresh_nats: LiveServer, trader: Trader) -> None:
    gateway = Gateway(fresh_nats)
    await gateway.start()
    try:
        await trader.send(order("A", "0.1", price="45000", symbol="BTCUSDT"))
        await trader.heard(2)
        fill = trader.reports[1]
        assert (fill.report, fill.quantity) == (ReportKind.FILL, Decimal("0.1"))
        assert fill.price is not None
        assert fill.price <= 45000
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as http:
            assert (await http.post("/quotes/advance", json={"rows": 1})).json()["code"] == "not_stepped"
        assert gateway.end(signal.SIGTERM) == 0
    finally:
        gateway.end()


async def test_a_recording_as_fast_as_it_can_ends_with_the_last_quote(fresh_nats: LiveServer, market_file: Path, trader: Trader) -> None:
    gateway = Gateway(fresh_nats, market_file, "max")
    await gateway.start()
    try:
        async with asyncio.timeout(WAIT_S):
            while not any(q.ask == 7005 for q in trader.ticks):
                await asyncio.sleep(0.05)
        assert [q["ask"] for q in (await gateway.get("/quotes/BTCUSD"))["quotes"]] == [7005, 7005.02]
    finally:
        gateway.end()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read: No such file or directory"),
        (HEADER + "2018-04-04T00:00:00,BTCUSD,7000,1,7001.001,1\n", "line 2: ask 7001.001 is not a positive whole number of ticks of 0.01"),
        (
            "symbol,price\n",
            f"line 1: the columns must be {HEADER.strip()}; there is no column 'time' (--columns time=NAME names another one)",
        ),
    ],
)
def test_a_quotes_file_that_cannot_be_played_ends_the_service_with_one_sentence(
    fresh_nats: LiveServer, tmp_path: Path, text: str | None, sentence: str
) -> None:
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text)
    gateway = Gateway(fresh_nats, path)
    assert gateway.launch().wait(START_TIMEOUT_S) == 2
    assert gateway.output.read_text().splitlines()[-1] == f"{path}: {sentence}"
