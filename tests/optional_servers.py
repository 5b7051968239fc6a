"""The servers that only some machines have, for tests: started if installed, else the test is skipped and says what to install."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.stack.opensearch_server import SearchPorts, opensearch
from apps.stack.program import Program
from apps.stack.s3_servers import S3Ports, s3
from apps.stack.trouble import CannotStart
from tests.live import LiveProcess
from tests.ports import free


@contextmanager
def live_opensearch() -> Iterator[tuple[LiveProcess, SearchPorts]]:
    """An OpenSearch of its own: five to ten seconds of processor time, so one for many tests."""
    ports = free(SearchPorts)
    with _everybodys_directory() as home, _live(home, lambda: opensearch(home, ports)) as server:
        yield server, ports


@contextmanager
def live_s3() -> Iterator[tuple[LiveProcess, S3Ports]]:
    """Whichever S3 server is built."""
    ports = free(S3Ports)
    with _everybodys_directory() as home, _live(home, lambda: s3(home, ports)) as server:
        yield server, ports


@contextmanager
def _live(home: Path, make: Callable[[], Program]) -> Iterator[LiveProcess]:
    try:
        program = make()
    except CannotStart as absent:
        pytest.skip(str(absent).replace("\n", " "))
    server = LiveProcess(program, home).start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def _everybodys_directory() -> Iterator[Path]:
    """A directory that another user can reach: pytest's own are closed to them, and OpenSearch never runs as root."""
    home = Path(tempfile.mkdtemp(prefix="trade-"))
    try:
        home.chmod(0o700)  # the server opens it as far as it needs
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)
