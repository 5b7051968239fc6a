"""The session of a venue by lists: within their bounds, in their order, and what cannot be read of them spoils no other."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from adapters.codec import decoder, encode
from apps.connections.venue_lists import LIST_BYTES_MAX, LIST_COUNT_MAX, Reader, SentRequest, Unreadable, Verb, lists
from apps.exeq.venue_wire import VenueWire
from domain.execution.routing import RoutedVenue
from domain.order.commands import VenueReport, VenueRequest
from domain.values import OrderType, Side
from tests import given
from tests.interest import AlwaysSubscribed, NeverSubscribed

ONE = Decimal(1)


def reports(count: int, reason: str = "") -> list[VenueReport]:
    return [given.report("rejected", report_seq=n, reason=reason) for n in range(1, count + 1)]


@pytest.mark.parametrize(("count", "reason", "sizes"), [(0, "", []), (1, "", [1]), (LIST_COUNT_MAX + 1, "", [LIST_COUNT_MAX, 1])])
def test_a_list_has_a_bound(count: int, reason: str, sizes: list[int]) -> None:
    found = [decoder(list[VenueReport]).decode(each) for each in lists(reports(count, reason))]
    assert [len(each) for each in found] == sizes
    assert [report for each in found for report in each] == reports(count, reason)


def test_bytes_have_a_bound_too_and_what_is_larger_goes_alone() -> None:
    large = reports(5, "x" * (LIST_BYTES_MAX // 2 - 1000))
    larger = reports(1, "x" * LIST_BYTES_MAX)
    found = list(lists([*large, *larger]))
    assert [len(json.loads(each)) for each in found] == [2, 2, 1, 1]
    assert all(len(each) <= LIST_BYTES_MAX + 1 for each in found[:3])


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"[]", []),
        (b"[1,2]", [1, 2]),
        (b'[1,"x",3]', [1, b'"x"', 3]),
        (b"[[],{}]", [b"[]", b"{}"]),
        (b"7", [b"7"]),
        (b"[1,", [b"[1,"]),
        (b"", [b""]),
        (b"[" * 10_000, [b"[" * 10_000]),
    ],
)
def test_what_cannot_be_read_is_found_and_the_rest_is_read(data: bytes, read: list[object]) -> None:
    found = [each.data if isinstance(each, Unreadable) else each for each in Reader[int](int).read(data)]
    assert found == read


def request(route: str, venue: str, shard: int = 0) -> VenueRequest:
    common: dict[str, Any] = {"symbol": "BTCUSDT", "side": Side.BUY, "type": OrderType.MARKET, "quantity": ONE}
    return VenueRequest(order_id=route, route_id=route, venue=venue, account="alice", shard=shard, **common)


class Wire:
    def __init__(self, *, listened_to: bool = False) -> None:
        self.said: list[tuple[str, Any]] = []
        venues = {name: RoutedVenue(name, ONE, ONE, frozenset(), plain=name == "P") for name in "ABP"}
        self.wire = VenueWire(self._send, AlwaysSubscribed() if listened_to else NeverSubscribed(), venues)

    def _send(self, subject: str, payload: bytes) -> None:
        found = json.loads(payload)
        self.said.append(
            (subject, [f"{one['verb']} {one['request']['route_id']}" for one in found] if isinstance(found, list) else found["route_id"])
        )

    def send(self, *requests: tuple[Verb, VenueRequest]) -> list[tuple[str, Any]]:
        self.wire.send([SentRequest(verb, request) for verb, request in requests])
        return self.said


def test_a_commit_is_one_message_a_venue_and_shard_in_its_order() -> None:
    said = Wire().send(
        ("new", request("1", "A")), ("new", request("2", "B")), ("cancel", request("3", "A")), ("replace", request("4", "A", 3))
    )
    assert said == [
        ("venue.A.requests.0", ["new 1", "cancel 3"]),
        ("venue.B.requests.0", ["new 2"]),
        ("venue.A.requests.3", ["replace 4"]),
    ]


def test_a_plain_venue_gets_each_request_by_itself_and_always() -> None:
    assert Wire().send(("new", request("1", "P")), ("cancel", request("2", "P"))) == [
        ("orders.alice.new", "1"),
        ("orders.alice.cancel", "2"),
    ]


async def test_a_listener_gets_each_one_behind_the_list() -> None:
    wire = Wire(listened_to=True)
    wire.send(("new", request("1", "A")), ("cancel", request("2", "A")))
    await asyncio.sleep(0)
    assert wire.said == [("venue.A.requests.0", ["new 1", "cancel 2"]), ("orders.alice.new", "1"), ("orders.alice.cancel", "2")]


def test_a_request_on_the_wire_says_what_it_is() -> None:
    assert json.loads(encode(SentRequest("cancel", request("1", "A"))))["verb"] == "cancel"
