"""Logs: one JSON line an event to a file, a short readable line to the terminal. An event is always one line, in ASCII.

A full disk or a terminal that is not read must not stop trading: a thread writes the lines, and lines without room are dropped and counted.
"""

import errno
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from apps.runtime.background_writer import BackgroundWriter, RotatingFile, Target, Terminal

FILE_BYTES_MAX: Final = 20 * 2**20
FILES_KEPT: Final = 5
VALUE_CHARACTERS_MAX: Final = 8000
"""A stack trace fits, and hostile text cannot fill the disk."""

PASSWORD: Final = re.compile(r"(://[^/\s:@]*:)[^/\s@]*@", re.ASCII)

DISK_TROUBLE: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))
"""Errors that may pass and are not a wrong configuration: a service starts in spite of them."""

# Libraries whose INFO lines matter only to their authors.
QUIET: Final = ("asyncio", "httpx", "httpcore", "nats", "transitions", "uvicorn.error", "uvicorn.asgi")


class Log(NamedTuple):
    """The log of one service: its lowest level, and the directory of SERVICE.jsonl."""

    service: str
    level: str = "INFO"
    directory: Path | None = None


def configure(service: str, level: str = "INFO", directory: Path | None = None) -> None:
    """Configure the logs of a process with one service."""
    configure_all([Log(service, level, directory)])


def configure_all(services: Sequence[Log]) -> None:
    """Send this process's logs, including those of libraries, to the terminal and, with a directory, to SERVICE.jsonl in it.

    With several services, a line belongs to the service of its task (`speak_as`), or to the first service if the task has none.
    OSError if a file cannot be created at all. If the disk is full or failing, each line tries again.
    """
    first = services[0].service
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
        _named(first),
        _bounded,
    ]
    handlers = [_handler(BackgroundHandler(Terminal(sys.stdout), "terminal"), _readable, shared)]
    for each in services:
        if each.directory is not None:
            handlers.append(_handler(BackgroundHandler(_file(each.directory / f"{each.service}.jsonl"), "file"), _json, shared))
            handlers[-1].addFilter(_Of({each.service: _number(each.level)}, first))
    handlers[0].addFilter(_Of({each.service: _number(each.level) for each in services}, first))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(min(_number(each.level) for each in services))
    logging.raiseExceptions = False  # a line that cannot be formatted must not stop trading
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def speak_as(service: str) -> None:
    """Attribute the log lines of this task, and of tasks that it starts, to this service."""
    _service.set(service)


_service: Final[ContextVar[str | None]] = ContextVar("the service that a log line belongs to", default=None)


def _service_or(default: str) -> str:
    return _service.get() or default


class _Of(logging.Filter):
    """A filter that passes the lines of these services, each from its level on."""

    def __init__(self, levels: Mapping[str, int], unnamed: str) -> None:
        super().__init__()
        self._levels = levels
        self._unnamed = unnamed

    def filter(self, record: logging.LogRecord) -> bool:
        level = self._levels.get(_service_or(self._unnamed))
        return level is not None and record.levelno >= level


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level]


def dropped() -> Mapping[str, int]:
    """Return how many lines could not be written, by destination: terminal, file."""
    found = Counter[str]()
    for each in logging.getLogger().handlers:
        if isinstance(each, BackgroundHandler):
            found[each.place] += each.dropped
    return found


def flush() -> None:
    """Wait a moment until all lines so far are written or dropped."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class BackgroundHandler(logging.Handler):
    """A handler that formats a record and lets a thread write it."""

    def __init__(self, target: Target, place: str) -> None:
        super().__init__()
        self.place = place
        self._writer = BackgroundWriter(target, f"logs to the {place}", self._notice)

    @property
    def dropped(self) -> int:
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.put(self._line(record))
        except Exception:  # noqa: BLE001 - the edge of logging: a value that cannot be formatted must not stop the caller
            self.handleError(record)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="replace")

    def _notice(self, lines: int) -> bytes:
        sentence = f"{lines} log lines are missing here for lack of room"
        return self._line(logging.LogRecord("apps.runtime.logs", logging.WARNING, __file__, 0, sentence, (), None))


def _file(path: Path) -> RotatingFile:
    file = RotatingFile(path, FILE_BYTES_MAX, FILES_KEPT)
    try:
        file.open()
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
    return file


def _handler(handler: logging.Handler, renderer: Processor, shared: list[Processor]) -> logging.Handler:
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[remove, renderer], foreign_pre_chain=shared))
    return handler


def _named(service: str) -> Processor:
    def name(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = _service_or(service)
        return event

    return name


def _bounded(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask passwords, truncate long values, and convert values that JSON does not know to text."""
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
    """Render as `19:08:56.123 WARNING oms  the sentence  key=value`; only the file has the stack trace."""
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
    """Escape control characters and non-ASCII text as \\u, so that no text can forge a line or a colour."""
    return json.dumps(text)[1:-1].replace('\\"', '"').replace("\x7f", "\\u007f")
