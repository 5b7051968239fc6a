"""The bodies of algos that are refused, their pages, and who may see them: CONTINGENT.md 4."""

from typing import Any

import msgspec
import pytest

from domain.order.algo_commands import PauseAlgo
from tests.apps.algo_desk import AlgoDesk, twap
from tests.apps.callers import ERIN
from tests.apps.oms_house import living


@pytest.mark.parametrize(
    ("changes", "status", "code", "pointer"),
    [
        ({"strategy": "vwap"}, 422, "no_volume_profile", "/strategy"),
        ({"strategy": "pov"}, 422, "strategy_unsupported", "/strategy"),
        ({"strategy": "shortfall"}, 422, "strategy_unsupported", "/strategy"),
        ({"strategy": "other"}, 400, "malformed", "/strategy"),
        ({"params": {"rate_pct": 5}}, 422, "param_unsupported", "/params/rate_pct"),
        ({"params": {"display_quantity": 1}}, 422, "param_unsupported", "/params/display_quantity"),
        ({"params": {"unknown": 5}}, 400, "malformed", "/params/unknown"),
        ({"params": {"interval_sec": 0.1}}, 422, "param_out_of_range", "/params/interval_sec"),
        ({"params": {"interval_sec": 0.3}}, 422, "too_many_slices", "/params/interval_sec"),
        ({"params": {"interval_sec": "NaN"}}, 400, "malformed", "/params/interval_sec"),
        ({"params": {"participation_max_pct": 101}}, 422, "param_out_of_range", "/params/participation_max_pct"),
        ({"params": {"pause_on": {"spread_bps_max": 0}}}, 422, "param_out_of_range", "/params/pause_on/spread_bps_max"),
        ({"params": {"child_quantity_min": 2, "child_quantity_max": 1}}, 422, "param_out_of_range", "/params/child_quantity_min"),
        ({"params": {"offset_ticks": 1.5}}, 400, "malformed", "/params/offset_ticks"),
        ({"quantity": 0.2, "params": {"interval_sec": 10}}, 422, "slice_too_small", "/params/interval_sec"),
        ({"params": {"interval_sec": 360, "child_quantity_min": 0.5}}, 422, "slice_too_small", "/params/child_quantity_min"),
        ({"end_at": ...}, 422, "end_at_required", "/end_at"),
        ({"end_at": "2020-01-01T00:00:00Z"}, 422, "end_at_in_past", "/end_at"),
        ({"end_at": "2999-01-01T00:00:00Z"}, 422, "horizon_too_long", "/end_at"),
        ({"time_in_force": "ioc"}, 400, "malformed", "/time_in_force"),
        ({"symbol": "NONE"}, 422, "unknown_symbol", None),
        ({"quantity": 0.0001}, 422, "quantity_off_lot", None),
        ({"limit_price": 50.001}, 422, "price_off_tick", None),
        ({"strategy": "iceberg", "params": {}}, 422, "display_quantity_required", "/params/display_quantity"),
        ({"strategy": "iceberg", "params": {"display_quantity": 5}}, 422, "display_quantity_too_large", "/display_quantity"),
        ({"strategy": "iceberg", "params": {"display_quantity": 0.5}, "limit_price": ...}, 422, "price_required", None),
    ],
)
async def test_what_is_no_algo_is_refused_with_its_place(changes: dict[str, Any], status: int, code: str, pointer: str | None) -> None:
    async with living() as (house, client):
        refused = await client.post("/algos", json=twap(house, **changes))
        body = refused.json()
        assert (refused.status_code, body["code"], body.get("pointer")) == (status, code, pointer)
        assert not house.log.commits


async def test_an_account_has_a_bounded_number_of_open_algos() -> None:
    async with living() as (house, client):
        for number in range(3):
            await client.post("/algos", json=twap(house, client_algo_id=f"t-{number}"))
        answer = (await client.post("/algos", json=twap(house, client_algo_id="t-4"))).json()
        assert (answer["status"], answer["reason"], answer["detail"]) == (
            "rejected",
            "max_open_algos",
            {"found": "4", "limit": "3", "unit": "algos"},
        )
        assert (await client.get(f"/algos/{answer['algo_id']}")).json()["status"] == "rejected"


async def test_pages_of_algos_lead_to_the_first_one_also_by_status() -> None:
    async with living() as (house, client):
        for number in range(3):
            await client.post("/algos", json=twap(house, client_algo_id=f"t-{number}"))
        for query, expected in (({}, ["t-2", "t-1", "t-0"]), ({"status": "open"}, ["t-2", "t-1", "t-0"]), ({"status": "closed"}, [])):
            found: list[str] = []
            page: dict[str, Any] = {"next": None}
            for _ in range(4):
                more = {} if page["next"] is None else {"cursor": page["next"]}
                page = (await client.get("/algos", params={"account": "alice", "limit": 1, **query, **more})).json()
                found += [each["client_algo_id"] for each in page["algos"]]
                if page["next"] is None:
                    break
            assert found == expected


async def test_the_slices_and_the_story_come_in_pages() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        for n in range(1, 4):
            await desk.spawn(n, "0")
        first = (await client.get(f"/algos/{desk.algo_id}/slices", params={"limit": 2})).json()
        assert [each["n"] for each in first["slices"]] == [1, 2]
        second = (await client.get(f"/algos/{desk.algo_id}/slices", params={"limit": 2, "cursor": first["next"]})).json()
        assert ([each["n"] for each in second["slices"]], second["next"]) == ([3], None)
        story = (await client.get(f"/algos/{desk.algo_id}/events")).json()["events"]
        assert [each["type"] for each in story] == ["AlgoSubmitted", "AlgoSliced", "AlgoSliced", "AlgoSliced"]
        assert story[0]["told"].startswith("alice asks to buy 1 BTCUSDT by twap until ")


async def test_a_foreign_algo_is_refused_like_one_that_does_not_exist() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        async with house.http(msgspec.structs.replace(ERIN, account="bob")) as stranger:
            for method, path in (("GET", ""), ("GET", "/slices"), ("GET", "/events"), ("DELETE", ""), ("POST", "/pause"), ("PATCH", "")):
                body = {"quantity": 2} if method == "PATCH" else None
                refused = await stranger.request(method, f"/algos/{desk.algo_id}{path}", json=body)
                assert (refused.status_code, refused.json()["code"]) == (404, "algo_not_found")
            assert (await stranger.post("/algos", json=twap(house))).json()["code"] == "account_not_yours"


async def test_exeq_may_pause_a_parent_too() -> None:
    async with living() as (house, client):
        desk = AlgoDesk(house, client)
        await desk.submit()
        assert (await desk.said(PauseAlgo(order_id=desk.algo_id, reason="halted"))).ok
        assert (await desk.view())["reason"] == "halted"
        assert (await desk.said(PauseAlgo(order_id="0" * 32, reason="halted"))).code == "algo_not_found"
