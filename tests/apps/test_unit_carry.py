"""From the volumes of the separate services to the unit's and back: marks and local kill switches, and never an older one over a newer."""

import os
import stat
from pathlib import Path

import pytest

from adapters.local_kills import DIRECTORY as KILLS
from adapters.local_kills import LocalKill, LocalKills
from adapters.watermark import DIRECTORY as MARKS
from adapters.watermark import FileWatermark
from apps.unit.carry import carry
from domain.ports import Head

KILL = LocalKill(scope="symbol:BTCUSDT", who="ops", reason="no service could be reached", at=1)


def mark(volume: Path, name: str = "oms.journal.0") -> FileWatermark:
    return FileWatermark(volume / MARKS, name)


def head(seq: int) -> Head:
    return Head(seq, seq, "0" * 64)


def aged(file: Path, seconds: int) -> None:
    when = file.stat().st_mtime_ns - seconds * 10**9
    os.utime(file, ns=(when, when))


def carried(source: Path, target: Path) -> list[str]:
    return [str(name) for name in carry(source, target, os.getuid())]


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """The volume of exeq, which has both kinds."""
    volume = tmp_path / "exeq"
    mark(volume).raise_to(head(7))
    mark(volume / MARKS / "exeq", "controls").raise_to(head(2))
    kills = LocalKills(volume / KILLS)
    kills.prepare()
    kills.keep(KILL)
    (volume / "snapshots").mkdir()
    (volume / "snapshots" / "exeq.1").write_text("made again from the journal")
    return volume


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    volume = tmp_path / "unit"
    volume.mkdir()
    return volume


def test_marks_and_local_kill_switches_are_there_and_nothing_else(apart: Path, unit: Path) -> None:
    assert len(carried(apart, unit)) == 3
    assert mark(unit).read() == head(7)
    assert mark(unit / MARKS / "exeq", "controls").read() == head(2)
    assert LocalKills(unit / KILLS).load() == {KILL.scope: KILL}
    assert {path.name for path in unit.iterdir()} == {MARKS, KILLS}
    assert stat.S_IMODE((unit / KILLS).stat().st_mode) == 0o700
    assert carried(apart, unit) == [], "a second time there is nothing to do"


def test_the_newer_mark_stays_in_whichever_direction(apart: Path, unit: Path) -> None:
    carried(apart, unit)
    mark(unit).raise_to(head(9))
    aged(mark(apart).file, 60)
    assert carried(apart, unit) == [], "the wrong direction"
    assert carried(unit, apart) == [f"{MARKS}/oms.journal.0.mark"]
    assert mark(apart).read() == head(9)


def test_a_loss_that_an_operator_accepted_stays_accepted(apart: Path, unit: Path) -> None:
    carried(apart, unit)
    aged(mark(apart).file, 60)
    mark(unit).settle(head(3))
    carried(unit, apart)
    assert mark(apart).read() == head(3), "not the newest commit, but what was said last"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files to another user: run as root")
def test_all_of_it_belongs_to_the_user_that_reads_it(apart: Path, unit: Path) -> None:
    list(carry(apart, unit, 10100))
    assert {path.stat().st_uid for path in (unit, *unit.rglob("*"))} == {10100}
