"""Every route of every running service: a query that it does not understand changes nothing, and HEAD is answered as GET is.

The questions are made from each service's own openapi.json (the raw handlers have their twins there), and the metrics ports are asked too.
"""

from collections.abc import Iterator

import httpx
import pytest

from apps.stack.credentials.users import CLI_KEY_FILE
from apps.stack.services import SECRETS
from tests import routes
from tests.flows.doors import ORDER, Doors, accepted, recorded, sound
from tests.stack import SERVICES, LiveStack

LEAVES = ("/docs", "/openapi.json")
CHANGING = ("content-length", "date", "x-ratelimit-remaining", "x-ratelimit-reset")
"""Headers of an answer that counts something, or tells what is left."""
OPEN_TO_ALL = "/access/me"


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=20, trust_env=False) as client:
        yield client


def key_for(stack: LiveStack, path: str) -> dict[str, str]:
    """The command line's key where a program without one has no rights at all."""
    if not path.startswith("/access/") or path.startswith(OPEN_TO_ALL):
        return {}
    return {"authorization": f"Bearer {(stack.data_dir / SECRETS / CLI_KEY_FILE).read_text().strip()}"}


def metrics_of(stack: LiveStack, service: str) -> str:
    return stack.metrics_url(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_query_that_is_not_understood_is_refused_and_changes_nothing(running: LiveStack, http: httpx.Client, service: str) -> None:
    before = recorded(running)
    url = running.url(service)
    for method, path, pointer in routes.wrong_queries(http.get(f"{url}/openapi.json").json()):
        answer = http.request(method, url + path, headers=key_for(running, path))
        sound(answer)
        assert (answer.status_code, answer.json()["pointer"], answer.json()["within"]) == (400, pointer, "query"), (method, path)
    for address in (*(url + path for path in LEAVES), *(metrics_of(running, service) + path for path in ("/metrics", "/health"))):
        assert http.get(f"{address}?no_such=1").json()["pointer"] == "?no_such"
    assert recorded(running) == before


@pytest.mark.parametrize("service", SERVICES)
def test_head_is_answered_as_get_is(running: LiveStack, http: httpx.Client, service: str) -> None:
    url = running.url(service)
    addresses = [url + path for path in (*routes.reads(http.get(f"{url}/openapi.json").json()), *LEAVES, "/nothing")]
    addresses += [metrics_of(running, service) + path for path in ("/metrics", "/health", "/nothing")]
    for address in addresses:
        key = key_for(running, address.removeprefix(url))
        got, headed = http.get(address, headers=key), http.head(address, headers=key)
        assert headed.status_code == got.status_code, address
        assert headed.content == b""
        assert _steady(headed) == _steady(got), address
        assert int(headed.headers["content-length"]) > 0


def _steady(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in CHANGING}


def test_a_mass_cancel_with_an_unknown_filter_leaves_every_order_alone(doors: Doors) -> None:
    ids = [accepted(doors, **ORDER | {"account": "filters", "price": str(39000 - n)})["order_id"] for n in range(3)]
    for query in ("simbol=ETHUSDT", f"order_id={ids[0]}", "symbol=ETHUSDT&symbol=BTCUSDT", "status=live"):
        assert doors.refused("DELETE", f"/orders?account=filters&{query}")[:2] == (400, "malformed")
    assert doors.refused("DELETE", "/orders?account=filters&symbol=BTCEUR")[:2] == (422, "unknown_symbol")
    assert doors.ask("DELETE", "/orders?account=filters&status=filled").json() == {"cancelled": 0, "pending": 0}
    standing = [doors.ask("GET", f"/orders/{order_id}").json()["status"] for order_id in ids]
    assert not {"cancelled", "pending_cancel"} & set(standing)
    name = doors.ask("GET", f"/orders/{ids[0]}").json()["client_order_id"]
    answer = doors.ask("DELETE", f"/orders?account=filters&client_order_id={name}").json()
    assert answer["cancelled"] + answer["pending"] == 1
    assert len(doors.ask("GET", "/orders?account=filters&status=open").json()["orders"]) >= 2
    doors.ask("DELETE", "/orders?account=filters&status=open")
