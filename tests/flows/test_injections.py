"""Names that would be more than names: none reaches a subject, a key or a query, and the connections behind the doors survive."""

import asyncio
import re
from typing import Any
from urllib.parse import quote

import httpx
import nats

from adapters import bus
from domain.values import CLIENT_ORDER_ID, SYMBOL
from tests.flows.doors import ORDER, Doors, accepted, recorded
from tests.flows.test_life import filled
from tests.routes import ENDLESS
from tests.stack import SERVICES, LiveStack

NASTY = [
    *(
        "'; DROP TABLE fills; --",
        "' OR '1'='1",
        '" OR ""="',
        "a' UNION SELECT 1 --",
        "$1",
        "1); SELECT pg_sleep(5); --",
        "a,b=c 1",
    ),
    *("a.b", "*", ">", "orders.>", "$JS.API.STREAM.DELETE.OMS_JOURNAL", "_INBOX.x", "oms.journal.0", "a b", "a\tb", "\r\nPUB x 0\r\n\r\n"),
    *("a:b", "position:x:BTCUSDT", "projection:positions", "\r\nFLUSHALL\r\n", "{a}", "KEYS[1]", "a\x00b", "\x00", "\n", "%0d%0a", "%2e"),
    *(
        "../../etc/passwd",
        "..",
        "\\",
        "<script>",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "аlice",
        "\u202eecila",
        "e\u0301",
        "😀",
        "\ufeff",
        "é",
    ),
    *("x" * 65, "x" * 2000, "", " "),
]

LEGAL = {"symbol": SYMBOL, "client_order_id": CLIENT_ORDER_ID}
"""Where some of them are legal, and name nothing."""


def test_no_name_reaches_a_subject_a_key_or_a_query(running: LiveStack, doors: Doors) -> None:  # FAILURES 61, 62, 63, 64
    """Each name in each place: refused, unknown or nothing found. The connections behind the doors are the same afterwards."""
    before, connections = recorded(running), nats_connections(running)
    for name in NASTY:
        inside = quote(name, safe="")
        for path in (f"/positions/{inside}", f"/fills/{inside}", f"/orders/{inside}", f"/orders/{inside}/events"):
            assert doors.ask("GET", path).status_code in (400, 404)
        for path, parameter in (("/fills/bad", "symbol"), ("/orders", "account"), ("/orders", "symbol"), ("/orders", "client_order_id")):
            if (legal := LEGAL.get(parameter)) and legal.fullmatch(name):
                assert not rows(doors.ask("GET", path, params={parameter: name}).json()), "no order is called so"
            else:
                assert doors.refused("GET", path, params={parameter: name}) == (400, "malformed", f"?{parameter}")
        assert doors.ask("DELETE", f"/orders/{inside}").status_code in (404, 405)
        assert doors.refused("DELETE", "/orders", params={"account": name}) == (400, "malformed", "?account")
        assert doors.refused("POST", "/orders", json={**ORDER, "account": name}) == (400, "malformed", "/account")
        if CLIENT_ORDER_ID.fullmatch(name):
            assert doors.refused("POST", "/orders", json={**ORDER, "client_order_id": name, "symbol": "NOPE"})[:2] == (
                422,
                "unknown_symbol",
            )
        else:
            assert doors.refused("POST", "/orders", json={**ORDER, "client_order_id": name}) == (400, "malformed", "/client_order_id")
        assert doors.submit(**{**ORDER, "symbol": name}).status_code == 422
    assert doors.asked > 400
    assert recorded(running) == before
    assert nats_connections(running) == connections
    assert running.query("SELECT count() FROM tables() WHERE table_name IN ('fills', 'order_events')") == [[2]]


def rows(answer: dict[str, Any]) -> Any:
    return answer.get("fills") or answer.get("orders")


def nats_connections(stack: LiveStack) -> dict[str, int]:
    """Each service's connection to NATS by its number: another number is another connection."""
    monitor = f"http://127.0.0.1:{8222 + stack.offset}/connz"
    return {each["name"]: each["cid"] for each in httpx.get(monitor).json()["connections"] if each.get("name") in SERVICES}


def test_no_door_of_the_stack_answers_500(running: LiveStack) -> None:  # FAILURES 61, 64
    """Every GET of every service with every name in every parameter that its OpenAPI page lists."""
    before, connections = recorded(running), nats_connections(running)
    for service in SERVICES:
        doors = Doors(running, service)
        for path, operations in doors.ask("GET", "/openapi.json").json()["paths"].items():
            if path == ENDLESS:
                continue
            for parameter in operations.get("get", {}).get("parameters", []):
                if parameter["name"] == "min_seq":
                    continue  # it waits
                for name in NASTY:
                    filled_in = path.replace(f"{{{parameter['name']}}}", quote(name, safe=""))
                    params = {parameter["name"]: name} if parameter["in"] == "query" else None
                    doors.ask("GET", re.sub(r"{\w+}", "x", filled_in), params=params)
        doors.close()
    after = recorded(running)
    assert (after.seq, after.orders, after.reservations) == (before.seq, before.orders, before.reservations)
    assert nats_connections(running) == connections


async def test_subjects_on_the_bus_are_made_of_plain_names(running: LiveStack, doors: Doors) -> None:  # FAILURES 61
    client = await nats.connect(running.url("nats"))
    subjects: set[str] = set()

    async def hear(message: Any) -> None:
        subjects.add(message.subject)

    await client.subscribe(">", cb=hear)
    await bus.flush(client)
    accounts = ("a" * 64, "A-z_0", "-", "_", "null")
    for account in accounts:
        order = await asyncio.to_thread(accepted, doors, **{**ORDER, "account": account, "price": "45900"})
        await asyncio.to_thread(filled, running, order["order_id"])
    await asyncio.sleep(0.5)
    await client.close()
    plain = re.compile(r"(\$JS|\$SYS|_INBOX)\..*|[A-Za-z0-9_~-]+(\.[A-Za-z0-9_~-]+)*")
    assert [subject for subject in subjects if not plain.fullmatch(subject)] == []
    for account in accounts:
        assert {f"orders.{account}.new", f"fills.{account}", f"positions.{account}"} <= subjects
