"""`PATCH /algos/{id}`: what a change may do, what risk is asked about it, and that none is lost. CONTINGENT.md GRP-12."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest

from domain.order.commands import RiskDecision, Terms
from tests.apps.algo_desk import AlgoDesk, twap
from tests.apps.oms_house import OmsHouse, living


class SlowRisk:
    """Risk that answers only once `answers` is set. `asked`: quantity and price of each question."""

    def __init__(self, house: OmsHouse) -> None:
        self.asked: list[tuple[Decimal, Decimal | None]] = []
        self.answers = asyncio.Event()
        self._check = house.risk.check
        house.risk.check = self.check  # type: ignore[method-assign]

    async def check(self, terms: Terms) -> RiskDecision:
        self.asked.append((terms.quantity, terms.price))
        await self.answers.wait()
        return await self._check(terms)

    async def until_asked(self) -> None:
        async with asyncio.timeout(60):
            while not self.asked:
                await asyncio.sleep(0)


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    ("later", "expected"), [({"quantity": 3}, (3, 65)), ({"quantity": 0.5}, (0.5, 65)), ({"limit_price": 70}, (1, 70))]
)
async def test_of_two_changes_at_once_none_is_lost(later: dict[str, Any], expected: tuple[float, float]) -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        risk, path = SlowRisk(house), f"/algos/{desk.algo_id}"
        first = asyncio.create_task(client.patch(path, json={"limit_price": 65}))
        await risk.until_asked()
        second = asyncio.create_task(client.patch(path, json=later))
        await asyncio.sleep(0.05)
        assert len(risk.asked) == 1, "the second change waits for the first"
        risk.answers.set()
        assert [(await one).status_code for one in (first, second)] == [200, 200]
        found = await desk.view()
        assert (found["quantity"], found["limit_price"]) == expected


async def test_a_changed_curve_has_the_bounds_of_a_new_one() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        path = f"/algos/{desk.algo_id}"
        assert refused(await client.patch(path, json={"params": {"interval_sec": 0.2}})) == (422, "too_many_slices")
        assert refused(await client.patch(path, json={"params": {"child_quantity_min": 5}})) == (422, "slice_too_small")
        assert (await desk.view())["version"] == 1
        assert (await client.patch(path, json={"limit_price": 61})).status_code == 200, "another change is free of them"


@pytest.mark.parametrize(
    ("change", "asked"), [({"limit_price": 61}, ("0.2", "61")), ({"limit_price": 50}, None), ({"quantity": 1.5}, ("0.5", "60"))]
)
async def test_the_terms_of_an_algo_are_changed_also_while_its_order_has_all_of_the_rest(
    change: dict[str, float], asked: tuple[str, str] | None
) -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.trade(1, "0.8")
        assert (await desk.spawn(2, "0.2")).ok
        risk = SlowRisk(house)
        risk.answers.set()
        answer = await client.patch(f"/algos/{desk.algo_id}", json=change)
        assert answer.status_code == 200, answer.text
        assert risk.asked == ([] if asked is None else [tuple(map(Decimal, asked))])


async def test_risk_is_not_asked_about_a_quantity_below_what_has_traded() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        await desk.trade(1, "0.8")
        risk = SlowRisk(house)
        answer = await client.patch(f"/algos/{desk.algo_id}", json={"quantity": 0.5, "limit_price": 65})
        assert (refused(answer), risk.asked) == ((409, "quantity_committed"), [])


@pytest.mark.parametrize("strategy", [{}, {"strategy": "iceberg", "end_at": ..., "params": {"display_quantity": 0.1}}])
async def test_an_algo_begins_within_the_longest_horizon(strategy: dict[str, Any]) -> None:
    async with living() as (house, client):
        far = {"start_at": "9999-01-01T00:00:00Z", "end_at": "9999-01-01T01:00:00Z"} | strategy
        answer = await client.post("/algos", json=twap(house, **far))
        assert (refused(answer), answer.json()["pointer"]) == ((422, "horizon_too_long"), "/start_at")
