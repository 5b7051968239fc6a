"""What a stack keeps is its user's alone, and what keeps it from starting is one sentence."""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.runtime import private_files
from apps.runtime.exit_codes import Exit
from apps.stack.credentials.keys import KEYS_FILE
from apps.stack.directory import LOCK, MARK
from apps.stack.stack import FILE
from apps.tools.backup.file import Heading, Writer
from tests import mounts
from tests.apps.test_up import ENDS_S, command, ready_stack, stop
from tests.stack import free_offset


@pytest.fixture
def lax() -> Iterator[None]:
    """A umask that gives all users all rights."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(directory: Path) -> dict[str, int]:
    """Of everything in it that others may touch."""
    found = {str(path): path.lstat().st_mode for path in (directory, *directory.rglob("*"))}
    return {path: stat.S_IMODE(mode) for path, mode in found.items() if mode & 0o077 and not stat.S_ISLNK(mode)}


@pytest.mark.usefixtures("lax")
def test_all_that_a_stack_keeps_is_private_whatever_the_umask_and_whatever_it_was(tmp_path: Path) -> None:
    data_dir, offset = tmp_path / "state", free_offset()
    with command(data_dir, offset) as process:
        ready_stack(data_dir)
        assert modes(data_dir) == {}
        stop(process)
    for path in (data_dir, *data_dir.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    with command(data_dir, offset) as process:
        ready_stack(data_dir)
        assert modes(data_dir) == {}
        stop(process)


@pytest.mark.usefixtures("lax")
def test_links_are_not_followed_when_a_directory_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link").symlink_to(tmp_path / "other")
    private_files.tighten(tmp_path / "mine")
    assert modes(tmp_path / "mine") == {}
    assert len(modes(tmp_path / "other")) == 2


@pytest.mark.usefixtures("lax")
def test_a_backup_is_private_and_takes_no_other_file_s_place_unless_told_to(tmp_path: Path) -> None:
    path, heading = tmp_path / "b.gz", Heading(1, 0, {})
    with Writer(path, heading) as file:
        file.seal()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_bytes()
    with pytest.raises(FileExistsError):
        Writer(path, heading)
    assert path.read_bytes() == first
    with Writer(path, Heading(1, 7, {}), replace=True) as file:
        file.seal()
    assert path.read_bytes() != first
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("lax")
def test_a_file_that_comes_while_the_backup_is_made_stays(tmp_path: Path) -> None:
    path = tmp_path / "b.gz"
    with Writer(path, Heading(1, 0, {})) as file:
        path.write_text("another's")
        with pytest.raises(FileExistsError):
            file.seal()
    assert path.read_text() == "another's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """With what a start of an earlier day left there."""
    with mounts.small_disk(tmp_path / "read-only", 1) as home:
        (home / MARK).touch()
        subprocess.run(["mount", "-o", "remount,ro", home], check=True)
        yield home


def refused(data_dir: Path, *words: str) -> str:
    """What a start that must not succeed says: one sentence and what to do, and no stack trace."""
    with command(data_dir, free_offset(), *words) as process:
        out, err = process.communicate(timeout=ENDS_S)
    assert process.returncode in (Exit.REFUSED, Exit.USAGE), out + err
    assert "Traceback" not in out + err
    assert len(err.splitlines()) <= 2, err
    return err


def test_a_read_only_directory_ends_the_start_with_a_sentence(read_only_disk: Path) -> None:
    assert "Read-only file system" in refused(read_only_disk)
    assert "Read-only file system" in refused(read_only_disk / "new")


def _file(path: Path) -> None:
    path.write_bytes(b"\xff{")


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "x").touch()


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "keys cut off": (f"secrets/{KEYS_FILE}", lambda path: _text(path, '{"nats": {"oms"'), "keys.json is damaged"),
    "keys of another shape": (f"secrets/{KEYS_FILE}", lambda path: _text(path, '{"nats": {"oms": 5}}'), "keys.json is damaged"),
    "keys that are no text": (f"secrets/{KEYS_FILE}", _file, "keys.json is damaged"),
    "keys that are a directory": (f"secrets/{KEYS_FILE}", _directory, "keys.json"),
    "secrets that are a file": ("secrets", _file, "secrets"),
    "a lock that is a directory": (LOCK, _directory, LOCK),
    "what runs is a directory": (FILE, _directory, FILE),
    "logs that are a file": ("logs", _file, "logs"),
    "a journal that is a file": ("nats", _file, "nats"),
}


def _text(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_directory_ends_the_start_with_a_sentence_that_names_the_file(tmp_path: Path, name: str) -> None:
    place, damage, said = DAMAGE[name]
    data_dir = tmp_path / "state"
    (data_dir / "secrets").mkdir(parents=True)
    (data_dir / MARK).touch()
    path = data_dir / place
    if place == "secrets":
        path.rmdir()
    damage(path)
    error = refused(data_dir)
    assert said in error
    assert "passwords" in error or "Make it readable and writable" in error, "and what to do"


def test_a_damaged_file_of_passwords_is_left_as_it_is_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / KEYS_FILE
    file.parent.mkdir()
    (tmp_path / MARK).touch()
    file.write_text('{"nats": {"oms": "hunter2"')
    assert "hunter2" not in refused(tmp_path)
    assert file.read_text() == '{"nats": {"oms": "hunter2"'


def test_quotes_that_are_a_directory_end_the_start_with_a_sentence(tmp_path: Path) -> None:
    assert f"{tmp_path} is not a file" in refused(tmp_path / "state", "--quotes", str(tmp_path))
