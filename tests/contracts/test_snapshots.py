"""What every keeper of snapshots promises: the newest whole one of our schema, then the one before it. Run by memory and by files."""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing

from adapters.memory import MemorySnapshots
from adapters.snapshots import NEWEST, PREVIOUS, FileSnapshots
from domain.ports import Head, Snapshots, Unavailable
from tests import mounts

SCHEMA = "1-abc"
BODY = b'{"seq":3,\n"accounts":[]}' * 20


@pytest.fixture(params=["memory", "files"])
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Snapshots:
    return MemorySnapshots() if request.param == "memory" else FileSnapshots(tmp_path / "snapshots")


def head(seq: int) -> Head:
    return Head(seq, seq - 1, f"chain{seq}")


def kept(snapshots: Snapshots, name: str = "risk", schema: str = SCHEMA) -> list[tuple[Head, bytes]]:
    return list(snapshots.kept(name, schema))


def test_there_is_none_before_the_first(snapshots: Snapshots) -> None:
    assert kept(snapshots) == []


def test_the_newest_comes_first_and_the_one_before_it_is_kept(snapshots: Snapshots) -> None:
    for seq in (3, 5, 4):
        snapshots.store("risk", SCHEMA, head(seq), b"state %d" % seq)
    assert kept(snapshots) == [(head(4), b"state 4"), (head(5), b"state 5")], "the last one written is the newest, whatever its sequence"


def test_each_name_has_its_own(snapshots: Snapshots) -> None:
    snapshots.store("risk", SCHEMA, head(1), b"of risk")
    snapshots.store("exeq", SCHEMA, head(2), b"of exeq")
    assert (kept(snapshots), kept(snapshots, "exeq")) == ([(head(1), b"of risk")], [(head(2), b"of exeq")])


def test_another_schema_is_passed_over(snapshots: Snapshots) -> None:
    # FAILURES 51
    snapshots.store("risk", SCHEMA, head(1), b"of yesterday")
    snapshots.store("risk", "2-def", head(2), b"of another program")
    assert kept(snapshots) == [(head(1), b"of yesterday")]


def test_a_state_may_be_any_bytes(snapshots: Snapshots) -> None:
    for seq, body in enumerate((b"", b"\n\n{}", bytes(range(256)) * 40_000), 1):
        snapshots.store("risk", SCHEMA, head(seq), body)
        assert kept(snapshots)[0] == (head(seq), body)


# Files


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where two whole snapshots are."""
    files = FileSnapshots(tmp_path)
    files.store("risk", SCHEMA, head(3), b"the one before")
    files.store("risk", SCHEMA, head(9), BODY)
    return tmp_path


def spoilt(whole: bytes, chance: random.Random) -> bytes:
    """One flipped bit, one other byte, a cut tail, a lost piece, zeros in the middle, something behind the end."""
    place = chance.randrange(len(whole))
    end = min(len(whole), place + chance.randint(1, 64))
    return chance.choice(
        [
            whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :],
            whole[:place] + bytes([(whole[place] + chance.randrange(1, 256)) % 256]) + whole[place + 1 :],
            whole[:place],
            whole[:place] + whole[end:],
            whole[:place] + b"\0" * (end - place) + whole[end:],
            whole + whole[place:end],
        ]
    )


@pytest.mark.parametrize("seed", range(100))
def test_a_spoilt_file_is_never_read_and_the_one_before_it_is(home: Path, seed: int) -> None:
    # FAILURES 51
    file = home / "risk" / NEWEST
    file.write_bytes(spoilt(file.read_bytes(), random.Random(seed)))
    with structlog.testing.capture_logs() as logs:
        assert kept(FileSnapshots(home)) == [(head(3), b"the one before")]
    assert [(line["log_level"], line["snapshot"]) for line in logs] == [("warning", f"risk/{NEWEST}")]


def test_no_single_bit_of_a_file_can_turn_unseen(home: Path) -> None:
    # FAILURES 51
    file = home / "risk" / NEWEST
    whole = file.read_bytes()
    for place, bit in itertools.product(range(len(whole) - len(BODY) + 30), range(8)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        found = kept(FileSnapshots(home))
        assert found == [(head(3), b"the one before")], (place, bit)


def test_a_schema_that_was_written_over_does_not_make_it_ours(tmp_path: Path) -> None:
    # FAILURES 51
    files = FileSnapshots(tmp_path)
    files.store("risk", "9-xyz", head(1), BODY)
    file = tmp_path / "risk" / NEWEST
    file.write_bytes(file.read_bytes().replace(b"9-xyz", SCHEMA.encode()))
    assert kept(files) == []


def test_when_both_are_spoilt_there_is_none(home: Path) -> None:
    for name in (NEWEST, PREVIOUS):
        (home / "risk" / name).write_bytes(b"")
    assert kept(FileSnapshots(home)) == []


def test_what_a_killed_writer_left_behind_is_not_read_and_goes_away(home: Path) -> None:
    left = home / "risk" / "1234567.fresh"
    left.write_bytes(b"half a")
    assert kept(FileSnapshots(home))[0] == (head(9), BODY)
    FileSnapshots(home).store("risk", SCHEMA, head(10), b"next")
    assert sorted(file.name for file in (home / "risk").iterdir()) == [NEWEST, PREVIOUS]
    assert kept(FileSnapshots(home)) == [(head(10), b"next"), (head(9), BODY)]


def test_a_death_between_the_two_renames_leaves_the_one_before(home: Path) -> None:
    os.replace(home / "risk" / NEWEST, home / "risk" / PREVIOUS)
    assert kept(FileSnapshots(home)) == [(head(9), BODY)]
    FileSnapshots(home).store("risk", SCHEMA, head(10), b"next")
    assert kept(FileSnapshots(home)) == [(head(10), b"next"), (head(9), BODY)]


def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "risk").write_text("a file where the directory should be")
    with pytest.raises(Unavailable, match="risk"):
        FileSnapshots(tmp_path).store("risk", SCHEMA, head(1), b"state")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with mounts.small_disk(tmp_path / "small", 1) as place:
        yield place


def test_a_full_disk_keeps_what_is_there_and_leaves_nothing_half_written(small_disk: Path) -> None:
    # FAILURES 48
    files = FileSnapshots(small_disk)
    files.store("risk", SCHEMA, head(3), b"the one before")
    files.store("risk", SCHEMA, head(4), b"x" * 300_000)
    with pytest.raises(Unavailable, match="No space left on device"):
        files.store("risk", SCHEMA, head(5), b"x" * 2_000_000)
    assert sorted(file.name for file in (small_disk / "risk").iterdir()) == [NEWEST, PREVIOUS]
    assert kept(files) == [(head(4), b"x" * 300_000), (head(3), b"the one before")]
    files.store("risk", SCHEMA, head(6), b"it fits again")
    assert kept(files)[0] == (head(6), b"it fits again")
