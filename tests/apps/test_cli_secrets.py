"""`trade secrets init`: whose passwords it makes, and where."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from apps.cli.main import app
from apps.stack.credentials.keys import KEYS_FILE
from apps.stack.directory import MARK, claimed


def init(*words: str, stack: str = "") -> Result:
    return CliRunner(env={"TRADE_DATA_DIR": stack}).invoke(app, ("secrets", "init", *words))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_belong_to_the_stack_that_is_named_or_to_the_usual_one(here: Path) -> None:
    for words, stack, expected in (
        ((), "", ".trade/secrets"),
        ((), "of-environment", "of-environment/secrets"),
        (("--data-dir", "named"), "of-environment", "named/secrets"),
        (("--directory", "bare"), "of-environment", "bare"),
    ):
        before = {path.parent for path in here.rglob(KEYS_FILE)}
        found = init(*words, stack=stack)
        assert (found.exit_code, found.stdout) == (0, f"secrets are in {expected}\n"), found.stderr
        assert {path.parent for path in here.rglob(KEYS_FILE)} - before <= {here / expected}
        assert (here / expected / KEYS_FILE).is_file()


def test_both_a_stack_and_a_directory_are_wrong_usage(here: Path) -> None:
    found = init("--data-dir", "one", "--directory", "two")
    assert (found.exit_code, list(here.iterdir())) == (2, [])
    assert "--data-dir D is --directory D/secrets" in found.stderr


def test_a_stack_starts_from_a_directory_that_got_its_secrets_first(here: Path) -> None:
    assert init().exit_code == 0
    with claimed(Path(".trade")):
        assert (here / ".trade/secrets" / KEYS_FILE).is_file()
    assert init("--renew").exit_code == 0


def test_a_directory_of_something_else_is_not_marked(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine/letter").write_text("x")
    assert init("--data-dir", "mine").exit_code == 0
    assert not (here / "mine" / MARK).exists()


def test_what_cannot_be_written_is_one_sentence(here: Path) -> None:
    (here / "file").write_text("x")
    found = init("--data-dir", "file/in")
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr.startswith("The data directory file/in cannot be used: Not a directory")


def test_a_wrong_file_of_venue_keys_is_one_sentence_that_advises_no_new_passwords(here: Path) -> None:
    (here / "bare").mkdir()
    (here / "bare/venue-keys.yaml").touch()
    (here / "bare/venue-keys.yaml").chmod(0o640)
    found = init("--directory", "bare")
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr == "bare/venue-keys.yaml: others can read it (mode 640): chmod 600.\n"
