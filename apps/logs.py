"""Logs: one JSON line an event to a file, a short readable line to the terminal. A line is always one line, in ASCII."""

import json
import logging
import re
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FILE_BYTES_MAX: Final = 20 * 2**20
FILES_KEPT: Final = 5
VALUE_CHARACTERS_MAX: Final = 8000
"""A stack trace fits; a hostile text does not fill the disk."""

PASSWORD: Final = re.compile(r"(://[^/\s:@]*:)[^/\s@]*@", re.ASCII)

# Those that say at INFO what only their authors want to know.
QUIET: Final = ("asyncio", "httpx", "httpcore", "nats", "transitions", "uvicorn.error", "uvicorn.asgi")


def configure(service: str, level: str = "INFO", directory: Path | None = None) -> None:
    """Send this process's logs, also those of libraries, to the terminal and, with a directory, to SERVICE.jsonl in it."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        _named(service),
        _bounded,
    ]
    handlers = [_handler(logging.StreamHandler(sys.stdout), _readable, shared)]
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        file = RotatingFileHandler(directory / f"{service}.jsonl", maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="ascii")
        handlers.append(_handler(file, _json, shared))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.raiseExceptions = False  # a full disk or a closed terminal must not stop trading
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def get_logger(**bound: object) -> structlog.stdlib.BoundLogger:
    """A logger that says `bound` with every event. It follows a later `configure`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(**bound)
    return logger


def _handler(handler: logging.Handler, renderer: Processor, shared: list[Processor]) -> logging.Handler:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[remove, renderer], foreign_pre_chain=shared))
    return handler


def _named(service: str) -> Processor:
    def name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return name


def _bounded(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """No password, nothing endless. Values that JSON does not know become their text."""
    for key, value in event.items():
        if not key.startswith("_") and not isinstance(value, bool | int | float | None):
            text = PASSWORD.sub(r"\1***@", str(value))
            # the end of a stack trace says what happened
            event[key] = text[-VALUE_CHARACTERS_MAX:] if key == "exception" else text[:VALUE_CHARACTERS_MAX]
    return event


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in ("at", "level", "service", "event")}
    return json.dumps({**first, **event})


def _readable(_: WrappedLogger, __: str, event: EventDict) -> str:
    """`19:08:56.123 WARNING oms  the sentence  key=value`; a stack trace stays behind in the file's line."""
    at, level, service, sentence = (str(event.pop(key)) for key in ("at", "level", "service", "event"))
    trace = event.pop("exception", None)
    if trace:
        event["exception"] = str(trace).strip().splitlines()[-1]
    facts = "".join(f"  {key}={_value(value)}" for key, value in event.items())
    return f"{at[11:23]} {level.upper():<7} {service:<12} {_escaped(sentence)}{facts}"


def _value(value: Any) -> str:
    text = _escaped(str(value))
    return f'"{text}"' if " " in text or not text else text


def _escaped(text: str) -> str:
    """Control characters and everything beyond ASCII as \\u escapes, so that no text can forge a line or a colour."""
    return json.dumps(text)[1:-1].replace('\\"', '"').replace("\x7f", "\\u007f")
