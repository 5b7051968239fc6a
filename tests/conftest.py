"""What every test may ask for: exact arithmetic always, real servers when named."""

import gc
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from apps.stack import servers
from apps.stack.ports import ServerPorts
from apps.stack.program import Program
from domain.values import use_exact_arithmetic
from tests.apps.authority_of_certificates import CertificateAuthority
from tests.live import LiveServer, live

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # started in the background: or our children would never hear their Ctrl-C

TRUSTED = tempfile.TemporaryDirectory(prefix="trade-trusted-")
os.environ["SSL_CERT_FILE"] = str(CertificateAuthority(Path(TRUSTED.name)).file)
"""What httpx trusts: one authority of our own. Reading the usual hundreds takes 24 ms for each client, and no scene leaves this machine."""

os.environ["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1"
"""QuestDB lives for seconds here: compiling it a second time, and better, is a third of its processor time and never pays."""

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # how fast an example is says how busy the machine is

Make = Callable[[Path, ServerPorts], Program]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole stacks and killed processes come first: they take long and wait much, and at the end one of them would run alone."""
    items.sort(key=lambda item: not {"faults", "flows"} & set(item.path.parts))


def pytest_collection_finish() -> None:
    """Thousands of tests and all modules live as long as the run: each full collection would visit them again, a second at a time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _exact_arithmetic() -> None:
    """The decimal context belongs to the thread and the context: set it again for each test."""
    use_exact_arithmetic()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command line sets up logging for its process, which in a test is ours."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def _running(make: Make, home: Path) -> Iterator[LiveServer]:
    server = live(make, home)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One nats-server for the whole run: use names (streams, subjects, accounts) of your own."""
    yield from _running(servers.nats, tmp_path_factory.mktemp("nats"))


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One valkey-server for the whole run: use keys or a database of your own."""
    yield from _running(servers.valkey, tmp_path_factory.mktemp("valkey"))


@pytest.fixture(scope="session")
def questdb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One QuestDB for the whole run, 2 s to start: use tables or accounts of your own."""
    yield from _running(servers.questdb, tmp_path_factory.mktemp("questdb"))


@pytest.fixture
def fresh_nats(tmp_path: Path) -> Iterator[LiveServer]:
    """An empty nats-server for this test alone, to be killed, frozen and restarted at will."""
    yield from _running(servers.nats, tmp_path / "fresh_nats")


@pytest.fixture
def fresh_valkey(tmp_path: Path) -> Iterator[LiveServer]:
    """An empty valkey-server for this test alone."""
    yield from _running(servers.valkey, tmp_path / "fresh_valkey")


@pytest.fixture
def fresh_questdb(tmp_path: Path) -> Iterator[LiveServer]:
    """An empty QuestDB for this test alone."""
    yield from _running(servers.questdb, tmp_path / "fresh_questdb")
