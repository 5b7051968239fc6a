"""Log lines: one event, one line, in ASCII, without passwords, and not without end."""

import asyncio
import errno
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from apps.runtime import logs


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers = []
    yield
    logs.flush()
    for handler in root.handlers:
        handler.close()
    root.handlers, logging.raiseExceptions = handlers, raises
    root.setLevel(level)


def lines(directory: Path) -> list[dict[str, Any]]:
    logs.flush()
    return [json.loads(line) for line in (directory / "oms.jsonl").read_text("ascii").splitlines()]


def test_an_event_is_a_json_line_in_the_file_and_a_short_line_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("oms", directory=tmp_path)
    structlog.get_logger(shard=0).info("Connected to NATS", url="nats://127.0.0.1:4222", order_id="a-1")
    (line,) = lines(tmp_path)
    assert list(line)[:4] == ["at", "level", "service", "event"]
    assert (line["event"], line["service"], line["level"], line["order_id"], line["shard"]) == (
        "Connected to NATS",
        "oms",
        "info",
        "a-1",
        0,
    )
    shown = capsys.readouterr().out
    assert shown[13:] == "INFO    oms          Connected to NATS  shard=0  url=nats://127.0.0.1:4222  order_id=a-1\n"


HOSTILE = "a\nb\r\x1b[31mred\x00 ‮ é 😀 \x7f \u2028 end"


def test_hostile_text_stays_on_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # FAILURES 58, 65
    logs.configure("oms", directory=tmp_path)
    structlog.get_logger().warning(HOSTILE, client_order_id=HOSTILE)
    (line,) = lines(tmp_path)
    assert (line["event"], line["client_order_id"]) == (HOSTILE, HOSTILE)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert shown.endswith("\n")
    assert all(" " <= character <= "~" for character in shown[:-1])


def test_passwords_in_addresses_are_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # FAILURES 72
    logs.configure("oms", directory=tmp_path)
    structlog.get_logger().info("Connected to QuestDB", url="postgresql://admin:hunter2@127.0.0.1:8812/qdb")
    logging.getLogger("asyncpg").warning("lost redis://:hunter2@valkey:6379")
    assert "hunter2" not in (tmp_path / "oms.jsonl").read_text() + capsys.readouterr().out
    assert lines(tmp_path)[0]["url"] == "postgresql://admin:***@127.0.0.1:8812/qdb"


def test_libraries_log_through_it_and_a_stack_trace_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("oms", directory=tmp_path)
    try:
        raise ValueError("deep\ntrouble")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    logging.getLogger("uvicorn.error").info("Uvicorn running on http://127.0.0.1")
    (line,) = lines(tmp_path)
    assert line["exception"].endswith("ValueError: deep\ntrouble")
    assert capsys.readouterr().out.count("\n") == 1


def test_the_level_holds_and_endless_text_is_cut(tmp_path: Path) -> None:
    logs.configure("oms", "WARNING", tmp_path)
    structlog.get_logger().info("not this")
    structlog.get_logger().error("this", body="x" * 1_000_000)
    (line,) = lines(tmp_path)
    assert len(line["body"]) == logs.VALUE_CHARACTERS_MAX


def test_files_are_rotated_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES_MAX", 2000)
    logs.configure("oms", directory=tmp_path)
    for count in range(200):
        structlog.get_logger().info("filling the disk", count=count)
    logs.flush()
    files = list(tmp_path.iterdir())
    assert len(files) == logs.FILES_KEPT + 1
    assert all(file.stat().st_size <= 2000 for file in files)
    assert lines(tmp_path)[-1]["count"] == 199


def test_a_logger_made_early_follows_a_later_configuration(tmp_path: Path) -> None:
    early = structlog.get_logger(part="early")
    logs.configure("oms", directory=tmp_path)
    early.info("hello")
    assert lines(tmp_path)[0]["part"] == "early"


def test_lines_for_which_there_is_no_room_are_counted_and_stop_nothing(tmp_path: Path) -> None:  # FAILURES 48
    (tmp_path / "oms.jsonl").symlink_to("/dev/full")
    logs.configure("oms", directory=tmp_path)
    for count in range(10):
        structlog.get_logger().info("filling the disk", count=count)
    logs.flush()
    assert logs.dropped()["file"] == 10
    (tmp_path / "oms.jsonl").unlink()
    logs.configure("oms", directory=tmp_path)
    structlog.get_logger().info("there is room")
    assert [line["event"] for line in lines(tmp_path)] == ["there is room"]


def test_a_file_that_had_no_room_says_how_many_lines_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("oms", directory=tmp_path)
    write, full = os.write, [True]

    def on_a_full_disk(descriptor: int, text: bytes) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, text)

    monkeypatch.setattr(os, "write", on_a_full_disk)
    structlog.get_logger().info("lost")
    logs.flush()
    full[0] = False
    structlog.get_logger().info("kept")
    found = lines(tmp_path)
    assert [line["event"] for line in found] == ["kept", "1 log lines are missing here for lack of room"]
    assert (found[1]["level"], found[1]["service"]) == ("warning", "oms")


async def test_each_service_of_a_process_says_its_own_in_its_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_all([logs.Log("oms", "INFO", tmp_path), logs.Log("risk", "WARNING", tmp_path)])

    async def speaks(service: str, say: Callable[[Any], None]) -> None:
        logs.speak_as(service)
        await asyncio.create_task(later(say))

    async def later(say: Callable[[Any], None]) -> None:
        say(structlog.get_logger())

    await asyncio.gather(
        speaks("oms", lambda log: log.info("an order")),
        speaks("risk", lambda log: log.info("too quiet to be heard")),
        speaks("risk", lambda log: log.warning("a limit")),
    )
    structlog.get_logger().warning("unowned")
    logs.flush()
    found = {name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()] for name in ("oms", "risk")}
    assert {name: [(line["service"], line["event"]) for line in lines] for name, lines in found.items()} == {
        "oms": [("oms", "an order"), ("oms", "unowned")],
        "risk": [("risk", "a limit")],
    }
    assert [line[21:].split("  ")[0].split(" ")[0] for line in capsys.readouterr().out.splitlines()] == ["oms", "risk", "oms"]
