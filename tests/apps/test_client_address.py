"""Whose request it is behind proxies: the last address that no own proxy has."""

import ipaddress

import pytest

from apps.http.client_address import HOPS_MAX, client_address, is_among

PROXIES = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "2001:db8:1::/48"))
PROXY = "10.0.0.1"

CASES: list[tuple[str, list[str], str]] = [
    # peer, X-Forwarded-For, the client
    (PROXY, [], PROXY),
    (PROXY, ["203.0.113.9"], "203.0.113.9"),
    (PROXY, ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the first one is the client's own claim
    (PROXY, ["127.0.0.1", "203.0.113.9"], "203.0.113.9"),
    (PROXY, ["203.0.113.9, 10.2.2.2 , 10.1.1.1"], "203.0.113.9"),
    (PROXY, ["203.0.113.9", "10.2.2.2,10.1.1.1"], "203.0.113.9"),
    (PROXY, ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),  # a client inside the proxies' network
    (PROXY, ["203.0.113.9:4711"], "203.0.113.9"),
    (PROXY, ["[2001:db8::9]:443"], "2001:db8::9"),
    (PROXY, ["[2001:db8::9]"], "2001:db8::9"),
    (PROXY, ["2001:DB8:0:0::9"], "2001:db8::9"),
    (PROXY, ["::ffff:203.0.113.9"], "203.0.113.9"),
    ("2001:db8:1::5", ["203.0.113.9, 2001:db8:1::6"], "203.0.113.9"),
    ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
    ("::ffff:198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
    ("198.51.100.7", ["127.0.0.1"], "198.51.100.7"),  # no proxy of ours: its header counts for nothing
    ("testclient", ["203.0.113.9"], "testclient"),
    *(
        (PROXY, [f"203.0.113.9, {garbage}"], PROXY)
        for garbage in (
            *("", "unknown", "_hidden", "localhost", "203.0.113", "203.0.113.256", "0x7f000001", "2130706433", "127.1", "203.0.113.9/32"),
            *(
                "[2001:db8::9",
                "[2001:db8::9]x",
                "[2001:db8::9]:x",
                "203.0.113.9:x",
                ":443",
                "[]",
                "[]:1",
                "for=203.0.113.9",
                "\xff",
                "1" * 5000,
            ),
        )
    ),
    (PROXY, ["203.0.113.9, garbage, 10.1.1.1"], "10.1.1.1"),
    (PROXY, ["203.0.113.9" + ", 10.1.1.1" * (HOPS_MAX - 1)], "203.0.113.9"),
    (PROXY, ["203.0.113.9" + ", 10.1.1.1" * HOPS_MAX], "10.1.1.1"),
    (PROXY, ["203.0.113.9, " * 3000], PROXY),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), CASES)
def test_the_client_is_the_last_address_that_no_own_proxy_has(peer: str, forwarded: list[str], client: str) -> None:
    headers = [(b"host", b"x"), *((b"x-forwarded-for", each.encode("latin-1")) for each in forwarded)]
    assert client_address({"client": (peer, 1), "headers": headers}, PROXIES) == client


def test_without_own_proxies_the_header_counts_for_nothing() -> None:
    headers = [(b"x-forwarded-for", b"127.0.0.1")]
    for peer, client in (("203.0.113.9", "203.0.113.9"), ("::ffff:203.0.113.9", "203.0.113.9"), ("::1", "::1")):
        assert client_address({"client": (peer, 1), "headers": headers}, ()) == client
    assert client_address({"client": None, "headers": headers}, PROXIES) == ""


def test_loopback_and_the_named_networks_are_admitted() -> None:
    assert all(is_among(host, PROXIES) for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.255.0.1", "2001:db8:1::1"))
    assert not any(is_among(host, PROXIES) for host in ("11.0.0.1", "2001:db8:2::1", "", "localhost", "0.0.0.0", "::"))
    assert not is_among("10.0.0.1", ())
