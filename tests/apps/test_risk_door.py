"""risk's doors without a server: what is asked over HTTP and over NATS, well formed and otherwise."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from adapters.chain import GENESIS
from adapters.clock import SystemClock
from adapters.codec import ORDER_COMMITS, decoder, encode
from adapters.controls import CONTROL_COMMITS
from adapters.memory import MemoryJournal
from apps.follower import Follower
from apps.http import application, fast_path
from apps.risk.blocks import Blocks
from apps.risk.body import FIELDS
from apps.risk.desk import Desk
from apps.risk.door import CHECK_SCHEMA, Door
from apps.risk.gate import Gate
from apps.risk.measures import Histogram, Measures, Seldom
from apps.risk.subject import Answer, Ear
from apps.risk.ticks import Ticks
from apps.risk.wiring import controls_into, orders_into
from domain.commands import Decision, Terms
from domain.controls import Controls
from domain.quotes import Quote
from domain.risk import checks
from domain.risk.engine import Risk
from domain.risk.limits import Limits
from tests.domain.risk_scene import CURRENCIES, INSTRUMENTS, order

BATCH_MAX = 8
GOOD = {"account": "alice", "symbol": "BTCUSDT", "side": "buy", "quantity": 0.1, "price": 45000}

_ANSWERS = decoder(list[Answer])
_DECISIONS = decoder(tuple[Decision, ...])


class Sent:
    """Stands for the NATS client: keeps what would have been published."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    async def publish(self, subject: str, payload: bytes) -> None:
        self.messages.append((subject, payload))


class Message:
    def __init__(self, data: bytes, reply: str = "inbox") -> None:
        self.data = data
        self.reply = reply


class House:
    """risk as it is wired, on journals in memory; open from the start."""

    def __init__(self, **limits: Any) -> None:
        controls = Controls()
        self.connected = True
        self.risk = Risk(Limits(**limits), INSTRUMENTS, CURRENCIES, controls)
        self.measures = Measures(CollectorRegistry(), 1000, dict)
        self.orders = Follower(MemoryJournal(), ORDER_COMMITS, orders_into(self.risk), after=GENESIS)
        journal = MemoryJournal()
        self.symbols = Follower(journal, CONTROL_COMMITS, controls_into(controls), after=GENESIS)
        self.gate = Gate(self.orders, self.symbols, self.orders._journal, 0, lambda: self.connected)
        self.desk = Desk(self.risk, self.gate, self.measures)
        self.sent = Sent()
        self.ear = Ear(self.sent, self.desk, self.measures, BATCH_MAX)  # type: ignore[arg-type]
        self.door = Door(self.risk, self.desk, Blocks(journal, CONTROL_COMMITS, self.symbols, controls), self.measures, SystemClock())
        for follower in (self.orders, self.symbols):
            follower.connected, follower.target = True, 0
        self.gate._opened = True

    def asked(self, payload: bytes) -> Any:
        return msgspec.json.decode(encode(self.ear.answer(payload)))

    @asynccontextmanager
    async def http(self, *, fast: bool = True) -> AsyncIterator[httpx.AsyncClient]:
        app: Any = application("risk", self.door.router())
        if fast:
            app = fast_path(app, {("POST", "/check"): self.door.check})
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://risk") as client:
            yield client


def text(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...}).encode()


async def test_the_users_own_example_is_approved_in_the_users_own_words() -> None:
    async with House().http() as client:
        answer = await client.post("/check", content=text())
        assert (answer.status_code, answer.content) == (200, b'{"approved":true}')
        refused = (await client.post("/check", content=text(quantity=3))).json()
        detail = {"found": "135000", "limit": "100000", "unit": "USD"}
        assert refused == {"approved": False, "reason": "order_size_limit", "detail": detail}


async def test_explain_shows_each_check_with_its_headroom() -> None:
    async with House().http() as client:
        answer = (await client.post("/check?explain=1", content=text())).json()
    assert answer["approved"] is True
    assert answer["reference"] == 45000
    assert answer["checks"][0] == {"name": "order_size_limit", "found": 4500, "limit": 100000, "headroom": 95500}
    assert [one["name"] for one in answer["checks"]][2:] == ["position_limit", "concentration_limit", "buying_power"]


async def test_a_check_without_an_order_id_is_dry_and_with_one_reserves() -> None:
    house = House()
    async with house.http() as client:
        for _ in range(2):
            assert (await client.post("/check", content=text())).json() == {"approved": True}
        assert not house.risk.exposure.reservations
        for _ in range(2):
            assert (await client.post("/check", content=text(order_id="o1"))).json() == {"approved": True}
        assert list(house.risk.exposure.reservations) == ["o1"]
        portfolio = (await client.get("/risk/portfolio?account=alice")).json()
        assert (portfolio["reservations"], portfolio["buying_power"]) == (2250, 97750)
        assert portfolio["symbols"]["BTCUSDT"]["open_buy_quantity"] == 0.1


@pytest.mark.parametrize("number", ["0.1", '"0.1"', "0.100000000000"])
async def test_numbers_may_be_json_numbers_or_decimal_strings(number: str) -> None:
    async with House().http() as client:
        body = b'{"account":"alice","symbol":"BTCUSDT","side":"buy","price":"45000","quantity":%s}' % number.encode()
        assert (await client.post("/check", content=body)).json() == {"approved": True}


NASTY = ["-1", "NaN", "Infinity", "-Infinity", "1e5", "1e999999", "1E-7", "01", "+1", ".5", "1.", "-0", "9" * 400, "0." + "1" * 13, "null"]
NASTY_TEXT = ["", " 1", "1 ", "NaN", "Infinity", "1e5", "١", "1_000", "0x1", "-1", "true", "1\n", "9" * 19]


@pytest.mark.parametrize("number", [*NASTY, *(json.dumps(one) for one in NASTY_TEXT), "true", "[1]", "{}"])
@pytest.mark.parametrize("field", ["quantity", "price", "stop_price"])
async def test_a_nasty_number_is_malformed_at_once(number: str, field: str) -> None:  # FAILURES 55
    if number == "null" and field != "quantity":
        return
    kept = {k: v for k, v in GOOD.items() if k != field}
    body = json.dumps(kept)[:-1] + f', "{field}": {number}}}'
    began = time.perf_counter()
    async with House().http() as client:
        answer = await client.post("/check", content=body.encode())
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"", None),
        (b"nothing", None),
        (b"[]", None),
        (b"5", None),
        (b'"text"', None),
        (b"\xef\xbb\xbf" + text(), None),
        (text().decode().encode("utf-16"), None),
        (text()[:-3], None),
        (text() + b"x", None),
        (b"[" * 60_000, None),
        (b'{"a":' * 12_000, None),
        (b'{"account":"\xff"}', None),
        (b'{"account":"alice",' + text()[1:], None),
        (text(extra=1), None),
        (text(client_order_id="a-1"), None),
        (text(account=...), "/account"),
        (text(account=5), "/account"),
        (text(account=None), "/account"),
        (text(account=""), "/account"),
        (text(account="a b"), "/account"),
        (text(account="a.b"), "/account"),
        (text(account="a" * 65), "/account"),
        (text(account="аlice"), "/account"),
        (text(account="alice\n"), "/account"),
        (text(account="\x00"), "/account"),
        (text(order_id="a>"), "/order_id"),
        (text(symbol=...), "/symbol"),
        (text(symbol=["BTCUSDT"]), "/symbol"),
        (text(side=...), "/side"),
        (text(side="BUY"), "/side"),
        (text(side=1), "/side"),
        (text(type="iceberg"), "/type"),
        (text(quantity=...), "/quantity"),
    ],
)
async def test_what_is_not_well_formed_is_malformed(body: bytes, pointer: str | None) -> None:  # FAILURES 57, 58
    async with House().http() as client:
        answer = await client.post("/check", content=body)
    found = answer.json()
    assert (answer.status_code, found["code"], found.get("pointer")) == (400, "malformed", pointer)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOPE"}, "unknown_symbol"),
        ({"symbol": "orders.>"}, "unknown_symbol"),
        ({"quantity": 0}, "quantity_not_positive"),
        ({"quantity": "0.000001"}, "quantity_off_lot"),
        ({"quantity": "999999999999999999"}, "quantity_too_large"),
        ({"price": 0}, "price_not_positive"),
        ({"price": "45000.001"}, "price_off_tick"),
        ({"type": "market"}, "price_not_allowed"),
        ({"type": "limit", "price": None}, "price_required"),
        ({"type": "stop", "price": None}, "stop_price_required"),
        ({"stop_price": 5}, "stop_price_not_allowed"),
        ({"type": "stop_limit", "stop_price": "1.001"}, "stop_price_off_tick"),
    ],
)
async def test_what_cannot_trade_is_refused_by_name(changes: dict[str, Any], code: str) -> None:
    async with House().http() as client:
        answer = await client.post("/check", content=text(**changes))
    assert (answer.status_code, answer.json()["code"]) == (422, code)


BODIES = [text(), text(order_id="o1"), text(quantity=3), text(symbol="NOPE"), text(extra=1), b"", text(type="market", price=None)]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("query", ["", "?explain=1", "?explain=0"])
async def test_the_documented_twin_answers_as_the_fast_path_does(body: bytes, query: str) -> None:
    async with House().http(fast=True) as fast, House().http(fast=False) as twin:
        one, other = await fast.post(f"/check{query}", content=body), await twin.post(f"/check{query}", content=body)
    assert (one.status_code, one.content) == (other.status_code, other.content)


async def test_the_documentation_names_every_field_that_the_door_reads() -> None:
    async with House().http() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/check", "/risk/portfolio", "/risk/limits", "/risk/symbols/{symbol}/block", "/risk/symbols/{symbol}/unblock"} <= paths.keys()
    assert set(CHECK_SCHEMA["properties"]) == set(FIELDS)


async def test_the_limits_are_told_with_their_version_and_origin() -> None:
    async with House(short_accounts=frozenset({"hedger"})).http() as client:
        found = (await client.get("/risk/limits?account=hedger")).json()
        bad = await client.get("/risk/limits?account=a.b")
    assert (found["version"], found["set_by"], found["short_allowed"]) == (1, "configuration", True)
    assert (found["max_order_size_usd"], found["max_concentration_pct"], found["blocked_symbols"]) == (100000, 25, [])
    assert (bad.status_code, bad.json()["code"]) == (400, "malformed")


async def test_all_portfolios_come_page_by_page() -> None:
    house = House()
    async with house.http() as client:
        for name in ("alice", "bob", "carol"):
            await client.post("/check", content=text(account=name, order_id=f"o-{name}"))
        first = (await client.get("/risk/portfolio?limit=2")).json()
        rest = (await client.get(f"/risk/portfolio?limit=2&cursor={first['next']}")).json()
        stranger = (await client.get("/risk/portfolio?account=stranger")).json()
    assert [one["account"] for one in first["accounts"]] == ["alice", "bob"]
    assert ([one["account"] for one in rest["accounts"]], rest["next"]) == (["carol"], None)
    assert (stranger["equity"], stranger["symbols"]) == (100000, {})
    assert "stranger" not in house.risk.exposure.accounts


@pytest.mark.parametrize(
    ("symbol", "body", "status", "code"),
    [
        ("NOPE", b'{"reason":"x"}', 422, "unknown_symbol"),
        ("BTCUSDT", b"{}", 400, "malformed"),
        ("BTCUSDT", b'{"reason":""}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":"a\\u0000b"}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":"a\\ud800"}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":"x","who":"a b"}', 400, "malformed"),
        ("BTCUSDT", b'{"reason":5}', 400, "malformed"),
        ("BTCUSDT", json.dumps({"reason": "x" * 201}).encode(), 400, "malformed"),
        ("BTCUSDT", b'{"reason":"x","reason":"y"}', 400, "malformed"),
    ],
)
async def test_a_block_without_a_readable_reason_is_not_made(symbol: str, body: bytes, status: int, code: str) -> None:
    house = House()
    async with house.http() as client:
        answer = await client.post(f"/risk/symbols/{symbol}/block", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert house.risk.controls.version == 0


# Over NATS.


def wire(*orders: Terms) -> bytes:
    return encode(list(orders))


def buy(order_id: str, quantity: str = "1", price: str = "@100") -> Terms:
    return order("alice", order_id, "buy", quantity, "PENNY", price)


def test_a_list_of_orders_gets_a_list_of_decisions_in_one_reply() -> None:
    house = House()
    reply = encode(house.ear.answer(wire(buy("o1"), buy("o2", "2000"), buy("o3"))))
    decisions = _DECISIONS.decode(reply)
    assert [(one.order_id, one.approved) for one in decisions] == [("o1", True), ("o2", False), ("o3", True)]
    assert decisions[1].denial is not None
    assert decisions[1].denial.code == "order_size_limit"
    assert decisions[0].reference == Decimal(100)
    assert list(house.risk.exposure.reservations) == ["o1", "o3"]


def test_a_single_order_in_the_users_words_gets_a_single_answer_in_the_users_words() -> None:
    house = House()
    answer = house.asked(text())
    assert (answer["approved"], answer.get("reason")) == (True, None)
    assert not house.risk.exposure.reservations
    refused = house.asked(text(quantity="3"))
    assert (refused["approved"], refused["reason"]) == (False, "order_size_limit")


def test_a_later_order_of_a_list_sees_what_the_earlier_one_reserved() -> None:
    house = House(enabled=frozenset({"buying_power"}), buying_power_initial=Decimal(100))
    decisions = house.asked(wire(buy("o1"), buy("o2"), buy("o3")))
    assert [one.get("reason") for one in decisions] == [None, None, "buying_power"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"null",
        b"5",
        b"{}",
        b"{",
        b'{"order_id":"o1"}',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"a":' * 5000,
        text(quantity="NaN"),
        text(quantity="Infinity"),
        text(quantity=-1),
        text(symbol="NOPE"),
        text(account="a.b"),
        text(account="a" * 65),
        text(side="BUY"),
        b'{"account":"alice","symbol":"BTCUSDT","side":"buy","quantity":1e999999,"price":1}',
        b'{"account":"alice","symbol":"BTCUSDT","side":"buy","quantity":1,"price":1e-999999}',
        b'{"account":"alice","symbol":"BTCUSDT","side":"buy","quantity":1,"price":1e999999}',
        b'{"account":"alice","symbol":"BTCUSDT","side":"buy","quantity":1,"price":%s}' % (b"9" * 400),
    ],
)
def test_rubbish_is_denied_and_never_met_with_silence(payload: bytes) -> None:  # FAILURES 16, 55
    house = House()
    began = time.perf_counter()
    answer = house.asked(payload)
    assert (answer["approved"], answer["reason"]) == (False, "risk_error")
    listed = house.asked(b"[" + payload + b"," + text() + b"]")
    if isinstance(listed, list):
        assert [one["approved"] for one in listed] == [False, True]
    else:
        assert not listed["approved"]
    assert time.perf_counter() - began < 1
    assert not house.risk.exposure.reservations


def test_one_unreadable_order_of_a_list_does_not_harm_the_others() -> None:
    house = House()
    answers = house.asked(b'[{"order_id":"bad","quantity":[]},' + encode(buy("o1")) + b"]")
    assert [(one["order_id"], one["approved"]) for one in answers] == [("bad", False), ("o1", True)]


def test_a_batch_beyond_the_bound_is_refused_as_a_whole() -> None:
    house = House()
    answers = house.asked(wire(*(buy(f"o{n}") for n in range(BATCH_MAX + 1))))
    assert {one["denial"]["found"] for one in answers} == {"batch_too_large"}
    assert len(answers) == BATCH_MAX + 1
    assert not house.risk.exposure.reservations


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
        lambda value: json.dumps(value).encode()
    )
)
@settings(max_examples=200, deadline=None)
def test_no_bytes_whatever_raise_or_pass(payload: bytes) -> None:
    house = House()
    answers = house.asked(payload)
    assert not any(one["approved"] for one in (answers if isinstance(answers, list) else [answers]))


async def test_the_callback_answers_and_says_nothing_to_nobody() -> None:
    house = House()
    await house.ear.on_request(Message(wire(buy("o1")), reply=""))  # type: ignore[arg-type]
    assert house.sent.messages == []
    assert not house.risk.exposure.reservations
    await house.ear.on_request(Message(wire(buy("o1"))))  # type: ignore[arg-type]
    ((subject, payload),) = house.sent.messages
    assert (subject, _ANSWERS.decode(payload)[0].approved) == ("inbox", True)


# Fail closed.


def broken(*_: Any) -> Any:
    raise RuntimeError("a bug in a check")


@pytest.mark.parametrize("trouble", [broken, lambda _: 1 / 0, lambda _: (Decimal("NaN"), Decimal(0)), lambda _: "rubbish"])
def test_any_error_inside_a_check_denies_the_order_and_changes_nothing(
    trouble: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    monkeypatch.setattr(house.risk, "_checks", (*checks.CHECKS[:4], checks.Check("broken", None, None, trouble)))
    answer = house.asked(wire(buy("o1")))[0]
    assert (answer["approved"], answer["reason"]) == (False, "risk_error")
    assert not house.risk.exposure.reservations
    assert not house.risk.exposure.accounts


def test_while_a_journal_is_out_of_reach_nothing_is_approved() -> None:
    house = House()
    for follower in (house.orders, house.symbols):
        follower.connected = False
        answer = house.asked(wire(buy("o1")))[0]
        assert (answer["reason"], answer["denial"]["found"]) == ("risk_error", "not_ready")
        follower.connected = True
    house.connected = False
    assert house.asked(wire(buy("o1")))[0]["denial"]["found"] == "not_ready"
    house.connected = True
    assert house.asked(wire(buy("o1")))[0]["approved"]


# Ticks.


def tick(**changes: Any) -> bytes:
    fields: dict[str, Any] = {"symbol": "BTCUSDT", "venue": "A", "bid": 99, "bid_size": 1, "ask": 101, "ask_size": 1, "at": 0}
    return json.dumps({**fields, **changes}).encode()


RUBBISH = [
    b"",
    b"rubbish",
    tick(symbol="NOPE"),
    tick(bid="NaN"),
    tick(bid="Infinity"),
    tick(ask=0),
    tick(bid=-5),
    tick(bid_size=-1),
    tick(ask="1e400"),
    tick(ask="1e-400"),
    tick(ask="9" * 60),
]


@pytest.mark.parametrize("payload", RUBBISH)
async def test_a_tick_that_makes_no_sense_is_left_out(payload: bytes) -> None:
    house = House()
    ticks = Ticks(house.risk, house.measures, time.monotonic_ns)
    await ticks.on_tick(Message(tick()))  # type: ignore[arg-type]
    await ticks.on_tick(Message(payload))  # type: ignore[arg-type]
    assert house.risk.marks.mids == {"BTCUSDT": Decimal(100)}
    assert (house.measures.counts["ticks"], house.measures.counts["ticks_refused"]) == (1, 1)


async def test_venues_without_end_do_not_fill_the_memory() -> None:
    house = House()
    ticks = Ticks(house.risk, house.measures, time.monotonic_ns)
    for number in range(100):
        await ticks.on_tick(Message(tick(venue=f"V{number}")))  # type: ignore[arg-type]
    assert house.measures.counts["ticks"] == 32


async def test_a_quote_as_it_travels_moves_the_marks() -> None:
    house = House()
    fields = {"bid": Decimal("99.5"), "bid_size": Decimal(1), "ask": Decimal("100.5"), "ask_size": Decimal("4.000000000000002")}
    payload = encode(Quote(symbol="EURO", venue="PAPER_A", at=1, **fields))
    await Ticks(house.risk, house.measures, time.monotonic_ns).on_tick(Message(payload))  # type: ignore[arg-type]
    assert house.risk.marks.mids["EURO"] == 125


# Measures.


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_never_too_low_and_at_most_a_sixteenth_too_high(durations: list[int], share: float) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    ordered = sorted(durations)
    exact = next(d for place, d in enumerate(ordered, 1) if place >= share * len(ordered))
    assert exact <= histogram.percentile(share) <= exact * (1 + 1 / 16) + 1


def test_an_endless_duration_has_its_place() -> None:
    histogram = Histogram()
    histogram.add(10**30)
    assert histogram.percentile(0.5) > 0
    assert histogram.below(10**9) == 0


def test_slow_checks_are_logged_one_in_a_while() -> None:
    seldom = Seldom(10**12)
    assert [seldom.now() for _ in range(4)] == [0, None, None, None]
    assert seldom.held_back == 3


def test_counts_by_outcome_and_reason_are_in_stats_and_metrics() -> None:
    house = House()
    house.asked(wire(buy("o1"), buy("o2", "2000")))
    house.asked(b"rubbish")
    stats = house.measures.stats()
    assert (stats["checks"], stats["approved"], stats["denied"]) == (3, 1, {"order_size_limit": 1, "risk_error": 1})
    assert stats["malformed"] == 1
    samples = {(s.name, *sorted(s.labels.items())): s.value for family in house.measures.collect() for s in family.samples}
    assert samples["risk_checks_total", ("outcome", "denied"), ("reason", "order_size_limit")] == 1
    assert samples["risk_check_seconds_count", ("way", "check")] == 3
    assert samples["risk_check_seconds_bucket", ("le", "+Inf"), ("way", "check")] == 3
