"""The chassis: what a service is built with, and what its builder returns."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import structlog
from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from structlog.stdlib import BoundLogger

from adapters.clock import SystemClock
from apps.http import session_cookie
from apps.http.access import Access
from apps.http.alpaca_guard import AlpacaGuard
from apps.http.app import Handler
from apps.http.authority import Authority, KeysKnown
from apps.http.route_scopes import EVERYWHERE, TABLES
from apps.runtime import logs, metrics
from apps.runtime.health import Health
from apps.runtime.tasks import Task
from config.exposure import access_mode
from config.settings import Settings
from domain.access.keys import KeyRing
from domain.ports import Corrupt

DONE: Final = 0
FAILED: Final = 1
MISCONFIGURED: Final = 2
"""Exit codes of a service."""

CANCEL_AGAIN_S: Final = 2.0
AGAIN_FIRST_S: Final = 0.5
AGAIN_MAX_S: Final = 30.0
"""Pauses before a failed housekeeping task is restarted. A task that ran longer than the longest pause starts at the shortest again."""

S = TypeVar("S", bound=Settings)


async def _nothing_to_stop() -> None:
    return


def _as_it_is(app: Handler) -> Handler:
    return app


@dataclass(frozen=True)
class Service:
    """The parts that a service plugs into the chassis. `fast` handlers precede the router; `stop_intake` refuses new work.

    `mounts` are applications of their own, by the beginning of the paths that they serve. `websockets` are handlers by path; the listener
    must have been opened with these paths.
    """

    router: APIRouter = field(default_factory=APIRouter)
    fast: Mapping[tuple[str, str], Handler] = field(default_factory=dict)
    mounts: Mapping[str, Handler] = field(default_factory=dict)
    websockets: Mapping[str, Handler] = field(default_factory=dict)
    stats: Callable[[], Mapping[str, object]] = dict
    stop_intake: Callable[[], Awaitable[None]] = _nothing_to_stop


class Chassis(Generic[S]):
    """The settings, logs, health, metrics and tasks that a service uses while it is built and while it runs."""

    def __init__(
        self,
        settings: S,
        environment: Mapping[str, str] = MappingProxyType({}),
        around: Callable[[Handler], Handler] = _as_it_is,
    ) -> None:
        """In a process of several services: `environment` has this service's own variables, for its helper processes;
        `around` limits the share of the event loop that its HTTP port may use.
        """
        self.settings = settings
        self.around = around
        self.environment = environment
        self.name = settings.service.name
        clock = SystemClock()
        self.access = Access.of(settings)
        self.keys, self.keys_known = KeyRing(), KeysKnown(clock)
        table = TABLES.get(self.name, EVERYWHERE)
        self.authority = Authority(
            access_mode(settings),
            self.keys,
            table,
            clock,
            self.keys_known,
            settings.access.proxies,
            takes_cookies=self.name in session_cookie.SERVICES,
        )
        base = settings.alpaca_base()
        self.alpaca = None if base is None else AlpacaGuard(base, clock)
        self.log: BoundLogger = structlog.get_logger()
        self.health = Health("healthy", "unhealthy", self.log)
        self.ready = Health("ready", "not ready", self.log)
        self.registry: CollectorRegistry = metrics.registry()
        self.stopping = asyncio.Event()
        self.exits = contextlib.AsyncExitStack()
        self.code = DONE
        self.deaths: Counter[str] = Counter()
        """How often each housekeeping task has failed and was restarted."""
        self.service: Service | None = None
        self._started = time.monotonic()
        metrics.read(self.registry, self._series)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, object]], task: Task, of: str = "") -> None:
        """Run `work` for as long as the service runs; `task` defines what its failure means, `of` names one of several.

        The task is cancelled at its place in `exits`.
        """
        name = f"{task.name} {of}" if of else task.name
        if not task.vital:
            self.deaths.setdefault(name, 0)
        coroutine = work() if task.vital else self._kept_up(work, name)
        running = asyncio.get_running_loop().create_task(coroutine, name=name)
        running.add_done_callback(self._ended)
        self.exits.push_async_callback(cancelled, running)

    async def _kept_up(self, work: Callable[[], Coroutine[Any, Any, object]], name: str) -> None:
        """Restart housekeeping that fails, after a longer pause each time; count and log each failure."""
        loop = asyncio.get_running_loop()
        pause = AGAIN_FIRST_S
        while True:
            began, running = loop.time(), loop.create_task(work(), name=name)
            try:
                await asyncio.wait({running})
            finally:
                await cancelled(running)
            error = None if running.cancelled() else running.exception()
            if error is None:
                return
            if isinstance(error, Corrupt):
                raise error
            self.deaths[name] += 1
            self.log.error(f"The task {name} failed and is restarted", exc_info=error, in_s=pause)
            pause = AGAIN_FIRST_S if loop.time() - began > AGAIN_MAX_S else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, AGAIN_MAX_S)

    def fail(self, reason: str) -> None:
        """Log `reason` and end in order with exit code 1. The supervisor starts another process."""
        self.log.critical(reason)
        self._end(FAILED)

    def stop(self) -> None:
        """End in order with exit code 0, as on SIGTERM."""
        self._end(DONE)

    def stats(self) -> dict[str, object]:
        own = self.service.stats() if self.service else {}
        return {
            "service": self.name,
            "uptime_sec": int(time.monotonic() - self._started),
            "ready": self.ready.known() is None,
            "task_deaths": dict(+self.deaths),
            "log_lines_dropped": sum(logs.dropped().values()),
            "alarms": [],
            **own,
        }

    def _series(self) -> Iterator[Metric]:
        yield metrics.gauge("service_healthy", "1 while /health reports healthy, as of the last check", self.health.known() is None)
        yield metrics.gauge("service_ready", "1 while /ready reports ready, as of the last check", self.ready.known() is None)
        yield metrics.counter(
            "http_requests_refused",
            "Requests with a foreign Host, from a foreign page, or with a body that is not JSON",
            self.access.refused,
            "code",
        )
        yield metrics.counter("access_refused", "Requests refused for their key, rate or scope", self.authority.audit.refused, "code")
        standing = self.ready.standing() | self.health.standing()
        yield metrics.counter("service_task_deaths", "Times that a housekeeping task failed and was restarted", self.deaths, "task")
        yield metrics.gauge("service_check_ok", "1 while this dependency or condition is good", standing, "check")
        yield metrics.counter("log_lines_dropped", "Log lines dropped for lack of room", logs.dropped(), "to")

    def _end(self, code: int) -> None:
        self.code = self.code or code
        self.stopping.set()

    def _ended(self, task: asyncio.Task[object]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Corrupt):
            self.log.critical(f"The journal does not verify, and {self.name} does not continue from it", reason=str(error))
            self._end(FAILED)
        elif error is not None:
            self.log.critical(f"The task {task.get_name()} failed", reason=str(error) or type(error).__name__, exc_info=error)
            self._end(FAILED)


async def cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait until it has ended, however it ends.

    `asyncio.wait_for` of Python 3.11 swallows a cancel that arrives together with the awaited result, so the cancel is repeated.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
