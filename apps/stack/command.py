"""`trade up`: from the choices of a person to a running stack, and back to nothing."""

import asyncio
import functools
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adapters.clock import SystemClock
from apps.runtime import private_files
from apps.runtime.exit_codes import Exit
from apps.stack import questdb_jar, stack
from apps.stack.credentials import keys
from apps.stack.directory import claimed, unusable, wipe
from apps.stack.ports import ServerPorts, check_free
from apps.stack.program import Program
from apps.stack.screen import Screen
from apps.stack.servers import Servers, embedded
from apps.stack.services import Choices, services
from apps.stack.supervisor import Supervisor
from apps.stack.topology import TOPOLOGIES, UNIT
from apps.stack.trouble import CannotStart
from apps.stack.upgrade import upgrade
from domain.market.csv_rows import BadColumns, columns_of
from domain.market.recorded import COLUMNS

NEW_PASSWORDS = (
    "Bring the file back from a copy, or remove it: the servers and services of this directory get new passwords at this start, "
    "and programs of yours that have their own must be given the new ones."
)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FIRST_ORDER = '{"symbol":"BTCUSDT","side":"buy","quantity":0.1,"price":45000,"type":"limit"}'


def up(
    data_dir: Path,
    port_offset: int,
    fresh: bool,
    yes: bool,
    fills: str,
    quotes: Path | None,
    quotes_speed: str,
    quotes_columns: str,
    config_dir: Path | None,
    only_servers: bool,
    guests: bool = True,
    topology: str = UNIT,
) -> int:
    """Run the stack until a signal; the exit code of the command."""
    private_files.begin()
    screen = Screen()
    try:
        data_dir = Path(os.path.realpath(data_dir))
        choices = Choices(data_dir, port_offset, fills, quotes, quotes_speed, quotes_columns, config_dir, guests, topology)
        _start(choices, screen, fresh=fresh, yes=yes, only_servers=only_servers)
    except CannotStart as trouble:
        screen.complain(str(trouble))
        return trouble.exit_code
    except OSError as error:
        screen.complain(f"The stack cannot start: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}.")
        return Exit.REFUSED
    except KeyboardInterrupt:
        screen.say("stopped before anything was started")
    finally:
        screen.flush()
    return Exit.DONE


def _start(choices: Choices, screen: Screen, *, fresh: bool, yes: bool, only_servers: bool) -> None:
    """Everything that can refuse comes before anything is removed; what is removed is removed before anything starts."""
    _check(choices)
    questdb = choices.fills == "questdb"
    ports = ServerPorts().shifted(choices.port_offset)
    servers = Servers.at(ports, questdb=questdb)
    last = [] if only_servers else services(choices, servers)
    if questdb and not questdb_jar.cached():
        screen.say("fetching QuestDB's jar, 30 MB, this once")
        questdb_jar.fetch()
    with claimed(choices.data_dir):
        with _usable(choices.data_dir):
            for stale in stack.end_stale(choices.data_dir):
                screen.alarm(f"ended {stale}, left behind by a start that was killed")
            check_free(ports.named(questdb=questdb) | _ports_of(last))
            if fresh:
                _wipe(choices.data_dir, ask=not yes and sys.stdin.isatty())
            keys.init(choices.secrets, guests=choices.guests)
            for journal in upgrade(choices.data_dir, ports, choices.secrets):
                screen.say(f"{journal} of an earlier release has an account of its own now")
            first = embedded(choices.data_dir, ports, with_questdb=questdb, secrets=choices.secrets)
            _logs(choices).mkdir(exist_ok=True)
        asyncio.run(_run([first, last], _addresses(servers, choices, last), choices, screen))


@contextmanager
def _usable(data_dir: Path) -> Iterator[None]:
    """What is read and written before anything runs: a file that is damaged or refused ends the start with its name."""
    try:
        yield
    except keys.DamagedKeys as trouble:
        raise CannotStart(f"{trouble}.", remedy=NEW_PASSWORDS) from trouble
    except OSError as error:
        raise unusable(data_dir, error) from error


def _logs(choices: Choices) -> Path:
    return choices.data_dir / "logs"


def _check(choices: Choices) -> None:
    if choices.fills not in ("questdb", "sqlite"):
        raise CannotStart(f"--fills is questdb or sqlite, not {choices.fills}.", exit_code=Exit.USAGE)
    if choices.topology not in TOPOLOGIES:
        raise CannotStart(f"--topology is {' or '.join(TOPOLOGIES)}, not {choices.topology}.", exit_code=Exit.USAGE)
    try:
        columns_of(choices.quotes_columns, COLUMNS)
    except BadColumns as error:
        raise CannotStart(f"--quotes-columns: {error}.", remedy="See docs/files.md.", exit_code=Exit.USAGE) from error
    if choices.quotes and not choices.quotes.is_file():
        raise CannotStart(f"--quotes: there is no file {choices.quotes}.", exit_code=Exit.USAGE)
    if choices.quotes and not os.access(choices.quotes, os.R_OK):
        raise CannotStart(f"--quotes: {choices.quotes} cannot be read by this user.", exit_code=Exit.USAGE)


def _wipe(data_dir: Path, *, ask: bool) -> None:
    if ask and input(f"Remove the journal and everything else in {data_dir}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CannotStart("Nothing was removed.", remedy="Start without --fresh to carry on from what is there.")
    wipe(data_dir)


async def _run(stages: Sequence[Sequence[Program]], urls: dict[str, str], choices: Choices, screen: Screen) -> None:
    supervisor = Supervisor(stages, _logs(choices), screen, changed=lambda: stack.write(choices.data_dir, described))
    described = stack.Stack(
        pid=os.getpid(),
        started_at=SystemClock().now_ns() / 1e9,
        data_dir=str(choices.data_dir),
        port_offset=choices.port_offset,
        fills=choices.fills,
        urls=urls,
        processes=list(supervisor.states.values()),
    )
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, functools.partial(_stop, supervisor, screen, number))
    screen.say(
        f"starting, {_shape(choices)}; state and logs are in {choices.data_dir}"
        + (", fills go to SQLite" if choices.fills == "sqlite" else "")
    )
    try:
        await supervisor.run(ready=lambda: screen.show(_welcome(described)))
    finally:
        try:
            stack.forget(choices.data_dir)
        except OSError as error:
            screen.alarm(f"{choices.data_dir / stack.FILE} cannot be removed: {error.strerror}. What it names does not run any more")
    screen.say("stopped")


def _shape(choices: Choices) -> str:
    return "oms, risk and exeq in one process (a unit)" if choices.topology == UNIT else "each service in a process of its own"


def _stop(supervisor: Supervisor, screen: Screen, number: signal.Signals) -> None:
    screen.say(f"stopping ({number.name}); once more to kill")
    supervisor.stop()


def _ports_of(programs: Sequence[Program]) -> dict[str, int]:
    return {f"{program.name} ({use})": port for program in programs for use, port in program.ports.items()}


def _addresses(servers: Servers, choices: Choices, started: Sequence[Program]) -> dict[str, str]:
    found = {
        "nats": servers.nats_url,
        "valkey": servers.valkey_url,
        "questdb": servers.questdb_http_url,
        "questdb-pg": servers.questdb_pg_url,
    }
    return {name: url for name, url in found.items() if url} | {name: choices.url(name) for program in started for name in program.services}


def _welcome(described: stack.Stack) -> str:
    lines = ["", "Everything answers:", *(f"  {name:<13}{url}" for name, url in described.urls.items()), ""]
    if oms := described.urls.get("oms"):
        trade = (f"TRADE_OMS_URL={oms} " if described.port_offset else "") + _trade()
        lines += [
            "A first order, to paste into another terminal:",
            f"  curl -s {oms}/orders -H 'content-type: application/json' -d '{FIRST_ORDER}'",
            "The same from the command line, and what came of it:",
            f"  {trade} order submit BTCUSDT buy 0.1 --price 45000",
            f"  {trade} positions main",
            "",
        ]
    return "\n".join([*lines, "Ctrl-C stops all of it.", ""])


def _trade() -> str:
    """How the person can call `trade` from where they stand."""
    beside = Path(sys.executable).parent / "trade"
    return "trade" if shutil.which("trade") or not beside.exists() else os.path.relpath(beside)
