"""Child processes that cannot outlive the process that started them."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with(parent: int, niceness: int = 0) -> Callable[[], None]:
    """Return a function for the child to call: the kernel then kills it when `parent` dies, even by kill -9.

    Only Linux does so; elsewhere the next start cleans up. `niceness` is added to the child's.
    """

    def between_fork_and_exec() -> None:
        if niceness:
            with contextlib.suppress(PermissionError):
                os.nice(niceness)
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the parent died in between
                os._exit(1)

    return between_fork_and_exec
