"""Alarms of the journal and the last hour, as desk tells them: by its fold, so that no restart of a service forgets them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from apps.desk.fold import DeskFold, DeskState
from apps.desk.last_hour import EVERY_NS, SAMPLES_MAX, LastHour
from apps.desk.services import ALARMS_TOLD_MAX, Services
from apps.runtime.chassis import cancelled
from domain.alarms import KEPT_MAX
from domain.order.venue_reports import UNKNOWN_ORDER
from tests.apps.desk_scene import Desk, desk, late_fill, life, quarantined
from tests.apps.test_exeq_routing import Hands

S = 1_000_000_000


async def told(scene: Desk, path: str, **query: Any) -> Any:
    answer = await scene.http.get(httpx.URL(scene.url).join(path), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def services_of(fold: DeskFold, found: Mapping[str, Any]) -> dict[str, Any]:
    """What the message says of each service, for an operator."""

    async def ask(name: str) -> dict[str, Any] | None:
        return found.get(name)

    services, said = Services(ask, lambda: 7, fold, Hands()), asyncio.Event()
    running = asyncio.create_task(services.run(said.set))
    await said.wait()
    await cancelled(running)
    assert "alarms" not in services.encoded(operator=False).decode()
    return {each["service"]: each for each in msgspec.json.decode(services.encoded(operator=True))["services"]}


async def test_late_fills_and_quarantined_reports_are_listed_newest_first_with_their_sequence_and_sentence() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        await scene.commit(quarantined("O9", UNKNOWN_ORDER))
        at = await scene.commit(late_fill("O1", "alice"))
        await scene.applied()
        found = await told(scene, "/alarms")
        assert found["as_of_seq"] == at.seq == 5
        assert [(each["kind"], each["order_id"], each["account"], each["seq"]) for each in found["alarms"]] == [
            ("overfill", "O1", "alice", 5),
            ("quarantine", "O9", None, 4),
        ]
        assert found["alarms"][0]["sentence"].startswith("Trade O1-late: buy 1 @ 51")
        assert (await told(scene, "/alarms", account="bob"))["alarms"] == []


async def test_a_desk_that_starts_again_knows_them_from_its_snapshot_and_from_the_journal() -> None:
    async with desk() as scene:
        await scene.commits(life("O1", "alice"))
        await scene.commit(late_fill("O1", "alice"))
        await scene.applied()
        before = list(scene.fold.alarms)
    restored = DeskFold(10, 10)
    restored.restore(msgspec.convert(msgspec.to_builtins(scene.fold.state()), DeskState, strict=False))
    assert list(restored.alarms) == before
    assert len(before) == 1
    async with desk(scene.journal) as again:
        assert list(again.fold.alarms) == before


async def test_no_more_are_kept_than_the_bound_and_a_message_has_the_newest() -> None:
    async with desk() as scene:
        await scene.commits([(quarantined(f"O{n}", UNKNOWN_ORDER),) for n in range(KEPT_MAX + 5)])
        await scene.applied()
        assert [each["seq"] for each in (await told(scene, "/alarms"))["alarms"]][-1] == 6
        own = {"at": "2999-01-01T00:00:00Z", "kind": "refused_step", "order_id": "O1", "account": None, "sentence": "No.", "seq": None}
        alarms = (await services_of(scene.fold, {"oms": {"ready": True, "alarms": [own, {**own, "seq": 1}]}}))["oms"]["alarms"]
        assert len(alarms) == ALARMS_TOLD_MAX
        assert alarms[0] == own
        assert all(each["kind"] == "quarantine" for each in alarms[1:])


async def test_alarms_of_the_journal_are_reported_while_oms_is_away_and_those_of_other_services_by_themselves() -> None:
    async with desk() as scene:
        await scene.commits([*life("O1", "alice"), (late_fill("O1", "alice"),)])
        await scene.applied()
        stopped = {"at": "2026-01-01T00:00:00Z", "kind": "account_stopped", "order_id": "O1", "sentence": "Stopped.", "seq": 3}
        found = await services_of(scene.fold, {"risk": {"ready": True, "alarms": [stopped]}})
        assert [each["kind"] for each in found["oms"]["alarms"]] == ["overfill"]
        assert found["risk"]["alarms"] == [stopped]
        assert found["exeq"]["alarms"] == []


def said(submits: int, p99: float, checks: Mapping[str, int]) -> dict[str, Any]:
    return {"oms": {"answers": {"submitted": submits}, "submit_ms": {"p99": p99}}, "risk": {"checks_up_to_ns": checks}}


def test_a_sample_is_of_the_ten_seconds_before_it_and_says_nothing_of_what_was_not_measured() -> None:
    history = LastHour()
    history.take(said(0, 0, {}), [], 100, 0, 0)
    history.take(said(5, 9, {}), [], 150, 9 * S, 9 * S)
    assert not history.samples
    history.take(said(10, 4.5, {"1000": 99, "8000": 1}), [3, 0], 200, EVERY_NS, EVERY_NS)
    history.take(said(10, 4.5, {"1000": 99, "8000": 1}), [0], 200, 2 * EVERY_NS, 2 * EVERY_NS)
    history.take(said(11, 4.6, {"1000": 99, "8000": 101}), [], 201, 3 * EVERY_NS, 3 * EVERY_NS)
    shown = [(each.commits_a_second, each.submit_ms, each.check_us, each.lag) for each in history.samples]
    assert shown == [(10.0, 4.5, 1.0, 3), (0.0, None, None, 0), (0.1, 4.6, 8.0, None)]


def test_after_a_time_without_answers_a_sample_is_of_what_was_measured_since_the_last_answer() -> None:
    history = LastHour()
    history.take(said(10, 4.5, {"8000": 99}), [], 1, 0, 0)
    history.take({"oms": None, "risk": None}, [], 1, EVERY_NS, 1)
    history.take(said(10, 4.5, {"8000": 99}), [], 1, 2 * EVERY_NS, 2)
    history.take(said(12, 3.5, {"1000": 2, "8000": 99}), [], 1, 3 * EVERY_NS, 3)
    assert [(each.submit_ms, each.check_us) for each in history.samples] == [(None, None), (None, None), (3.5, 1.0)]


def test_a_service_that_started_again_or_is_away_breaks_no_sample_and_an_hour_is_the_bound() -> None:
    history = LastHour()
    history.take(said(10, 4.5, {"1000": 99}), [], 1, 0, 0)
    history.take(said(2, 4.5, {"3000": 2}), [], 1, EVERY_NS, 1)
    history.take({"oms": None, "risk": None}, [], 1, 2 * EVERY_NS, 2)
    assert [(each.submit_ms, each.check_us) for each in history.samples] == [(4.5, 3.0), (None, None)]
    for n in range(SAMPLES_MAX + 10):
        history.take({}, [], n, (3 + n) * EVERY_NS, n)
    assert len(history.samples) == SAMPLES_MAX
    assert msgspec.json.decode(history.encoded())["every_sec"] == 10


async def test_the_last_hour_is_read_in_one_request() -> None:
    async with desk() as scene:
        assert await told(scene, "/history") == {"every_sec": 10, "samples": []}
