"""Every example of docs/algos.md is an algo that oms accepts, and its tables name what there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from apps.oms.algo_body import USED
from domain.groups import schedule
from domain.order.algo import AlgoState, Strategy
from domain.values import rfc3339
from tests.apps.algo_desk import HOUR
from tests.apps.oms_house import living

PAGE = (Path(__file__).parents[2] / "docs" / "algos.md").read_text()
EXAMPLES: list[dict[str, Any]] = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
REASONS = (
    *(schedule.NO_QUOTE, schedule.NOT_LISTED, schedule.ON_CURVE, schedule.SPREAD, schedule.AWAY_FROM_ARRIVAL, schedule.NO_ARRIVAL),
    *(schedule.LIMIT_PRICE, schedule.PARTICIPATION, schedule.TOO_SMALL),
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["client_algo_id"])
async def test_every_example_is_accepted(example: dict[str, Any]) -> None:
    async with living() as (house, client):
        later = {"end_at": rfc3339(house.clock.now_ns() + HOUR // 36)} if "end_at" in example else {}
        answer = await client.post("/algos", json=example | later | {"limit_price": 50, "quantity": 1, "params": sized(example)})
        assert answer.json()["status"] == "submitted", answer.text


def sized(example: dict[str, Any]) -> dict[str, Any]:
    """The parameters, for the price of the test's market."""
    params: dict[str, Any] = example["params"]
    return params | ({"display_quantity": 0.2} if "display_quantity" in params else {})


def test_the_examples_show_each_strategy_that_there_is_in_ten_lines() -> None:
    assert {Strategy(example["strategy"]) for example in EXAMPLES} == set(USED)
    assert all(len(text.splitlines()) <= 10 for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.parametrize("names", [set().union(*USED.values()), set(AlgoState), set(REASONS), set(Strategy)])
def test_the_page_names_every_parameter_state_reason_and_strategy(names: set[str]) -> None:
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []
