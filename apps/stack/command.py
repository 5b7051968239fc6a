"""`trade up`: start the stack that the command line describes, run it, and stop it."""

import asyncio
import functools
import os
import shlex
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
from apps.stack.credentials.users import DESK, GATEWAY
from apps.stack.directory import DATA_DIR, claimed, keep_shards, shards_of, unusable, wipe
from apps.stack.extras import check_installed, ports_of, programs_of, urls_of, wanted
from apps.stack.market import CONFIG, MARKETS, SIMULATED, report_venues, venues_of
from apps.stack.ports import ALL_PORTS, ServerPorts, check_free
from apps.stack.program import Program
from apps.stack.screen import Screen
from apps.stack.servers import MARKET_NATS, Servers, embedded
from apps.stack.services import Choices, services, usual_access
from apps.stack.supervisor import Supervisor
from apps.stack.topology import TOPOLOGIES, UNIT
from apps.stack.trouble import CannotStart
from apps.stack.upgrade import upgrade
from config.access_mode import ACCESS_MODES, KEYS, OPEN
from config.alpaca_section import ALPACA_BASE
from config.text import ConfigError
from domain.market.csv_rows import BadColumns, columns_of
from domain.market.recorded import COLUMNS

NEW_PASSWORDS = (
    "Restore the file from a copy, or remove it: the servers and services of this directory then get new passwords at the next start, "
    "and your own programs with passwords need the new ones."
)
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WHO_MAY = {
    OPEN: (
        "open: whoever is logged in on this machine may trade (paper); close it: trade up --access keys",
        "open: all callers are one owner, so four eyes are two hands: the same person may take both steps of trade arm under two names",
    ),
    KEYS: ("keys: every request needs a key, and there are no guests; make a key: trade key create",),
}
"""What the start reports of each mode of access."""
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
    access: str = "",
    desk: bool = True,
    market: str = SIMULATED,
    extras: str = "",
    shards: int | None = None,
) -> int:
    """Run the stack until a signal; return the exit code of the command. `access` empty: open, or keys with a live venue.

    `extras`: a comma-separated list of optional servers. `shards`: of the order journal; None: as the data directory was created.
    """
    private_files.begin()
    screen = Screen()
    try:
        data_dir = Path(os.path.realpath(data_dir))
        access = access or usual_access(config_dir)
        servers = wanted(extras)
        replay = (quotes, quotes_speed, quotes_columns)
        number = shards_of(data_dir, shards, fresh=fresh)
        choices = Choices(data_dir, port_offset, fills, *replay, config_dir, guests, topology, access, desk, market, servers, number)
        _start(choices, screen, fresh=fresh, yes=yes, only_servers=only_servers)
    except CannotStart as trouble:
        screen.complain(str(trouble))
        return trouble.exit_code
    except OSError as error:
        screen.complain(f"The stack cannot start: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}.")
        return Exit.REFUSED
    except KeyboardInterrupt:
        screen.say("stopped before any program was started")
    finally:
        screen.flush()
    return Exit.DONE


def _start(choices: Choices, screen: Screen, *, fresh: bool, yes: bool, only_servers: bool) -> None:
    """Start the stack. All checks precede any removal, and any removal precedes the first program."""
    _check(choices)
    questdb = choices.fills == "questdb"
    ports = ServerPorts().shifted(choices.port_offset)
    servers = Servers.at(ports, questdb=questdb, market=choices.real_market)
    last = [] if only_servers else services(choices, servers)
    if questdb and not questdb_jar.JAR.cached():
        screen.say("fetching QuestDB's jar (30 MB, only once)")
        questdb_jar.fetch()
    with claimed(choices.data_dir):
        with _usable(choices.data_dir):
            for stale in stack.end_stale(choices.data_dir):
                screen.alarm(f"ended {stale}, left behind by an earlier stack that was killed")
            optional = ports_of(choices.extras, choices.port_offset)
            check_free(ports.named(questdb=questdb, market=choices.real_market) | optional | _ports_of(last))
            if fresh:
                _wipe(choices.data_dir, ask=not yes and sys.stdin.isatty())
            keep_shards(choices.data_dir, choices.shards)
            keys.init(choices.secrets, guests=choices.admits_guests, shards=choices.shards)
            for journal in upgrade(choices.data_dir, ports, choices.secrets):
                screen.say(f"{journal} of an earlier release was moved to its own account")
            first = embedded(choices.data_dir, ports, with_questdb=questdb, with_market=choices.real_market, secrets=choices.secrets)
            first += programs_of(choices.extras, choices.data_dir, choices.port_offset, choices.secrets)
            _logs(choices).mkdir(exist_ok=True)
        asyncio.run(_run([first, last], _addresses(servers, choices, last), choices, screen))


@contextmanager
def _usable(data_dir: Path) -> Iterator[None]:
    """Guard reads and writes before any program runs: a damaged or inaccessible file ends the start and is named."""
    try:
        yield
    except keys.DamagedKeys as trouble:
        raise CannotStart(f"{trouble}.", remedy=NEW_PASSWORDS) from trouble
    except ConfigError as trouble:
        raise CannotStart(f"{trouble}.") from trouble
    except OSError as error:
        raise unusable(data_dir, error) from error


def _logs(choices: Choices) -> Path:
    return choices.data_dir / "logs"


def _check(choices: Choices) -> None:
    if choices.fills not in ("questdb", "sqlite"):
        raise CannotStart(f"--fills must be questdb or sqlite, not {choices.fills}.", exit_code=Exit.USAGE)
    if choices.topology not in TOPOLOGIES:
        raise CannotStart(f"--topology must be {' or '.join(TOPOLOGIES)}, not {choices.topology}.", exit_code=Exit.USAGE)
    if choices.access not in ACCESS_MODES:
        raise CannotStart(f"--access must be {' or '.join(ACCESS_MODES)}, not {choices.access}.", exit_code=Exit.USAGE)
    if choices.market not in MARKETS:
        raise CannotStart(f"--market must be {' or '.join(MARKETS)}, not {choices.market}.", exit_code=Exit.USAGE)
    if choices.quotes and choices.real_market:
        raise CannotStart(f"--quotes replays a file in place of the simulated market: leave out --market {CONFIG}.", exit_code=Exit.USAGE)
    if choices.shards > 1 and choices.extras:
        sentence = f"The data directory has {choices.shards} shards, and the optional servers follow one shard only."
        raise CannotStart(sentence, remedy="Leave out --with.", exit_code=Exit.USAGE)
    check_installed(choices.extras)
    try:
        columns_of(choices.quotes_columns, COLUMNS)
    except BadColumns as error:
        raise CannotStart(f"--quotes-columns: {error}.", remedy="See docs/files.md.", exit_code=Exit.USAGE) from error
    if choices.quotes and not choices.quotes.is_file():
        raise CannotStart(f"--quotes: {choices.quotes} is not a file.", exit_code=Exit.USAGE)
    if choices.quotes and not os.access(choices.quotes, os.R_OK):
        raise CannotStart(f"--quotes: this user cannot read {choices.quotes}.", exit_code=Exit.USAGE)


def _wipe(data_dir: Path, *, ask: bool) -> None:
    if ask and input(f"Remove the journal and everything else in {data_dir}? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CannotStart("Nothing was removed.", remedy="Start without --fresh to continue from the existing state.")
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
        access=choices.access,
    )
    reports: list[asyncio.Task[None]] = []

    def ready() -> None:
        screen.show(welcome(described))
        if GATEWAY in urls:
            reports.append(asyncio.create_task(report_venues(ALL_PORTS[GATEWAY] + choices.port_offset, screen.say)))

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, functools.partial(_stop, supervisor, screen, number))
    screen.say(
        f"starting, {_shape(choices)}; state and logs are in {choices.data_dir}"
        + (", fills are in SQLite" if choices.fills == "sqlite" else "")
    )
    if choices.shards > 1:
        screen.say(f"{choices.shards} shards: desk, which follows one shard only, is not started")
    if "oms" in urls:
        for sentence in WHO_MAY[choices.access]:
            screen.say(sentence)
    if GATEWAY in urls:
        venues = venues_of(choices.config_dir)
        screen.say(f"quotes come from {', '.join(venues) or 'no venue'} (gateway/config.yaml), not from a simulation")
    try:
        await supervisor.run(ready)
    finally:
        for report in reports:
            report.cancel()
        try:
            stack.forget(choices.data_dir)
        except OSError as error:
            screen.alarm(f"{choices.data_dir / stack.FILE} cannot be removed: {error.strerror}. The processes in it do not run any more")
    screen.say("stopped")


def _shape(choices: Choices) -> str:
    return "oms, risk and exeq in one process (a unit)" if choices.topology == UNIT else "each service in its own process"


def _stop(supervisor: Supervisor, screen: Screen, number: signal.Signals) -> None:
    screen.say(f"stopping ({number.name}); repeat to kill")
    supervisor.stop()


def _ports_of(programs: Sequence[Program]) -> dict[str, int]:
    return {f"{program.name} ({use})": port for program in programs for use, port in program.ports.items()}


def _addresses(servers: Servers, choices: Choices, started: Sequence[Program]) -> dict[str, str]:
    found = {
        "nats": servers.nats_url,
        "valkey": servers.valkey_url,
        "questdb": servers.questdb_http_url,
        "questdb-pg": servers.questdb_pg_url,
        MARKET_NATS: servers.market_nats_url,
    }
    found |= urls_of(choices.extras, choices.port_offset)
    return {name: url for name, url in found.items() if url} | {name: choices.url(name) for program in started for name in program.services}


def welcome(described: stack.Stack) -> str:
    """Return what the start shows once all is ready: addresses, and a first order that works in this mode of access."""
    lines = ["", "All services are ready:", *(f"  {name:<13}{url}" for name, url in described.urls.items()), ""]
    if oms := described.urls.get("oms"):
        lines += [*(_first_order_with_a_key(described, oms) if described.access == KEYS else _first_order(described, oms)), ""]
        lines += [*_key_for_alpaca(described, oms), ""]
    if desk := described.urls.get(DESK):
        lines += [f"The desk, in a browser: open {desk}", ""]
    return "\n".join([*lines, "Ctrl-C stops the stack.", ""])


def _first_order(described: stack.Stack, oms: str) -> list[str]:
    trade = (f"TRADE_OMS_URL={oms} " if described.port_offset else "") + _trade()
    return [
        "A first order, to paste into another terminal:",
        f"  curl -s {oms}/orders -H 'content-type: application/json' -d '{FIRST_ORDER}'",
        "The same from the command line, and the result:",
        f"  {trade} order submit BTCUSDT buy 0.1 --price 45000",
        f"  {trade} positions main",
    ]


def _key_for_alpaca(described: stack.Stack, oms: str) -> list[str]:
    """Return the line that makes a key for clients of Alpaca, which need one in every mode."""
    return [
        f"A key for programs written for Alpaca; their address is {oms}{ALPACA_BASE} (docs/alpaca.md):",
        f"  {_trade()} key create --account main --scopes trade,read --json{_where(described)}",
    ]


def _where(described: stack.Stack) -> str:
    """Return the option that names this stack to a command; nothing if it is the usual one."""
    usual = described.data_dir == os.path.realpath(DATA_DIR)
    return "" if usual else f" --data-dir {shlex.quote(described.data_dir)}"


def _first_order_with_a_key(described: stack.Stack, oms: str) -> list[str]:
    """Return the commands that make a key that may trade, and use it. It is kept in a variable, because it is shown only once."""
    trade, where = _trade(), _where(described)
    return [
        "A key that may trade, and a first order with it, to paste into another terminal:",
        f"  KEY=$({trade} key create --account main --scopes trade,read{where})",
        f"  curl -s {oms}/orders -H \"Authorization: Bearer $KEY\" -H 'content-type: application/json' -d '{FIRST_ORDER}'",
        "The same from the command line, and the result:",
        f"  TRADE_KEY=$KEY {trade} order submit BTCUSDT buy 0.1 --price 45000{where}",
        f"  TRADE_KEY=$KEY {trade} positions main{where}",
    ]


def _trade() -> str:
    """Return how to call `trade` from the current directory."""
    beside = Path(sys.executable).parent / "trade"
    return "trade" if shutil.which("trade") or not beside.exists() else os.path.relpath(beside)
