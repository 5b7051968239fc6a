"""The entry point of `trade`: the list of commands, and the exit code of every outcome."""

import io
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from apps.cli import (
    access,
    account,
    accounts,
    algo,
    backup,
    diagram,
    journal,
    key,
    kill,
    market,
    order,
    order_list,
    prices,
    reconcile,
    replay,
    risk,
    run,
    search,
    secrets,
    status,
    verify,
    watch,
)
from apps.cli.trouble import Trouble
from apps.runtime import private_files, program_logs
from apps.runtime.exit_codes import Exit
from config.text import ConfigError
from domain.values import use_exact_arithmetic

TRADE = """The trading core, from the command line.

Exit codes: 0 done, 1 refused or different, 2 wrong usage, 3 cannot reach the system.
"""
_RUN, _ORDERS, _ACCESS, _RISK, _PROVE = "Run it", "Orders and positions", "Access", "Risk", "Look inside"
ORDER = (
    "up",
    "status",
    "version",
    "order",
    "list",
    "algo",
    "positions",
    "fills",
    "equity",
    "watch",
    "search",
    "query",
    "account",
    "key",
    "whoami",
    "access",
    "kill",
    "arm",
    "risk",
    "prices",
    "market",
    "replay",
    "reconcile",
    "verify",
    "journal",
    "backup",
    "restore",
    "diagram",
    "secrets",
)


class Commands(TyperGroup):
    """Command group that prints an expected Trouble to stderr, a sentence and a remedy, and exits with its code."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=ORDER.index)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command. Always ends the process (SystemExit)."""
        extra["standalone_mode"] = False
        _replace_unencodable()
        try:
            code = super().main(*args, **extra)
        except Trouble as trouble:
            _print_error(str(trouble))
            code = trouble.exit_code
        except ConfigError as wrong:
            _print_error(f"{wrong}\nCorrect the file, or name another one: TRADE_INSTRUMENTS, TRADE_VENUES.")
            code = Exit.USAGE
        except typer.TyperException as usage:
            _print_error(_usage(usage))
            code = Exit.USAGE
        sys.exit(code)


def _replace_unencodable() -> None:
    """Print "?" for characters that the terminal's encoding lacks: an old LANG or a cron job must not cause a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _usage(trouble: typer.TyperException) -> str:
    """Return the error text; empty if the command line had no argument, because the help was printed already."""
    sentence = trouble.format_message()
    context = getattr(trouble, "ctx", None)
    return f"{sentence}\nSee: {context.command_path} --help" if sentence and context else sentence


def _print_error(text: str) -> None:
    sys.stdout.flush()
    if text:
        print(text, file=sys.stderr)


app = typer.Typer(
    cls=Commands, help=TRADE, no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def prepare() -> None:
    """Set up every command: exact arithmetic, files readable by the user only, and adapter logs limited to warnings on stderr."""
    use_exact_arithmetic()
    private_files.begin()
    program_logs.only()


app.command("up", rich_help_panel=_RUN)(run.up)
app.command("status", rich_help_panel=_RUN)(status.status)
app.command("version", rich_help_panel=_RUN)(run.show_version)
app.add_typer(order.app, name="order", help="Submit, show, replace and cancel orders.", rich_help_panel=_ORDERS)
app.add_typer(order_list.app, name="list", help="Submit, show and cancel orders that belong together.", rich_help_panel=_ORDERS)
app.add_typer(algo.app, name="algo", help="Work a quantity over time: submit, show, pause and cancel algos.", rich_help_panel=_ORDERS)
app.command("positions", rich_help_panel=_ORDERS)(account.positions)
app.command("fills", rich_help_panel=_ORDERS)(account.fills)
app.command("equity", rich_help_panel=_ORDERS)(account.equity)
app.command("watch", rich_help_panel=_ORDERS)(watch.watch)
app.command("search", rich_help_panel=_ORDERS)(search.search)
app.command("query", rich_help_panel=_ORDERS)(search.query)
app.add_typer(accounts.app, name="account", help="Open, close, suspend and list accounts.", rich_help_panel=_ACCESS)
app.add_typer(key.app, name="key", help="Make, revoke, rotate and list keys.", rich_help_panel=_ACCESS)
app.command("whoami", rich_help_panel=_ACCESS)(access.whoami)
app.add_typer(access.app, name="access", help="What happened to keys and accounts, and what was refused.", rich_help_panel=_ACCESS)
app.command("kill", rich_help_panel=_RISK)(kill.kill)
app.command("arm", rich_help_panel=_RISK)(kill.arm)
app.add_typer(risk.app, name="risk", help="Kill switches, blocks, and the limits of accounts.", rich_help_panel=_RISK)
app.add_typer(prices.app, name="prices", help="Daily closes for value at risk.", rich_help_panel=_RISK)
app.add_typer(
    market.app, name="market", help="Record the market, trade on it again, ask venues for symbols and past trades.", rich_help_panel=_PROVE
)
app.add_typer(replay.app, name="replay", help="Rebuild state from the journal alone.", rich_help_panel=_PROVE)
app.command("reconcile", rich_help_panel=_PROVE)(reconcile.reconcile)
app.command("verify", rich_help_panel=_PROVE)(verify.verify)
app.add_typer(journal.app, name="journal", help="Verify the journals; accept a loss or skip foreign messages.", rich_help_panel=_PROVE)
app.add_typer(secrets.app, name="secrets", help="Passwords of the servers.", rich_help_panel=_RUN)
app.command("backup", rich_help_panel=_PROVE)(backup.backup)
app.command("restore", rich_help_panel=_PROVE)(backup.restore)
app.command("diagram", rich_help_panel=_PROVE)(diagram.diagram)


def main() -> None:
    """Run `trade` (the entry point in pyproject.toml). Ends the process."""
    app()
