"""`trade up` for a stack that is killed all the time: what dies is started again at once, however often it died before."""

import sys
from functools import partial

from apps.stack import command
from apps.stack.__main__ import main
from apps.stack.supervisor import RestartBackoff, Supervisor

AT_ONCE = RestartBackoff(backoff_min_s=0.05, backoff_max_s=0.05)

if __name__ == "__main__":
    command.Supervisor = partial(Supervisor, pacing=AT_ONCE)  # type: ignore[attr-defined,assignment]  # one with another pace
    sys.exit(main())
