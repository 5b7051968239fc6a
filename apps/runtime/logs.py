"""Logs: one JSON line an event to a file, a short readable line to the terminal. A line is always one line, in ASCII.

A full disk or a terminal that is not read must not stop trading: lines are written beside, and what finds no room is dropped and counted.
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
"""A stack trace fits; a hostile text does not fill the disk."""

PASSWORD: Final = re.compile(r"(://[^/\s:@]*:)[^/\s@]*@", re.ASCII)

DISK_TROUBLE: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))
"""Not a wrong configuration: it may pass, and no service waits for it."""

# Those that say at INFO what only their authors want to know.
QUIET: Final = ("asyncio", "httpx", "httpcore", "nats", "transitions", "uvicorn.error", "uvicorn.asgi")


class Log(NamedTuple):
    """What one service says: from which level on, and in which directory SERVICE.jsonl is."""

    service: str
    level: str = "INFO"
    directory: Path | None = None


def configure(service: str, level: str = "INFO", directory: Path | None = None) -> None:
    """The logs of a process with one service."""
    configure_all([Log(service, level, directory)])


def configure_all(services: Sequence[Log]) -> None:
    """Send this process's logs, also those of libraries, to the terminal and, with a directory, to SERVICE.jsonl in it.

    With several services, a line is of the one that its task belongs to (`speak_as`); what belongs to none is of the first.
    OSError when a file cannot be there at all. When the disk is full or in trouble, it is tried again with each line.
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
    """What this task and those that it starts log is of this service."""
    _speaks.set(service)


_speaks: Final[ContextVar[str | None]] = ContextVar("the service that speaks", default=None)


def _speaker(unnamed: str) -> str:
    return _speaks.get() or unnamed


class _Of(logging.Filter):
    """Lets through what these services say, each from its level on."""

    def __init__(self, levels: Mapping[str, int], unnamed: str) -> None:
        super().__init__()
        self._levels = levels
        self._unnamed = unnamed

    def filter(self, record: logging.LogRecord) -> bool:
        level = self._levels.get(_speaker(self._unnamed))
        return level is not None and record.levelno >= level


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level]


def get_logger(**bound: object) -> structlog.stdlib.BoundLogger:
    """A logger that says `bound` with every event. It follows a later `configure`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(**bound)
    return logger


def dropped() -> Mapping[str, int]:
    """How many lines could not be written, by where they should have gone: terminal, file."""
    found = Counter[str]()
    for each in logging.getLogger().handlers:
        if isinstance(each, BackgroundHandler):
            found[each.place] += each.dropped
    return found


def flush() -> None:
    """Wait a moment until what was logged is written, or dropped."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class BackgroundHandler(logging.Handler):
    """Formats a record here and lets a thread write it."""

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
        except Exception:  # noqa: BLE001 - the edge of logging: a value that has no text must not stop whoever logs it
            self.handleError(record)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="replace")

    def _notice(self, lines: int) -> bytes:
        sentence = f"{lines} log lines are missing here: there was no room for them"
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
        event["service"] = _speaker(service)
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
