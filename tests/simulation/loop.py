"""An event loop whose clock jumps to the next timer when nothing is left to do: hours pass in milliseconds, always in the same order."""

import asyncio
import functools
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, Protocol

THREAD_S = 0.0005
"""How long a call into a worker thread takes."""


TURNS_MAX = 20_000
"""Turns of the loop at one moment of time."""


class Deadlock(Exception):
    """Nothing happens any more, or always the same: every task waits for another, or one never waits."""


class Owner(Protocol):
    """A process of the simulation, as the loop sees it: it knows of every task that was begun in its name, and may be stopped."""

    tasks: list[asyncio.Task[Any]]
    frozen: bool


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""In whose name code runs. Tasks and timers inherit it from their maker."""


class NumberedTask(asyncio.Task[Any]):
    """Hashes by its number and not by its address: a set of tasks is walked through in the same order in every run."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any], **rest: Any) -> None:
        self._number = number
        super().__init__(coroutine, **rest)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads, no real time. What is due at the same moment runs in the order in which it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._turns = 0
        self._numbers = itertools.count(1)
        self._tasks_made = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._aside: list[asyncio.Handle] = []
        self._watched = False
        self.set_task_factory(_task)

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:  # type: ignore[override]
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.TimerHandle:  # type: ignore[override]
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _run_once(self) -> None:
        """One turn: when nothing is ready the clock goes to the next timer, then all that is ready by now runs."""
        ready, timers = self._ready, self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not ready:
            if not timers:
                raise Deadlock("nothing is ready and no timer is set")
            self._now = max(self._now, timers[0][0])
            self._turns = 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise Deadlock("a task is busy forever, and time does not move")
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            if self._watched and (owner := handle._context.get(OWNER)) is not None and owner.frozen:  # type: ignore[attr-defined]
                self._aside.append(handle)
            else:
                handle._run()

    def look_again(self) -> None:
        """A process was stopped, or continues. What belongs to a stopped one is put aside until then, as SIGSTOP does it."""
        self._watched = True
        self._ready.extendleft(reversed(self._aside))
        self._aside = []

    def next_number(self) -> int:
        self._tasks_made += 1
        return self._tasks_made

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """A worker thread: the call happens a little later, while others go on."""
        future: asyncio.Future[Any] = self.create_future()
        self.call_later(THREAD_S, _called, future, functools.partial(func, *args))
        return future

    def _write_to_self(self) -> None:
        """No task sleeps that had to be woken."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is thrown away when its time comes."""


def _task(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None) -> NumberedTask:
    assert isinstance(loop, VirtualLoop)
    task = NumberedTask(loop.next_number(), coroutine, loop=loop, context=context)
    owner = context.get(OWNER) if context is not None else OWNER.get()
    if owner is not None:
        owner.tasks.append(task)
    return task


def _called(future: asyncio.Future[Any], call: Callable[[], Any]) -> None:
    if future.cancelled():
        return
    try:
        future.set_result(call())
    except Exception as error:  # noqa: BLE001 - as a thread does: whatever it raises goes to its waiter
        future.set_exception(error)


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Any:
    """Run to the end on a loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()
