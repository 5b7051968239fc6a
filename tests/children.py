"""Processes that tests start: the kernel ends them with the run, however that ends."""

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from apps.runtime.child_process import die_with

_SPAWNER: Final = ThreadPoolExecutor(1, "starts children")
"""The kernel ends a child with the thread that began it, and one of a loop ends with its loop. This one lives as long as we."""


def started(command: Sequence[str | Path], **options: Any) -> "subprocess.Popen[Any]":
    """`subprocess.Popen`, from whatever thread."""
    return _SPAWNER.submit(lambda: subprocess.Popen(command, preexec_fn=die_with(os.getpid()), **options)).result()
