"""An event loop whose clock jumps to the next timer when nothing is left to do: hours pass in milliseconds, always in the same order."""

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, Protocol

THREAD_S = 0.0005
"""How long a call into a worker thread takes."""


class Deadlock(Exception):
    """Nothing is ready and no timer is set: everybody waits for somebody else, for ever."""


class Owner(Protocol):
    """A process of the simulation, as the loop sees it: it knows of every task that was begun in its name, and may be stopped."""

    tasks: list[asyncio.Task[Any]]
    frozen: bool


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""In whose name code runs. Tasks and timers inherit it from whoever made them."""


class NumberedTask(asyncio.Task[Any]):
    """Hashes by its number and not by its address: a set of tasks is walked through in the same order in every run."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any], **rest: Any) -> None:
        self._number = number
        super().__init__(coroutine, **rest)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Ready(deque[asyncio.Handle]):
    """What is to be run next. What belongs to a process that is stopped is put aside until that one goes on, as SIGSTOP does it."""

    def __init__(self) -> None:
        super().__init__()
        self.aside: list[asyncio.Handle] = []
        self.watched = False

    def popleft(self) -> asyncio.Handle:
        handle = super().popleft()
        if self.watched and not handle.cancelled() and (owner := handle._context.get(OWNER)) is not None and owner.frozen:  # type: ignore[attr-defined]
            self.aside.append(handle)
            return _NOTHING
        return handle

    def look_again(self, *, watched: bool) -> None:
        """Somebody was stopped or goes on."""
        self.watched = watched
        self.extendleft(reversed(self.aside))
        self.aside = []


class _Nothing(asyncio.Handle):
    def __init__(self) -> None:
        """Looks like a handle that was cancelled."""
        self._cancelled = True
        self._scheduled = False


_NOTHING = _Nothing()


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads, no real time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._tasks_made = 0
        self._selector = self
        self._ready = self.ready = Ready()
        self.set_task_factory(_task)
        self.steps = 0

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> tuple[()]:
        """What the selector of a real loop does: wait. Here the clock is put to the next timer instead."""
        self.steps += 1
        if timeout is None:
            raise Deadlock("nothing is ready and no timer is set")
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        return ()

    def next_number(self) -> int:
        self._tasks_made += 1
        return self._tasks_made

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """A worker thread: the call happens a little later, while others go on."""
        future: asyncio.Future[Any] = self.create_future()
        self.call_later(THREAD_S, _called, future, functools.partial(func, *args))
        return future

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who had to be woken."""


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
    except Exception as error:  # as a thread does: whatever it raises goes to whoever waits for it
        future.set_exception(error)


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Any:
    """Run to the end on a loop of its own."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
