"""Logs of adapters inside a command-line program: warnings and errors on stderr, without consecutive repetitions."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger


class Repeated:
    """A processor that drops a repetition of the last event: a client reconnects four times a second with the same line."""

    def __init__(self) -> None:
        self._last: EventDict = {}

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if event == self._last:
            raise structlog.DropEvent
        self._last = dict(event)
        return event


def only(level: int = logging.WARNING) -> None:
    """Write only logs of `level` or above."""
    structlog.configure(
        processors=[Repeated(), structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
