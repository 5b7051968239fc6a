"""The entry point of `trade`: the commands in one row, and every ending with its exit code."""

import io
import sys
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from apps.cli import (
    account,
    backup,
    diagram,
    journal,
    kill,
    order,
    prices,
    reconcile,
    replay,
    risk,
    run,
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
_RUN, _ORDERS, _RISK, _PROVE = "Run it", "Orders and accounts", "Risk", "Look inside"
ORDER = (
    "up",
    "status",
    "version",
    "order",
    "positions",
    "fills",
    "watch",
    "kill",
    "arm",
    "risk",
    "prices",
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
    """Says an expected trouble on stderr, a sentence and what to do next, and ends with its exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=ORDER.index)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Always ends the process (SystemExit)."""
        extra["standalone_mode"] = False
        _write_what_can_be_written()
        try:
            code = super().main(*args, **extra)
        except Trouble as trouble:
            _say(str(trouble))
            code = trouble.exit_code
        except ConfigError as wrong:
            _say(f"{wrong}\nCorrect the file, or name another one: TRADE_INSTRUMENTS, TRADE_VENUES.")
            code = Exit.USAGE
        except typer.TyperException as usage:
            _say(_usage(usage))
            code = Exit.USAGE
        sys.exit(code)


def _write_what_can_be_written() -> None:
    """Letters that the terminal's encoding lacks become "?": an old LANG or a cron job must not end a command in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _usage(trouble: typer.TyperException) -> str:
    """Empty when there was no argument at all: then the help has been shown."""
    sentence = trouble.format_message()
    context = getattr(trouble, "ctx", None)
    return f"{sentence}\nSee: {context.command_path} --help" if sentence and context else sentence


def _say(text: str) -> None:
    sys.stdout.flush()
    if text:
        print(text, file=sys.stderr)


app = typer.Typer(
    cls=Commands, help=TRADE, no_args_is_help=True, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def prepare() -> None:
    """What every command needs: exact numbers, files of its user alone, and what adapters log kept to warnings on stderr."""
    use_exact_arithmetic()
    private_files.begin()
    program_logs.only()


app.command("up", rich_help_panel=_RUN)(run.up)
app.command("status", rich_help_panel=_RUN)(status.status)
app.command("version", rich_help_panel=_RUN)(run.show_version)
app.add_typer(order.app, name="order", help="Submit, look at and cancel orders.", rich_help_panel=_ORDERS)
app.command("positions", rich_help_panel=_ORDERS)(account.positions)
app.command("fills", rich_help_panel=_ORDERS)(account.fills)
app.command("watch", rich_help_panel=_ORDERS)(watch.watch)
app.command("kill", rich_help_panel=_RISK)(kill.kill)
app.command("arm", rich_help_panel=_RISK)(kill.arm)
app.add_typer(risk.app, name="risk", help="What is forbidden, and the limits of accounts.", rich_help_panel=_RISK)
app.add_typer(prices.app, name="prices", help="Daily closes for value at risk.", rich_help_panel=_RISK)
app.add_typer(replay.app, name="replay", help="Rebuild from the journal alone.", rich_help_panel=_PROVE)
app.command("reconcile", rich_help_panel=_PROVE)(reconcile.reconcile)
app.command("verify", rich_help_panel=_PROVE)(verify.verify)
app.add_typer(journal.app, name="journal", help="How far the journals go, and had been acknowledged.", rich_help_panel=_PROVE)
app.add_typer(secrets.app, name="secrets", help="Passwords of the servers.", rich_help_panel=_RUN)
app.command("backup", rich_help_panel=_PROVE)(backup.backup)
app.command("restore", rich_help_panel=_PROVE)(backup.restore)
app.command("diagram", rich_help_panel=_PROVE)(diagram.diagram)


def main() -> None:
    """The `trade` of pyproject.toml. Ends the process."""
    app()
