"""What adapters log, for a person who asked for something else: warnings and worse, on stderr, each once in a row."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger


class Repeated:
    """Drops what was just said: a client that tries to connect four times a second has one thing to say."""

    def __init__(self) -> None:
        self._last: EventDict = {}

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if event == self._last:
            raise structlog.DropEvent
        self._last = dict(event)
        return event


def only(level: int = logging.WARNING) -> None:
    """Logs below `level` are not written."""
    structlog.configure(
        processors=[Repeated(), structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
