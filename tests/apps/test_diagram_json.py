"""The diagram as JSON: the same boxes, lines, labels and counts as the SVG, for a page that draws it without a style in it."""

import json
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from apps.diagram.diagram import Counts, draw, drawn
from apps.diagram.geometry import geometry
from apps.diagram.layout import LINES, Drawn
from apps.http.caller import Caller
from domain.access.scopes import AccessScope, mask_of
from domain.order.lifecycle import CLOSED, State
from tests.apps.callers import as_caller
from tests.apps.oms_house import living
from tests.apps.submits import text
from tests.apps.test_diagram import NUMBERED, SVG

COUNTS = Counts(
    states={State.QUEUED: 41},
    steps={(State.QUEUED, "route"): 5, (State.ROUTED, "venue_cancelled"): 2, (State.IN_DOUBT, "venue_cancelled"): 3},
)
READER = Caller("PKREAD22222222222222", "ria", "alice", mask_of((AccessScope.READ,)))
AUDITOR = Caller("PKAUDIT2222222222222", "ada", "*", mask_of((AccessScope.AUDIT,)))


def picture(counts: Counts | None = None) -> Any:
    return json.loads(draw("json", counts))


def test_it_has_every_state_and_every_step_of_the_machine() -> None:
    found = picture()
    assert {each["state"]: each["closed"] for each in found["states"]} == {state: state in CLOSED for state in State}
    assert [(each["from"], each["trigger"], each["to"]) for each in found["steps"]] == [(d.source, d.trigger, d.target) for d in drawn()]
    assert found["not_laid_out"] == []


def test_every_step_is_on_one_line_or_stays_in_its_box() -> None:
    found = picture()
    lines = [(source, trigger, line["to"]) for line in found["lines"] for source in line["from"] for trigger in line["triggers"]]
    stays = [(box["state"], trigger, box["state"]) for box in found["boxes"] for trigger in box["stays"]]
    assert sorted(lines + stays) == sorted((d.source, d.trigger, d.target) for d in drawn())


def test_boxes_lines_and_labels_are_where_the_svg_has_them() -> None:
    found, svg = picture(NUMBERED), ElementTree.fromstring(draw("svg", NUMBERED))
    rects = [tuple(int(rect.get(name, "0")) for name in ("x", "y", "width", "height")) for rect in svg.iter(f"{SVG}rect")]
    for box in (*found["boxes"], *found["frames"]):
        assert (box["x"], box["y"], box["w"], box["h"]) in rects
    texts = {(text.text, int(text.get("x", "0")), int(text.get("y", "0")), text.get("text-anchor")) for text in svg.iter(f"{SVG}text")}
    for line in found["lines"]:
        label = line["label"]
        for n, trigger in enumerate(reversed(line["triggers"])):
            assert (trigger, label["x"], label["y"] - found["line_height"] * n, label["anchor"]) in texts
        assert (str(line["count"]), line["badge"]["x"], line["badge"]["y"] + 4, "middle") in texts
    heads = {polygon.get("points", "").split(" ")[0] for polygon in svg.iter(f"{SVG}polygon")}
    assert {"{},{}".format(*line["points"][-1]) for line in (*found["lines"], found["start"])} <= heads
    assert (found["width"], found["height"]) == tuple(map(int, svg.get("viewBox", "").split(" ")[2:]))


def test_counts_are_null_until_they_are_asked_for_and_a_line_has_the_sum_of_its_steps() -> None:
    bare, counted = picture(), picture(COUNTS)
    for part in ("states", "steps", "lines"):
        assert {each["count"] for each in bare[part]} == {None}
        assert [{**each, "count": None} for each in counted[part]] == bare[part]
    assert {each["state"]: each["count"] for each in counted["states"] if each["count"]} == {"queued": 41}
    assert sorted(line["count"] for line in counted["lines"] if line["count"]) == [5, 5]
    assert sorted(step["count"] for step in counted["steps"] if step["count"]) == [2, 3, 5]


def test_a_step_without_a_place_is_listed_and_a_line_without_its_steps_is_not_there() -> None:
    found = json.loads(geometry((*drawn(), Drawn(State.NEW, "teleport", State.FILLED)), None))
    assert found["not_laid_out"] == [{"trigger": "teleport", "from": "new", "to": "filled", "count": None}]
    lost = json.loads(geometry(tuple(d for d in drawn() if d.trigger != "no_route"), None))
    assert len(lost["lines"]) == len(LINES) - 1


async def test_oms_serves_it_with_its_own_counts() -> None:
    async with living() as (_, client):
        assert (await client.post("/orders", content=text())).json()["status"] == "submitted"
        answer = await client.get("/diagram?format=json&counts=1")
        assert answer.headers["content-type"] == "application/json"
        found = answer.json()
        assert {each["state"]: each["count"] for each in found["states"] if each["count"]} == {"queued": 1}
        assert [step["count"] for step in found["steps"] if step["trigger"] == "enqueue"] == [1]
        plain = (await client.get("/diagram?format=json")).json()
        assert {each["count"] for each in plain["states"]} == {None}
        assert (await client.get("/diagram")).text.startswith("stateDiagram-v2")


@pytest.mark.parametrize(("caller", "query", "status"), [(READER, "", 200), (READER, "&counts=1", 403), (AUDITOR, "&counts=1", 200)])
async def test_counts_are_only_for_callers_that_may_see_them(caller: Caller, query: str, status: int) -> None:
    async with living() as (house, _):
        transport = httpx.ASGITransport(app=as_caller(house.app, caller))
        async with httpx.AsyncClient(transport=transport, base_url="http://oms") as client:
            assert (await client.get(f"/diagram?format=json{query}")).status_code == status


async def test_another_format_is_malformed() -> None:
    async with living() as (_, client):
        answer = await client.get("/diagram?format=yaml")
    assert (answer.status_code, answer.json()["code"], answer.json()["pointer"]) == (400, "malformed", "?format")
