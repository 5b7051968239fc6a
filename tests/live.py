"""Real servers for tests: each started once on free ports, and able to be killed, frozen and brought back."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from apps.stack import servers
from apps.stack.ports import ServerPorts
from apps.stack.process import tail
from apps.stack.program import Program
from apps.stack.progress import Watched
from apps.stack.trouble import NotReady
from tests.children import started
from tests.ports import free

STOP_S = 60.0
ENDS_S = 120.0
PROBE_EVERY_S = 0.02


def frozen(pid: int) -> None:
    """Stop the process, and return when every thread of it stands: the signal alone takes effect when a thread gets the processor."""
    os.kill(pid, signal.SIGSTOP)
    while any(_state(task) not in "TZ" for task in Path(f"/proc/{pid}/task").iterdir()):
        time.sleep(0.001)


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


class LiveProcess:
    """A program that a test may treat badly. Its ports and its data stay the same over kill() and restart()."""

    def __init__(self, program: Program, home: Path) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self.program = program
        self.home = home
        self.output = home / f"{program.name}.out"

    def __del__(self) -> None:
        """A scene that failed may leave it running: it goes with the scene."""
        self.kill()

    def start(self, **environment: str) -> Self:
        """Run it, with more environment, and return when it answers."""
        self.begin(**environment)
        try:
            return self.ready()
        except BaseException:
            self.kill()
            raise

    def ready(self) -> Self:
        """Return when it answers."""
        progress = Watched(self.pid, self.program.silence_max_s)
        while silence := self._silence():
            code = self.ended
            assert code is None, f"{self.program.name} ended with {code}:\n{self.said()}"
            assert not progress.is_over(silence, output=self.output.stat().st_size), f"{self.program.name}: {silence}\n{self.said()}"
            time.sleep(PROBE_EVERY_S)
        assert self.ended is None, f"another program answers for {self.program.name}, which ended:\n{self.said()}"
        return self

    def begin(self, **environment: str) -> None:
        """Run it and do not wait."""
        assert self._child is None, f"{self.program.name} runs already"
        with self.output.open("ab", buffering=0) as file:
            self._child = started(
                self.program.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.program.full_environment() | environment,
                cwd=self.program.cwd,
                process_group=0,
                **self.program.identity(),
            )

    @property
    def ended(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._child.poll() if self._child else None

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def wait(self, within_s: float = ENDS_S) -> int:
        """The exit code of one that ends by itself."""
        assert self._child is not None
        code = self._child.wait(within_s)
        self._child = None
        return code

    def said(self) -> str:
        """The last lines of what it printed."""
        return "\n".join(tail(self.output))

    def _silence(self) -> NotReady | None:
        """Why it does not answer yet; None when it does."""
        try:
            self.program.probe()
        except NotReady as reason:
            return reason
        return None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait; kill -9 if it does not listen."""
        self._end(signal.SIGTERM)

    def restart(self, **environment: str) -> None:
        """The same data on the same ports again, after a kill() or in place of one."""
        self.kill()
        self.start(**environment)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        assert self._child is not None
        frozen(self._child.pid)

    def thaw(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.send_signal(number)
        if number is signal.SIGTERM:
            child.send_signal(signal.SIGCONT)  # a frozen one could not hear it
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class LiveServer(LiveProcess):
    """nats-server, valkey-server or QuestDB."""

    def __init__(self, program: Program, home: Path, urls: servers.Servers) -> None:
        super().__init__(program, home)
        self.urls = urls

    @property
    def url(self) -> str:
        """nats://, redis:// (no database number) or QuestDB's http://."""
        return {
            "nats": self.urls.nats_url,
            "market-nats": self.urls.market_nats_url,
            "valkey": self.urls.valkey_url,
            "questdb": self.urls.questdb_http_url,
        }[self.program.name]

    @property
    def pg_url(self) -> str:
        """QuestDB's PostgreSQL wire."""
        return self.urls.questdb_pg_url

    @property
    def monitor_url(self) -> str:
        """NATS's monitoring over HTTP."""
        return f"http://127.0.0.1:{self.program.ports['monitor']}"


def live(make: Callable[[Path, ServerPorts], Program], home: Path) -> LiveServer:
    """A started server made by one of apps.stack.servers' nats, valkey, questdb."""
    ports = free(ServerPorts)
    return LiveServer(make(home, ports), home, servers.Servers.at(ports, market=True)).start()
