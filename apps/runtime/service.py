"""The life of every service on its chassis: settings, logs, signals, the HTTP port, health, and an orderly end."""

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, NoReturn

import uvloop
from starlette.types import Receive, Scope, Send

from apps.http import tls
from apps.http.app import Handler, Listener, application, fast_path, serve
from apps.http.websocket import with_websockets
from apps.runtime import logs, metrics, private_files, probes, tasks
from apps.runtime.chassis import FAILED, MISCONFIGURED, Chassis, S, Service, cancelled
from apps.runtime.health import SERVICE
from config.exposure import access_mode, refuse_plain_http
from config.settings import Settings
from config.text import ConfigError
from domain.values import use_exact_arithmetic

__all__ = ["Build", "Chassis", "Service", "live", "run_service"]

STOP_DEADLINE_S: Final = 8.0
STOP_INTAKE_S: Final = 2.0
YOUNG_MAX: Final = 20_000
"""New objects between two garbage collections. At Python's default of 700 they took a seventh of oms's time and found almost nothing."""

Build = Callable[[Chassis[S]], Awaitable[Service]]


def run_service(name: str, load: Callable[[], S], build: Build[S]) -> NoReturn:
    """Run a service as the whole process. Exit codes: 0 stopped on request, 1 failed, 2 wrong configuration."""

    def lives() -> Coroutine[Any, Any, int]:
        settings = load()
        begin(settings)
        return _alone(settings, build)

    run_process(lives)


def run_process(lives: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Prepare this process, run the coroutine of `lives`, and end with its exit code. A ConfigError is exit code 2."""
    use_exact_arithmetic()
    _allow_many_files()
    private_files.begin()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(lives())
    except ConfigError as error:
        logs.flush()  # so that the error is the last line
        print(error, file=sys.stderr)
        code = MISCONFIGURED
    sys.exit(code)


def begin(*services: Settings) -> None:
    """Check how far the ports of the services of this process are open, configure their logs, and make their files private. ConfigError."""
    for settings in services:
        access_mode(settings)
        refuse_plain_http(settings)
        if settings.service.data_dir:
            private_files.tighten_files_of_a_service(settings.service.data_dir)
    try:
        logs.configure_all([logs.Log(each.service.name, each.service.log_level, each.service.log_dir) for each in services])
    except OSError as error:
        directory = next((each.service.log_dir for each in services if each.service.log_dir), None)
        raise ConfigError(f"{directory}: service.log_dir: cannot write a log in this directory: {error.strerror}") from error


async def _alone(settings: S, build: Build[S]) -> int:
    chassis = Chassis(settings)
    stops_on_signals(chassis.stop)
    return await live(chassis, build)


def stops_on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


class Front:
    """The application behind an open port, replaceable while the port stays open."""

    def __init__(self, app: Handler) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def live(chassis: Chassis[S], build: Build[S]) -> int:
    """Open the ports, build the service, serve until stopped, and stop in order. Return the exit code. ConfigError, after the stop."""
    logs.speak_as(chassis.name)
    settings = chassis.settings
    chassis.log.info(f"Starting {chassis.name}")
    for sentence in settings.without_effect():
        chassis.log.info(sentence)
    for sentence in settings.notices():
        chassis.log.warning(sentence)
    chassis.health.set(SERVICE, False, "starting")
    chassis.ready.set(SERVICE, False, "starting")
    front = Front(probes.closed(chassis, "starting"))
    try:
        listener, gauges = await _open(chassis, front)
    except OSError as error:
        chassis.log.critical(f"Cannot open the ports of {chassis.name}: {error}")
        return FAILED
    try:
        await _serve_until_told(chassis, build, front)
    finally:
        await _stop(chassis, front, listener, gauges)
    return chassis.code


async def _open(chassis: Chassis[S], front: Handler) -> tuple[Listener, Listener]:
    where, monitoring = chassis.settings.service, chassis.settings.monitoring
    context = tls.server_context(chassis.settings.access)
    gauges = await serve(probes.gauges(chassis), where.host, monitoring.metrics_port, chassis.access, None, tls=context, drain_sec=0.5)
    try:
        listener = await serve(
            front,
            where.host,
            where.port,
            chassis.access,
            chassis.authority,
            tls=context,
            connections_max=chassis.settings.connections_max(),
            alpaca=chassis.alpaca,
            websocket_paths=() if chassis.alpaca is None else chassis.alpaca.websocket_paths,
        )
    except OSError:
        await gauges.stop()
        raise
    chassis.log.info("Listening", host=where.host, port=listener.port, metrics_port=gauges.port)
    return listener, gauges


async def _serve_until_told(chassis: Chassis[S], build: Build[S], front: Front) -> None:
    chassis.spawn(partial(metrics.measure_loop_lag, metrics.loop_lag(chassis.registry)), tasks.LOOP_LAG)
    service = await _built(chassis, build)
    if service is None:
        return
    chassis.service = service
    app = application(chassis.name, probes.router(chassis), service.router)
    front.app = chassis.around(with_websockets(fast_path(app, service.fast, service.mounts), service.websockets))
    chassis.health.set(SERVICE, True)
    chassis.ready.set(SERVICE, True)
    chassis.spawn(partial(_look_after, chassis), tasks.HEALTH)
    leave_alone_what_stays()
    await chassis.stopping.wait()


async def _built(chassis: Chassis[S], build: Build[S]) -> Service | None:
    """Build the service; None if it is stopped first or cannot be built. ConfigError."""
    building = asyncio.ensure_future(build(chassis))
    stopped = asyncio.create_task(chassis.stopping.wait())
    await asyncio.wait({building, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    try:
        if chassis.stopping.is_set():
            await cancelled(building)
            return None
        return building.result()
    except ConfigError:
        chassis.code = MISCONFIGURED
        raise
    except Exception:  # the edge of the process: every error is logged and ends it
        chassis.log.critical(f"{chassis.name} could not start", exc_info=True)
        chassis.code = FAILED
        return None


async def _stop(chassis: Chassis[S], front: Front, listener: Listener, gauges: Listener) -> None:
    """Refuse new work, answer requests in flight, then close the rest in the reverse order of creation."""
    deadline = asyncio.get_running_loop().time() + STOP_DEADLINE_S
    chassis.log.info(f"Stopping {chassis.name}")
    chassis.ready.set(SERVICE, False, "stopping")
    front.app = probes.closed(chassis, "stopping")
    if chassis.service:
        await _step(chassis, "refusing new work", chassis.service.stop_intake, deadline - STOP_DEADLINE_S + STOP_INTAKE_S)
    await _step(chassis, "answering what is in flight", listener.stop, deadline)
    await _step(chassis, "closing what was opened", chassis.exits.aclose, deadline)
    await gauges.stop()
    chassis.log.info("Stopped", exit_code=chassis.code)


async def _step(chassis: Chassis[S], what: str, step: Callable[[], Awaitable[None]], until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            await step()
    except TimeoutError:
        chassis.log.warning(f"{what} did not finish in time and is skipped")
    except Exception:  # the edge of the process: the next step runs nevertheless
        chassis.log.critical(f"{what} failed", exc_info=True)
        chassis.code = FAILED


async def _look_after(chassis: Chassis[S]) -> None:
    """Probe the dependencies periodically, so that the log shows a change even if /health is not called."""
    while True:
        await chassis.health.trouble()
        await chassis.ready.trouble()
        await asyncio.sleep(chassis.settings.monitoring.health_check_interval_sec)


def leave_alone_what_stays() -> None:
    """Freeze objects from the start, which live as long as the process, so that the garbage collector does not walk them again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 20)


def _allow_many_files() -> None:
    """Raise the limit of open files as far as the system permits: the usual soft limit of 1024 is below the bound on connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
