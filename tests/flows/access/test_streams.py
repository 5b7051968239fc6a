"""A stream shows what its key may read, and no longer than the key is good."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest

from tests.flows.access.tenants import ANNA, BERT, House, Made, bearer

PATIENCE_S: Final = 60.0


@contextmanager
def stream(house: House, who: dict[str, str], **params: Any) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """The messages of one stream, as they come."""
    url = f"{house.stack.url('desk')}/stream"
    with httpx.stream("GET", url, headers=who, params=params, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200, answer.read()
        yield parsed(answer)


def parsed(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    event = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        event = value if name == "event" else event
        if name == "data":
            yield event, json.loads(value)


def test_a_stream_shows_the_account_of_its_key_and_no_other(house: House, anna: Made) -> None:
    bob = house.key(BERT, "trade", "read", owner="bob")
    hers, his = (house.submit(who.headers)["order_id"] for who in (anna, bob))
    with stream(house, anna.headers, kinds="orders,events", from_seq=0) as messages:
        assert next(messages)[1]["accounts"] == [ANNA]
        seen: set[str] = set()
        while hers not in seen:
            _, data = next(messages)
            seen |= {row["order_id"] for row in (*data.get("orders", ()), *data.get("events", ()))}
        assert his not in seen
    assert house.refused("desk", "GET", f"/stream?account={BERT}", anna.headers) == (403, "account_not_yours")


def test_a_kill_of_another_account_is_not_named(house: House, anna: Made) -> None:
    house.done("risk", "POST", "/risk/kill", json={"scope": "account:acct-elsewhere", "reason": "scene"})
    with stream(house, anna.headers) as messages:
        controls = next(data["controls"] for event, data in messages if event == "snapshot_end")
    assert "account:acct-elsewhere" not in controls["killed"]
    with stream(house, house.operator) as messages:
        controls = next(data["controls"] for event, data in messages if event == "snapshot_end")
    assert "account:acct-elsewhere" in controls["killed"]


def test_what_the_services_say_of_themselves_is_for_operators(house: House, anna: Made) -> None:
    for who, shown in ((anna.headers, {"service", "ready"}), (house.operator, {"service", "ready", "seq", "lag"})):
        with stream(house, who, kinds="services") as messages:
            services = next(data["services"] for event, data in messages if event == "services" and data["services"])
        assert shown <= services[0].keys()
        assert set(services[0]) == shown or "seq" in shown


@pytest.mark.parametrize("by_session", [False, True])
def test_a_stream_ends_soon_after_its_key_is_revoked(house: House, by_session: bool) -> None:
    leaving = house.key(ANNA, "read", owner="leaving")
    who = bearer(house.session(leaving.headers)) if by_session else leaving.headers
    with stream(house, who) as messages:
        next(messages)
        house.done("risk", "POST", f"/access/keys/{leaving.key_id}/revoke", json={})
        assert next(data for event, data in messages if event == "bye") == {"reason": "key_ended"}
