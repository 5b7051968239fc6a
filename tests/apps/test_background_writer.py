"""What is written beside: never waited for, dropped and counted when there is no room, and said when there is room again."""

import os
import stat
import threading
from pathlib import Path

from apps.runtime.background_writer import BackgroundWriter, RotatingFile

ENOUGH_S = 120.0


def notice(lines: int) -> bytes:
    return f"{lines} missing\n".encode()


class Disk:
    """Full, hanging, or well, as a test says."""

    def __init__(self) -> None:
        self.is_full = False
        self.turns = threading.Event()
        self.turns.set()
        self.text = b""

    def write(self, piece: bytes) -> None:
        assert self.turns.wait(ENOUGH_S)
        if self.is_full:
            raise OSError(28, "No space left on device")
        self.text += piece

    def close(self) -> None:
        """Nothing is held."""


def test_pieces_are_written_in_order() -> None:
    disk = Disk()
    writer = BackgroundWriter(disk, "test", notice)
    for number in range(1000):
        writer.put(f"{number}\n".encode())
    assert writer.flush(ENOUGH_S)
    assert disk.text.split() == [str(number).encode() for number in range(1000)]
    assert (writer.dropped, writer.trouble) == (0, "")


def test_what_a_full_disk_refuses_is_counted_by_lines_and_said_when_there_is_room() -> None:
    disk = Disk()
    writer = BackgroundWriter(disk, "test", notice)
    disk.is_full = True
    writer.put(b"one\ntwo\n")
    writer.put(b"three\n")
    assert writer.flush(ENOUGH_S)
    assert (writer.dropped, writer.trouble) == (3, "No space left on device")
    disk.is_full = False
    writer.put(b"four\n")
    writer.put(b"five\n")
    assert writer.flush(ENOUGH_S)
    assert disk.text == b"four\n3 missing\nfive\n"
    assert (writer.dropped, writer.trouble) == (3, "")


def test_a_disk_that_hangs_delays_no_caller_and_at_most_the_bound_waits_for_it() -> None:
    disk = Disk()
    disk.turns.clear()
    writer = BackgroundWriter(disk, "test", notice, pending_bytes_max=100)
    for _ in range(50):
        writer.put(b"123456789\n")
    assert not writer.flush(0.01)
    assert writer.dropped == 40
    disk.turns.set()
    assert writer.flush(ENOUGH_S)
    assert disk.text.count(b"123456789\n") == 10
    assert b"40 missing\n" in disk.text


def test_a_file_that_cannot_be_opened_is_tried_again_with_each_piece(tmp_path: Path) -> None:
    (tmp_path / "later").touch()
    writer = BackgroundWriter(RotatingFile(tmp_path / "later" / "x.out", 1000, 1), "test", notice)
    writer.put(b"lost\n")
    assert writer.flush(ENOUGH_S)
    (tmp_path / "later").unlink()
    writer.put(b"kept\n")
    assert writer.flush(ENOUGH_S)
    assert (tmp_path / "later" / "x.out").read_bytes() == b"kept\n1 missing\n"


def test_neither_a_full_device_nor_a_pipe_without_a_reader_nor_a_directory_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for path in tmp_path.iterdir():
        writer = BackgroundWriter(RotatingFile(path, 1000, 1), "test", notice)
        writer.put(b"line\n")
        assert writer.flush(ENOUGH_S), path
        assert writer.dropped == 1, path


def test_files_move_aside_within_their_bound_and_are_private(tmp_path: Path) -> None:
    path = tmp_path / "x.out"
    path.touch(0o644)
    file = RotatingFile(path, 10, kept=2)
    for piece in (b"11111\n", b"22222\n", b"33333\n", b"44444\n"):
        file.write(piece)
    file.close()
    assert [(tmp_path / name).read_bytes() for name in ("x.out", "x.out.1", "x.out.2")] == [b"44444\n", b"33333\n", b"22222\n"]
    assert len(list(tmp_path.iterdir())) == 3
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
