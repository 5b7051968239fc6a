"""Two tenants at oms: an order or account of the other one is answered like one that does not exist. tests/flows has whole stacks."""

import httpx
import pytest

from apps.http.authority import Caller
from domain.access.scopes import AccessScope, mask_of
from tests.apps.oms_house import living
from tests.apps.submits import text

BOTH = mask_of((AccessScope.TRADE, AccessScope.READ))
ALICE = Caller("PKALICE2222222222222", "alice", "alice", BOTH)
BOB = Caller("PKBOB222222222222222", "bob", "bob", BOTH)
ABSENT = "0" * 32
ORDER_ROUTES = (
    ("GET", "/orders/{}", None),
    ("GET", "/orders/{}/events", None),
    ("PATCH", "/orders/{}", {"quantity": 3}),
    ("DELETE", "/orders/{}", None),
)


def described(answer: httpx.Response, order_id: str) -> tuple[int, str, list[str]]:
    """Status, body without the id that was asked for, and the names of the headers."""
    return answer.status_code, answer.text.replace(order_id, "ID"), sorted(answer.headers)


@pytest.mark.parametrize(("method", "path", "body"), ORDER_ROUTES)
async def test_an_order_of_another_account_is_answered_like_one_that_does_not_exist(
    method: str, path: str, body: dict[str, int] | None
) -> None:
    async with living() as (house, _), house.http(ALICE) as alice, house.http(BOB) as bob:
        placed = await alice.post("/orders", content=text(client_order_id="a", account="alice", quantity=2, price=50))
        order_id = placed.json()["order_id"]
        foreign = await bob.request(method, path.format(order_id), json=body)
        absent = await bob.request(method, path.format(ABSENT), json=body)
        assert described(foreign, order_id) == described(absent, ABSENT)
        assert (foreign.status_code, foreign.json()["code"]) == (404, "order_not_found")
        own = await alice.get(f"/orders/{order_id}")
        assert (own.json()["status"], own.json()["quantity"]) == ("queued", 2)


async def test_an_order_for_another_account_is_refused_and_without_one_it_is_the_key_s() -> None:
    async with living() as (house, _), house.http(BOB) as bob:
        refused = await bob.post("/orders", content=text(client_order_id="a", account="alice", quantity=2, price=50))
        assert (refused.status_code, refused.json()["code"]) == (403, "account_not_yours")
        placed = await bob.post("/orders", content=text(client_order_id="a", account=None, quantity=2, price=50))
        shown = await bob.get(f"/orders/{placed.json()['order_id']}")
        assert shown.json()["account"] == "bob"
        assert (await bob.get("/orders?account=alice")).status_code == 404
