"""Every task of every service is killed once, in services built as they are: what follows is what its row in apps/runtime/tasks.py says."""

import asyncio
import contextlib
import gc
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from apps.desk.wiring import build as build_desk
from apps.exeq.wiring import build as build_exeq
from apps.live_gateway.wiring import build as build_gateway
from apps.normalizer.wiring import build as build_normalizer
from apps.oms.wiring import build as build_oms
from apps.projector.wiring import build as build_projector
from apps.risk.wiring import build as build_risk
from apps.runtime import probes, service, tasks
from apps.runtime.chassis import DONE, FAILED, Chassis
from apps.runtime.tasks import TASKS, Task
from apps.sink.wiring import build as build_sink
from config.loading import load_desk, load_exeq, load_gateway, load_normalizer, load_oms, load_projector, load_risk, load_sink
from domain.ports import Corrupt
from tests.live import LiveServer
from tests.process import LiveService

PAGE = Path(__file__).parents[2] / "docs/verification.md"
SOON_S = 60.0
HOUSE: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "oms": (load_oms, build_oms),
    "risk": (load_risk, build_risk),
    "exeq": (load_exeq, build_exeq),
    "live-gateway": (load_gateway, build_gateway),
    "projector": (load_projector, build_projector),
    "desk": (load_desk, build_desk),
    "normalizer": (load_normalizer, build_normalizer),
    "sink-ticks": (load_sink, build_sink),
}


class Planted(Exception):
    """An unforeseen bug."""


class Mortal(Chassis[Any]):
    """A chassis whose tasks fail when a test says so, also those that have done their work."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.rows: dict[str, Task] = {}
        self.lives: Counter[str] = Counter()
        self._doomed: dict[str, asyncio.Event] = {}

    def spawn(self, work: Callable[[], Coroutine[Any, Any, object]], task: Task, of: str = "") -> None:
        name = f"{task.name} {of}".strip()
        self.rows[name] = task
        self._doomed[name] = asyncio.Event()
        super().spawn(lambda: self._until_doomed(name, work), task, of)

    async def _until_doomed(self, name: str, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self.lives[name] += 1
        doomed = self._doomed[name]
        running, waiting = asyncio.ensure_future(work()), asyncio.ensure_future(doomed.wait())
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                await waiting
            doomed.clear()
            raise Planted(name)
        finally:
            await over(running)
            await over(waiting)

    def kill(self, name: str) -> None:
        self._doomed[name].set()


TRIES: Final = 10


async def over(task: "asyncio.Future[Any]") -> None:
    """Cancelled, and left when it does not end: `asyncio.wait_for` of Python 3.11 loses a cancel that comes together with its answer."""
    for _ in range(TRIES):
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
        if task.done():
            return


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """A service tells the collector to leave alone what stays."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@asynccontextmanager
async def house(nats: LiveServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Mortal]]:
    """All services in this process, without their doors."""
    found: dict[str, Mortal] = {}
    async with AsyncExitStack() as opened:
        for name, (load, build) in HOUSE.items():
            with monkeypatch.context() as environment:
                for variable, value in LiveService(name, nats, home / name).program.environment.items():
                    environment.setenv(variable, value)
                if name == "sink-ticks":
                    with_every_task(home / name)
                chassis = found[name] = Mortal(load())
            opened.push_async_callback(closed, chassis)
            front = service.Front(probes.closed(chassis, "starting"))
            serving = asyncio.ensure_future(service._serve_until_told(chassis, build, front))
            opened.push_async_callback(over, serving)
            opened.callback(chassis.stopping.set)
        await until(lambda: all(chassis.service for chassis in found.values()))
        yield found


def with_every_task(home: Path) -> None:
    """sink-ticks with an archive, so that it drops old days."""
    file = home / "config.yaml"
    changes = {"ticks_keep_days": 7, "places": ["questdb", "s3"], "s3": {"address": f"file://{home}/objects"}}
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


async def closed(chassis: Mortal) -> None:
    """As a service does: what does not end in its time is left."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(service.STOP_DEADLINE_S):
            await chassis.exits.aclose()


async def until(true: Callable[[], object], what: str = "") -> None:
    try:
        async with asyncio.timeout(SOON_S):
            while not true():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(what)


async def test_each_task_has_its_row_and_its_death_means_what_the_row_says(
    fresh_nats: LiveServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with house(fresh_nats, tmp_path, monkeypatch) as services:
        for name, chassis in services.items():
            await until(lambda: set(chassis.rows.values()) >= set(TASKS[name]), f"every task of {name} begins")  # noqa: B023 - as below
            assert set(chassis.rows.values()) == set(TASKS[name]), name
            housekeeping = [task for task, row in chassis.rows.items() if not row.vital]
            for task in housekeeping:
                chassis.kill(task)
        for name, chassis in services.items():
            housekeeping = [task for task, row in chassis.rows.items() if not row.vital]
            await until(lambda: all(chassis.lives[task] == 2 for task in housekeeping))  # noqa: B023 - awaited in this turn
            assert (chassis.stopping.is_set(), chassis.code) == (False, DONE), f"{name} is not stopped"
            assert chassis.stats()["task_deaths"] == dict.fromkeys(housekeeping, 1)
            series = {
                sample.labels["task"]: sample.value for family in chassis._series() for sample in family.samples if "task" in sample.labels
            }
            assert series == dict.fromkeys(housekeeping, 1)
        for name, chassis in services.items():
            for task in [task for task, row in chassis.rows.items() if row.vital]:
                assert not chassis.stopping.is_set()
                caplog.clear()
                chassis.kill(task)
                await until(chassis.stopping.is_set, f"the death of {task} ends {name}")
                assert (chassis.code, chassis.lives[task]) == (FAILED, 1), f"{name} ends, {task} is not restarted"
                await until(partial(_printed, capsys, caplog, [], f"The task {task} failed"), f"the death of {task} is logged")
                chassis.code = DONE
                chassis.stopping.clear()


def _printed(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, so_far: list[str], text: str) -> bool:
    """Printed, or logged where an earlier test configured the logs of this process."""
    so_far.append(capsys.readouterr().out)
    return text in "".join(so_far) + caplog.text


async def test_a_damaged_journal_ends_the_service_whichever_task_finds_it() -> None:
    chassis = Chassis(load_exeq())

    async def work() -> None:
        raise Corrupt("sequence 7: it was changed")

    chassis.spawn(work, tasks.SNAPSHOTS)
    await until(chassis.stopping.is_set)
    assert (chassis.code, chassis.deaths.total()) == (FAILED, 0)
    await chassis.exits.aclose()


async def test_housekeeping_that_fails_again_and_again_is_begun_again_more_and_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.runtime.chassis.AGAIN_FIRST_S", 0.01)
    chassis = Chassis(load_exeq())
    began: list[float] = []

    async def work() -> None:
        began.append(asyncio.get_running_loop().time())
        raise Planted

    chassis.spawn(work, tasks.SNAPSHOTS)
    await until(lambda: len(began) == 5)
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert all(pause >= 0.009 * 2**number for number, pause in enumerate(pauses))
    await chassis.exits.aclose()


def rows() -> list[str]:
    """The table of the page."""
    found = []
    for name, of in TASKS.items():
        for task in of:
            meaning = f"the process ends ({task.why})" if task.vital else f"it is restarted ({task.why})"
            found.append(f"| {name} | `{task.name}` | {meaning} |")
    return found


def test_the_page_has_a_row_for_each_task_and_no_other() -> None:
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith(tuple(f"| {name} | `" for name in TASKS))]
    assert shown == rows(), "write them with: python -m tests.apps.test_tasks"


if __name__ == "__main__":
    print("\n".join(rows()))
