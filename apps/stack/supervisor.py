"""The supervisor: starts programs in stages, restarts those that die, and stops all of them in bounded time."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from apps.stack.housekeeping import Housekeeping
from apps.stack.process import Process, all_ended, bound, ending, rotate
from apps.stack.program import Program
from apps.stack.screen import Screen
from apps.stack.stack import ProcessState
from apps.stack.trouble import CannotStart


@dataclass(frozen=True)
class RestartBackoff:
    """All waiting times of the supervisor, in seconds."""

    backoff_min_s: float = 0.5
    backoff_max_s: float = 10.0
    steady_after_s: float = 60.0  # after a run this long, the back-off starts at backoff_min_s again
    last_stage_stops_s: float = 5.0  # then the stage before is stopped too, even if a program hangs
    kill_after_s: float = 8.0
    housekeeping_every_s: float = 5.0
    say_waiting_every_s: float = 5.0

    def backoff_s(self, deaths: int) -> float:
        """Return the wait after this many consecutive deaths, in seconds; 1 is the first."""
        return float(min(self.backoff_max_s, self.backoff_min_s * 2 ** min(deaths - 1, 30)))


KILLED_MAX = 3
"""How often a program may be killed within one start."""

WRITING_DOWN = "writing down what runs (stack.json)"


class Supervisor:
    """The supervisor of `stages` of programs: a stage starts once all of the previous one answer, and stops after the next one.

    It works without a disk: a failed write is reported once and retried.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[Program]],
        logs: Path,
        screen: Screen,
        changed: Callable[[], None],
        pacing: RestartBackoff | None = None,
    ) -> None:
        self._stages = stages
        self._screen = screen
        self._changed = changed
        self._house = Housekeeping(screen)
        self._pacing = pacing or RestartBackoff()
        self._logs = logs
        self._running: dict[str, Process] = {}
        self._dropped_before: Counter[str] = Counter()
        self._keepers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self.states = {
            each.name: ProcessState(each.name, each.kind, dict(each.ports), str(self._output(each)), services=list(each.services))
            for stage in stages
            for each in stage
        }

    async def run(self, ready: Callable[[], None]) -> None:
        """Start everything, call `ready`, and keep it running until stop(). CannotStart if the start fails; all is stopped either way."""
        keeping_house = asyncio.create_task(self._keep_house())
        starting = asyncio.create_task(self._start_stages())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():
                await starting
                ready()
                await asyncio.wait((stopping, *self._keepers), return_when=asyncio.FIRST_COMPLETED)
                self._raise_if_a_keeper_failed()
        finally:
            await _cancelled(keeping_house, starting, stopping, *self._keepers)
            await self._stop_stages()

    def stop(self) -> None:
        """Begin to stop; a second call kills at once."""
        if self._stop.is_set():
            self._signal(list(self._running.values()), signal.SIGKILL)
        self._stop.set()

    async def _start_stages(self) -> None:
        for stage in self._stages:
            for program in stage:
                output = self._output(program)
                self._house.attempt(f"moving {output.name} of the last start aside", partial(rotate, output))
                for name in program.services if len(program.services) > 1 else ():
                    self._house.attempt(f"linking {name}.out to {output.name}", partial(_also_as, self._logs / f"{name}.out", output))
            processes = [await self._start(program) for program in stage]
            joining = [asyncio.create_task(self._join(process)) for process in processes]
            reporting = asyncio.create_task(self._report_waiting(processes))
            try:
                await asyncio.gather(*joining)  # the first failure is the one to report
            finally:
                await _cancelled(reporting, *joining)

    async def _join(self, process: Process) -> None:
        """Wait for the first answer of a process, then keep it running. One that is killed before is restarted, up to KILLED_MAX times."""
        kills = 0
        while True:
            try:
                await process.answers()
                break
            except CannotStart as trouble:
                kills += process.killed
                if not process.killed or kills > KILLED_MAX:
                    raise
                self._screen.alarm(str(trouble).partition("\n")[0])
                process, _ = await self._started_again(process.program, kills)
        self._became_ready(process)
        self._keepers.append(asyncio.create_task(self._keep(process)))

    async def _start(self, program: Program) -> Process:
        on_line = self._screen.lines_of(program.name) if program.kind == "service" else None
        process = await Process.start(program, self._output(program), on_line)
        self._count_missing(program.name)
        self._dropped_before[program.name] = self.states[program.name].lines_dropped
        self._running[program.name] = process
        self.states[program.name].began(process.pid)
        if process.unwritten:
            self._screen.alarm(
                f"{process.output} cannot be written: {process.unwritten}. The output of this start of {program.name} is lost"
            )
        self._write_down()
        return process

    def _write_down(self) -> None:
        """Write the changed state for readers. A failure, as on a full disk, is retried."""
        self._house.attempt(WRITING_DOWN, self._changed)

    def _became_ready(self, process: Process) -> None:
        name, ports = process.program.name, process.program.ports
        self.states[name].state = "ready"
        self._write_down()
        self._screen.say(f"{name} is ready on {', '.join(f'{port} ({use})' for use, port in ports.items())}")

    async def _keep(self, process: Process) -> None:
        """Restart the program whenever it dies, with a longer wait each time until it has run steadily for a while."""
        program, deaths = process.program, 0
        while True:
            began = time.monotonic()
            answering = asyncio.create_task(self._watch_ready(process)) if deaths else None
            code = await process.wait()
            if answering:
                await _cancelled(answering)
            deaths = 1 if time.monotonic() - began > self._pacing.steady_after_s else deaths + 1
            wait_s = self._pacing.backoff_s(deaths)
            state = self.states[program.name]
            state.state, state.last_ending = "waiting", ending(code)
            self._write_down()
            self._screen.alarm(
                f"{program.name} died ({ending(code)}); start {state.starts + 1} follows in {wait_s:g} s, see {process.output}"
            )
            process, deaths = await self._started_again(program, deaths)

    async def _started_again(self, program: Program, deaths: int) -> tuple[Process, int]:
        """Start a new process; return it and the number of consecutive deaths. A failed start (no memory or pids) counts as one."""
        while True:
            await asyncio.sleep(self._pacing.backoff_s(deaths))
            try:
                return await self._start(program), deaths
            except CannotStart as trouble:
                deaths += 1
                self._screen.alarm(f"{trouble}\nThe next attempt follows in {self._pacing.backoff_s(deaths):g} s")

    async def _watch_ready(self, process: Process) -> None:
        """Report when a restarted program answers, and whenever it shows no progress. It is not killed for that."""
        while not process.ended:
            try:
                await process.answers()
            except CannotStart as trouble:
                if not process.ended:
                    self._screen.alarm(str(trouble))
            else:
                self._became_ready(process)
                return

    async def _report_waiting(self, processes: Sequence[Process]) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(self._pacing.say_waiting_every_s)
            waiting = [each for each in processes if self.states[each.program.name].state != "ready"]
            reasons = "; ".join(f"{each.program.name} ({each.waits_for})" for each in waiting)
            self._screen.say(f"waiting for {reasons} since {time.monotonic() - began:.0f} s")

    async def _stop_stages(self) -> None:
        """Stop the last stage first. All programs are signalled by last_stage_stops_s and gone soon after kill_after_s."""
        began = time.monotonic()
        signalled: list[Process] = []
        for stage in reversed(self._stages):
            running = [self._running[each.name] for each in stage if each.name in self._running]
            self._signal(running, signal.SIGTERM)
            signalled += running
            await all_ended(signalled, within_s=began + self._pacing.last_stage_stops_s - time.monotonic())
        await all_ended(signalled, within_s=began + self._pacing.kill_after_s - time.monotonic())
        for process in signalled:
            if not process.ended:
                self._screen.alarm(f"{process.program.name} did not stop within {self._pacing.kill_after_s:g} s and is killed")
        self._signal(signalled, signal.SIGKILL)
        await all_ended(signalled, within_s=1.0)

    @staticmethod
    def _signal(processes: Sequence[Process], number: signal.Signals) -> None:
        for process in processes:
            process.signal(number)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(self._pacing.housekeeping_every_s)
            for state in self.states.values():
                if state.kind == "server":  # the output of services passes through this process, which bounds it
                    self._house.attempt(f"bounding {state.log}", partial(bound, Path(state.log)))
            changed = sum(self._count_missing(name) for name in self.states)
            if changed or WRITING_DOWN in self._house.failing:
                self._write_down()

    def _count_missing(self, name: str) -> bool:
        """Count lines missing in a program's file; return whether the count has changed."""
        process, state = self._running.get(name), self.states[name]
        if process is None or process.printed is None:
            return False
        printed = process.printed
        before, state.lines_dropped = state.lines_dropped, self._dropped_before[name] + printed.dropped
        if printed.bytes:
            self._house.missing_lines(state.log, state.lines_dropped, printed.trouble)
        return state.lines_dropped != before

    def _raise_if_a_keeper_failed(self) -> None:
        for keeper in self._keepers:
            if keeper.done():
                keeper.result()

    def _output(self, program: Program) -> Path:
        return self._logs / f"{program.name}.out"


def _also_as(name: Path, output: Path) -> None:
    """Link the output file of a unit under the name of one of its services."""
    if not name.is_symlink():
        rotate(name)
        name.symlink_to(output.name)


async def _cancelled(*tasks: asyncio.Task[object]) -> None:
    """Cancel tasks and wait until they have ended; their failures were already reported."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
