"""What the services report about a change that all of them must obey."""

from collections.abc import Mapping
from typing import Any, Final

from apps.cli.client import Reply, to_stderr
from apps.cli.trouble import Unreachable

ABSENT: Final = "is not running"


def acknowledgements(reply: Mapping[str, Any], absent: str = ABSENT) -> str:
    """Return one sentence about who has acknowledged a change; empty if the reply says nothing about it."""
    states = reply.get("acknowledged", reply.get("obeyed"))
    texts = {"yes": "acknowledged", "absent": absent, "unknown": "has not acknowledged"}
    return ", ".join(f"{name} {texts.get(str(state), state)}" for name, state in states.items()) + "." if isinstance(states, dict) else ""


def report_unacknowledged(answer: Reply) -> None:
    """Report on stderr that a new secret is durable but a service has not acknowledged it (202). It is good: the command succeeds."""
    if answer.status == 202:
        to_stderr(f"{acknowledgements(answer.object())} A service that has not acknowledged it may answer 401 for a moment.")


def check_acknowledged(answer: Reply, change: str) -> None:
    """Raise Unreachable if the change is durable but a service has not acknowledged it (202). `change` is a sentence's beginning."""
    if answer.status == 202:
        remedy = "A service that cannot read the keys refuses changes until it can (access_unknown). Repeat the command; see: trade status"
        raise Unreachable(f"{change} durably, but a service has not acknowledged it.", remedy)
