"""Failpoints: nothing without the variable, a sudden end with it, and a name that is misspelt is said to be."""

import os
import subprocess
import sys

import pytest

from apps.runtime.failpoint import KILLED, POINTS, VARIABLE, Bomb, failpoint
from apps.stack.services import CHECKOUT


def test_without_the_variable_nothing_happens() -> None:
    for name in POINTS:
        failpoint(name)


def test_a_point_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown failpoint 'after_lunch'"):
        Bomb("after_lunch")


@pytest.mark.parametrize(("set_to", "printed"), [("after_append", ""), ("after_append:3", "12"), ("before_append", "123")])
def test_the_process_ends_at_the_named_time(set_to: str, printed: str) -> None:
    program = "from apps.runtime.failpoint import failpoint\nfor n in '123': failpoint('after_append'); print(n, end='', flush=True)"
    environment = os.environ | {VARIABLE: set_to}
    ended = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == (printed, 0 if printed == "123" else KILLED), ended.stderr
