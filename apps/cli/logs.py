"""What adapters log, for a person who asked for something else: warnings and worse, on stderr."""

import logging
import sys

import structlog


def only(level: int = logging.WARNING) -> None:
    """Logs below `level` are not written."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
