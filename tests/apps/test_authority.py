"""Who may call what: every kind of credentials against every state of a key, in the order in which they are judged."""

import base64
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs
from starlette.types import Receive, Scope, Send

from adapters.clock import SystemClock
from adapters.codec import encode
from apps.connections.access import ENTRIES_MAX, AccessAnswers, AccessQuestion
from apps.http.access import Access
from apps.http.authority import Authority, KeysKnown
from apps.http.caller import LOCAL_CALLER, Caller
from apps.http.credentials import Signed, digest, new_key_id, new_secret, new_token, signed_text, well_formed
from apps.http.guard import guarded
from apps.http.messages import send_json
from apps.http.problem import Refusal
from apps.http.route_scopes import OPEN_ROUTE, OPS, RISK, TABLES, RouteScopes
from config.access_mode import Mode
from domain.access.events import AccountOpened, KeyCreated, KeyRevoked, KeyRotated, SessionStarted
from domain.access.keys import KeyRing

HOME: Final = "127.0.0.1"
TRADER: Final = new_key_id()
SECRET: Final = new_secret()
TOKEN: Final = new_token()
NOW: Final = 1_000_000_000_000


class Clock(SystemClock):
    """Both clocks are what the test says. `moved` is how far the wall clock was set forward or back."""

    def __init__(self) -> None:
        self.now, self.moved = NOW, 0

    def now_ns(self) -> int:
        return self.now + self.moved

    def monotonic_ns(self) -> int:
        return self.now


class House:
    """An authority, of oms by default, with one trader's key and a session of it."""

    def __init__(self, mode: Mode = "keys", service: str = "oms", **key: Any) -> None:
        self.keys, self.clock = KeyRing(), Clock()
        self.keys.apply(AccountOpened(version=1, at=1, who="operator", account="alice"))
        own: dict[str, Any] = {"scopes": ("trade", "read"), "digest": digest(SECRET.encode()).hex(), "rate": 100, "burst": 200} | key
        self.keys.apply(KeyCreated(version=2, at=2, who="operator", key_id=TRADER, owner="erin", account="alice", **own))
        session = SessionStarted(version=3, at=3, who="erin", key_id=TRADER, digest=digest(TOKEN.encode()).hex(), expires_at=2 * NOW)
        self.keys.apply(session)
        self.known = KeysKnown(self.clock)
        self.known.read_to_end(self.clock.now)
        self.authority = Authority(mode, self.keys, TABLES[service], self.clock, self.known)

    def later(self, seconds: float, *, read: bool = True) -> None:
        """Let time pass, with the keys read to their end until then."""
        self.clock.now += int(seconds * 1e9)
        if read:
            self.known.read_to_end(self.clock.now)

    def asks(self, route: str = "GET /orders", address: str = HOME, **headers: str) -> Caller | tuple[int, str] | None:
        method, path = route.split(" ")
        found = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        opened = self.authority.route(method, path)
        if opened == OPEN_ROUTE:
            return None
        try:
            return self.authority.admit(method, path, address, self.authority.read(method, path, address, found), opened)[0]
        except Refusal as refusal:
            return refusal.status, refusal.code

    def signs(self, private: Ed25519PrivateKey, at_ns: int, nonce: str = "1") -> tuple[int, str] | None:
        """A request signed at this time by the wall clock: None if the signature counts."""
        text = signed_text("GET", "/orders", str(at_ns // 1_000_000), nonce, b"")
        sent = Signed(TRADER, at_ns // 1_000_000, nonce, private.sign(text), 5_000)
        try:
            self.authority.verify(sent, "GET", "/orders", "/orders", HOME, b"", self.authority.route("GET", "/orders"))
        except Refusal as refusal:
            return refusal.status, refusal.code
        return None

    def with_key(self, route: str = "GET /orders", secret: str = SECRET, address: str = HOME) -> Caller | tuple[int, str] | None:
        return self.asks(route, address, authorization=f"Bearer {TRADER}.{secret}")


ERIN: Final = Caller(TRADER, "erin", "alice", House().keys.by_id[TRADER].mask)
NOT_LET_IN: Final = (401, "unauthorized")


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"authorization": f"Bearer {TRADER}.{SECRET}"}, ERIN),
        ({"authorization": f"bearer {TRADER}.{SECRET}"}, ERIN),
        ({"authorization": "Basic " + base64.b64encode(f"{TRADER}:{SECRET}".encode()).decode()}, ERIN),
        ({"apca_api_key_id": TRADER, "apca_api_secret_key": SECRET}, ERIN),
        ({}, NOT_LET_IN),
        ({"authorization": f"Bearer {TRADER}.{SECRET}x"}, NOT_LET_IN),
        ({"authorization": f"Bearer {new_key_id()}.{SECRET}"}, NOT_LET_IN),
        ({"authorization": f"Bearer .{SECRET}"}, NOT_LET_IN),
        ({"authorization": "Bearer"}, NOT_LET_IN),
        ({"authorization": "Basic %%%"}, NOT_LET_IN),
        ({"authorization": "Digest x"}, NOT_LET_IN),
        ({"authorization": "Bearer " + "x" * 600}, NOT_LET_IN),
        ({"apca_api_key_id": TRADER}, NOT_LET_IN),
        ({"apca_api_secret_key": SECRET}, NOT_LET_IN),
        ({"authorization": f"Bearer {TRADER}.{SECRET}", "apca_api_key_id": TRADER, "apca_api_secret_key": SECRET}, NOT_LET_IN),
        ({"trade_key": TRADER, "trade_time": "x"}, NOT_LET_IN),
        ({"authorization": f"Bearer {TOKEN}"}, structs.replace(ERIN, session=digest(TOKEN.encode()))),
        ({"authorization": f"Bearer .{TOKEN}"}, NOT_LET_IN),
        ({"authorization": "Basic " + base64.b64encode(f":{TOKEN}".encode()).decode()}, NOT_LET_IN),
        ({"apca_api_key_id": "", "apca_api_secret_key": TOKEN}, NOT_LET_IN),
    ],
)
def test_what_counts_as_credentials(headers: dict[str, str], answer: object) -> None:
    assert House().asks(**headers) == answer


def test_the_open_mode_lets_in_callers_without_a_key_and_none_with_a_wrong_key() -> None:
    house = House("open")
    assert house.asks("POST /orders") == LOCAL_CALLER
    assert house.with_key(secret="wrong") == NOT_LET_IN
    assert house.with_key() == ERIN


@pytest.mark.parametrize(
    ("route", "answer"),
    [
        ("GET /health", None),
        ("GET /openapi.json", None),
        ("POST /orders", ERIN),
        ("PATCH /orders/x", ERIN),
        ("DELETE /orders/x", ERIN),
        ("HEAD /orders", ERIN),
        ("GET /orders/x/events", ERIN),
        ("GET /stats", (403, "scope_missing")),
        ("POST /admin/verify", (403, "scope_missing")),
        ("GET /nothing/of/this", ERIN),
    ],
)
def test_a_route_needs_its_scope(route: str, answer: object) -> None:
    assert House().with_key(route) == answer


def test_without_a_key_an_unknown_address_is_401_and_not_404() -> None:
    assert House().asks("GET /nothing/of/this") == NOT_LET_IN


def test_a_key_that_is_revoked_expired_or_elsewhere_gets_the_same_answer_as_a_wrong_one() -> None:
    revoked = House()
    revoked.keys.apply(KeyRevoked(version=3, at=3, who="operator", key_id=TRADER))
    assert revoked.with_key() == NOT_LET_IN
    expired = House(expires_at=1_000_000_000_001)
    assert expired.with_key() == ERIN
    expired.clock.now += 1
    assert expired.with_key() == NOT_LET_IN
    elsewhere = House(networks=("10.0.0.0/8",))
    assert (elsewhere.with_key(), elsewhere.with_key(address="10.1.2.3"), elsewhere.with_key(address="")) == (NOT_LET_IN, ERIN, NOT_LET_IN)


def test_a_rotated_key_takes_the_old_secret_until_its_time_is_over() -> None:
    house, fresh = House(), new_secret()
    until = house.clock.now + 10
    house.keys.apply(KeyRotated(version=3, at=3, who="operator", key_id=TRADER, digest=digest(fresh.encode()).hex(), old_until=until))
    assert (house.with_key(), house.with_key(secret=fresh)) == (ERIN, ERIN)
    house.clock.now = until
    assert (house.with_key(), house.with_key(secret=fresh)) == (NOT_LET_IN, ERIN)


def test_trading_cannot_empty_the_bucket_of_cancels() -> None:
    house = House(rate=1, burst=2, scopes=("cancel", "read"))
    assert [house.with_key() for _ in range(3)] == [house.with_key("DELETE /orders/x")] * 2 + [(429, "rate_limited")]
    assert isinstance(house.with_key("DELETE /orders/x"), Caller)


def test_reading_cannot_empty_the_bucket_of_kills() -> None:
    house = House(rate=1, burst=2, scopes=("cancel", "read"), service="risk")
    assert [house.with_key("GET /risk/limits") for _ in range(3)] == [house.with_key("POST /risk/kill")] * 2 + [(429, "rate_limited")]
    assert isinstance(house.with_key("POST /risk/kill"), Caller)


async def test_a_newline_behind_an_address_reaches_no_handler() -> None:
    """Starlette takes `/orders` and a newline for `/orders`; a key without its scope would get to the handler."""
    reached: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await send_json(send, 200, b"{}")

    house = House(scopes=("read",))
    transport = httpx.ASGITransport(guarded(app, Access(["here"]), house.authority))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://here", headers={"authorization": f"Bearer {TRADER}.{SECRET}"}
    ) as client:
        refused = await client.post("/orders")
        assert (refused.status_code, refused.headers["x-ratelimit-remaining"]) == (403, "199")
        answers = [await client.post(path) for path in ("/orders%0A", "//orders", "/orders/", "/Orders", "/orders%0A/x%0A/settle")]
        assert [answer.status_code for answer in answers] == [404] * 5
        assert all(answer.headers["x-ratelimit-limit"] == "200" for answer in answers)
        other = await client.put("/orders/x")
        assert (other.status_code, other.headers["allow"]) == (405, "DELETE, GET, HEAD, PATCH")
        assert (await client.get("/orders/x")).status_code == 200
    assert reached == ["/orders/x"]


def test_a_page_of_refusals_fits_in_one_message_whatever_was_asked_for() -> None:
    house = House()
    for _ in range(ENTRIES_MAX):
        house.asks("GET /" + "\x01" * 8000)
    entries = house.authority.audit.newest(ENTRIES_MAX)
    assert len(entries) == ENTRIES_MAX
    assert len(encode(entries)) < 1_000_000


def test_a_service_answers_what_it_was_asked_for_and_no_more() -> None:
    house = House()
    answers = AccessAnswers("oms", None, house.authority, None)  # type: ignore[arg-type]
    assert house.with_key() == ERIN
    used = answers._answer(AccessQuestion(7, used=True))
    assert (used.seq, list(used.used), used.entries) == (7, [TRADER], [])
    seen = answers._answer(AccessQuestion(7, entries=10))
    assert ([each.type for each in seen.entries], seen.used) == (["FirstUse"], {})
    assert encode(answers._answer(AccessQuestion(7))) == b'{"seq":7}'


def test_an_address_that_fails_too_often_is_refused_unchecked_but_its_valid_key_passes() -> None:
    house = House()
    answers = [house.with_key(secret="wrong") for _ in range(25)]
    assert answers[:20] == [NOT_LET_IN] * 20
    assert answers[-1] == (429, "rate_limited")
    assert (house.with_key(), house.with_key(secret="wrong", address="127.0.0.2")) == (ERIN, NOT_LET_IN)
    house.later(30)
    assert house.with_key(secret="wrong") == NOT_LET_IN


def test_expiry_and_signatures_go_by_the_wall_clock_and_rates_by_the_other_one() -> None:
    hour, private = 3600 * 1_000_000_000, Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    house, signing = House(expires_at=NOW + hour, rate=1, burst=1), House(public_key=public, digest="")
    assert (house.with_key(), house.with_key()) == (ERIN, (429, "rate_limited"))
    house.clock.moved = hour - 1
    assert house.with_key() == (429, "rate_limited"), "an hour by the wall fills no bucket"
    house.clock.moved = hour
    assert house.with_key() == NOT_LET_IN
    assert signing.signs(private, NOW) is None
    assert signing.signs(private, NOW) == NOT_LET_IN, "a nonce is good once"
    for moved in (-hour, hour):
        signing.clock.moved = moved
        assert signing.signs(private, NOW, "2") == NOT_LET_IN
        assert signing.signs(private, NOW + moved, str(moved)) is None
        assert signing.signs(private, NOW + moved - 1_000_000, f"early {moved}") == NOT_LET_IN, "none from before this process"


def test_while_the_keys_are_not_known_none_is_believed() -> None:
    house = House()
    house.later(1, read=False)
    assert (house.with_key("POST /orders"), house.with_key("GET /orders")) == ((503, "access_unknown"), ERIN)
    house.later(9, read=False)
    assert (house.with_key("GET /orders"), house.with_key("DELETE /orders/x")) == ((503, "access_unknown"), ERIN)
    house.later(3600, read=False)
    assert house.with_key("DELETE /orders/x") == (503, "access_unknown")
    house.later(0)
    assert house.with_key("POST /orders") == ERIN


def test_a_secret_tells_a_typo_from_a_guess() -> None:
    assert well_formed(SECRET)
    assert not well_formed(SECRET[:-1] + ("A" if SECRET[-1] != "A" else "B"))
    assert len({new_secret() for _ in range(100)}) == 100


def test_parameters_of_a_route_are_segments_and_paths() -> None:
    routes = RouteScopes({("POST", "/risk/symbols/{symbol:path}/block"): RISK, ("GET", "/a/{b}"): None, ("GET", "/a/c"): OPS})
    assert routes.find("POST", "/risk/symbols/BTC/USD/block") == (True, RISK)
    assert routes.find("POST", "/risk/symbols//block") == (True, RISK)
    assert routes.find("GET", "/a/c") == (True, OPS)
    assert routes.find("GET", "/a/x") == (True, None)
    assert routes.find("GET", "/a/") == (False, None)
    assert routes.find("PUT", "/a/x") == (False, None)


@pytest.mark.parametrize("path", ["/a/c\n", "//a/c", "/a/c/", "/a//c", "/A/c", "a/c", "/a", "", "/", "*"])
def test_an_address_that_is_only_like_one_of_the_table_has_no_row(path: str) -> None:
    routes = RouteScopes({("GET", "/a/c"): None, ("POST", "/a/c"): OPS, ("DELETE", "/b/{c}"): OPS})
    assert (routes.find("GET", path), routes.find("POST", path), routes.methods(path)) == ((False, None), (False, None), [])
    assert routes.methods("/a/c") == ["GET", "HEAD", "POST"]
