"""What every watermark promises: it survives, it never goes back, and it says when it was damaged. Run by memory and by files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.memory import MemoryWatermark
from adapters.watermark import FileWatermark
from domain.ports import Acceptance, Corrupt, Head, Unavailable, Watermark

SUBJECT = "oms.journal.0"
ACCEPTED = Acceptance(head=Head(3, 3, "c"), mark=Head(9, 9, "i"), at=1, who="ann", reason="the disk was lost")

Open = Callable[[], Watermark]
"""The same mark, as a next process would open it."""


@pytest.fixture(params=["memory", "file"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "file":
        return lambda: FileWatermark(tmp_path / "watermarks", SUBJECT)
    kept = MemoryWatermark()
    return lambda: kept


def test_there_is_none_at_first(opened: Open) -> None:
    assert opened().read() is None
    assert opened().acceptance() is None


def test_it_rises_and_never_goes_back(opened: Open) -> None:
    for seq, stands in ((5, 5), (7, 7), (6, 7), (7, 7)):
        opened().raise_to(Head(seq, seq, str(seq)))
        assert opened().read() == Head(stands, stands, str(stands))


def test_an_acceptance_waits_for_the_writer_and_is_used_up(opened: Open) -> None:
    opened().raise_to(ACCEPTED.mark)
    opened().accept(ACCEPTED)
    assert opened().acceptance() == ACCEPTED
    assert opened().read() == ACCEPTED.mark
    opened().settle(Head(4, 4, "d"))
    assert opened().acceptance() is None
    assert opened().read() == Head(4, 4, "d"), "lower than it was"


@pytest.mark.parametrize("at", [0, 10, 64, 65, 80, -1])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, at: int) -> None:
    mark = FileWatermark(tmp_path, SUBJECT)
    mark.raise_to(Head(5, 5, "chain"))
    content = bytearray(mark.file.read_bytes())
    content[at] ^= 1
    mark.file.write_bytes(content)
    with pytest.raises(Corrupt, match="does not verify"):
        mark.read()
    mark.raise_to(Head(6, 6, "next"))
    assert mark.read() == Head(6, 6, "next"), "who writes knows better"


def test_an_empty_file_is_damaged(tmp_path: Path) -> None:
    mark = FileWatermark(tmp_path, SUBJECT)
    mark.file.touch()
    with pytest.raises(Corrupt):
        mark.read()


def test_where_nothing_can_be_written_it_is_unavailable(tmp_path: Path) -> None:
    mark = FileWatermark(tmp_path, SUBJECT)
    (tmp_path / f"{mark.file.name}.{os.getpid()}").mkdir()
    with pytest.raises(Unavailable, match="cannot be written"):
        mark.raise_to(Head(1, 1, "a"))
    assert mark.read() is None
