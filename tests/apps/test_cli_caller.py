"""Which key `trade` sends, to whom, in which form; and that a request with a key names no other caller."""

import base64
import getpass
import hashlib
import json
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from apps.cli.key_files import new_private_key
from apps.cli.main import app
from apps.http.credentials import Signed, new_key_id, new_secret, sent_in, signed_text
from apps.stack import stack
from apps.stack.credentials import keys
from apps.stack.credentials.users import CLI_KEY_FILE
from tests.apps.fake_oms import Asked, FakeOms, fake_oms

KEY: Final = f"{new_key_id()}.{new_secret()}"
SERVICES: Final = ("oms", "risk", "exeq")
WHY: Final = ("--reason", "a scene")


@pytest.fixture(autouse=True)
def _no_key_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine decides which key is sent."""
    for name in ("TRADE_KEY", "TRADE_KEY_FILE", "TRADE_PRIVATE_KEY", "TRADE_ACCESS", "TRADE_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(door: FakeOms, tmp_path: Path) -> Path:
    """The data directory of a stack in open mode, whose services are the fake."""
    urls = {"nats": "nats://127.0.0.1:1", "valkey": "redis://127.0.0.1:1"} | dict.fromkeys(SERVICES, door.url)
    stack.write(tmp_path, stack.Stack(1, 0.0, str(tmp_path), 0, "sqlite", urls, []))
    keys.init(tmp_path / "secrets", guests=False)
    return tmp_path


def closed(home: Path) -> Path:
    """The same stack where every request needs a key."""
    running = stack.read(home)
    assert running is not None
    stack.write(home, replace(running, access="keys"))
    return home


def cli_key(home: Path) -> str:
    return (home / "secrets" / CLI_KEY_FILE).read_text().strip()


def trade(home: Path, *words: str, **environment: str) -> Result:
    return CliRunner(env={"TRADE_DATA_DIR": str(home), **environment}).invoke(app, words)


def sent(asked: Asked) -> str | None:
    return asked.headers.get("authorization")


def test_the_callers_own_key_is_always_sent(door: FakeOms, home: Path) -> None:
    (home / "key").write_text(f"{KEY}\n")
    for environment in ({"TRADE_KEY": KEY}, {"TRADE_KEY_FILE": str(home / "key")}):
        for words in (("positions", "alice"), ("key", "list"), ("whoami",)):
            trade(home, *words, **environment)
    trade(closed(home), "positions", "alice", TRADE_KEY=KEY)
    assert [sent(asked) for asked in door.asked] == [f"Bearer {KEY}"] * 7


def test_the_command_lines_key_is_sent_where_keys_and_accounts_are_made(door: FakeOms, home: Path) -> None:
    for words in (("key", "list"), ("account", "list"), ("access", "log"), ("positions", "alice"), ("whoami",)):
        trade(home, *words)
    assert [sent(asked) for asked in door.asked] == [*[f"Bearer {cli_key(home)}"] * 3, None, None]


def test_where_every_request_needs_a_key_the_command_lines_key_is_sent_with_each(door: FakeOms, home: Path) -> None:
    trade(home, "positions", "alice", TRADE_ACCESS="keys")
    trade(closed(home), "positions", "alice")
    trade(home, "status")
    bearer = f"Bearer {cli_key(home)}"
    assert [sent(asked) for asked in door.asked[:2]] == [bearer, bearer]
    assert {(asked.path, sent(asked)) for asked in door.asked[2:]} == {("/health", None), ("/ready", None), ("/stats", bearer)}


def test_the_command_lines_key_goes_to_no_other_address(door: FakeOms, home: Path) -> None:
    with fake_oms() as other:
        trade(closed(home), "positions", "alice", TRADE_OMS_URL=other.url)
        trade(home, "key", "list", TRADE_RISK_URL=other.url)
        trade(home, "key", "list", TRADE_OMS_URL=other.url)
        trade(home, "key", "list", TRADE_RISK_URL=other.url, TRADE_SECRETS_DIR=str(home / "secrets"))
        assert [sent(asked) for asked in other.asked] == [None, None, f"Bearer {cli_key(home)}"]
    assert [sent(asked) for asked in door.asked] == [f"Bearer {cli_key(home)}"]


def test_without_the_stacks_key_nothing_is_sent(door: FakeOms, home: Path) -> None:
    (home / "secrets" / CLI_KEY_FILE).unlink()
    assert trade(closed(home), "key", "list").exit_code == 1
    assert [sent(asked) for asked in door.asked] == [None]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TRADE_KEY": KEY[:-1]}, "checksum"),
        ({"TRADE_KEY": KEY.partition(".")[0]}, "its secret is missing"),
        ({"TRADE_KEY": "trk_canary"}, "TRADE_KEY is not a key."),
        ({"TRADE_KEY_FILE": "/nowhere/key"}, "/nowhere/key (TRADE_KEY_FILE) cannot be read: No such file"),
        ({"TRADE_KEY": KEY, "TRADE_PRIVATE_KEY": "/nowhere/key"}, "TRADE_KEY must be its id"),
        ({"TRADE_KEY": KEY.partition(".")[0], "TRADE_PRIVATE_KEY": "/nowhere/key"}, "/nowhere/key cannot be read"),
    ],
)
def test_what_cannot_be_a_key_is_not_sent_and_not_shown(door: FakeOms, home: Path, environment: dict[str, str], said: str) -> None:
    found = trade(home, "positions", "alice", **environment)
    assert (found.exit_code, door.asked) == (2, [])
    assert said in found.stderr
    assert "canary" not in found.output
    assert KEY.partition(".")[2][:12] not in found.output


def test_a_key_that_signs_signs_every_request_over_what_is_sent(door: FakeOms, home: Path) -> None:
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(new_private_key(home / "erin.pem")))
    signing = {"TRADE_KEY": KEY.partition(".")[0], "TRADE_PRIVATE_KEY": str(home / "erin.pem")}
    trade(home, "order", "list", "--symbol", "BTC/USD", **signing)
    trade(home, "order", "submit", "buy", "1", "BTCUSDT", "--retry-for", "0", **signing)
    nonces = set()
    for asked in door.asked:
        assert sent(asked) is None
        found = sent_in({name.encode(): value.encode() for name, value in asked.headers.items()})
        assert isinstance(found, Signed)
        text = signed_text(asked.method, asked.target, str(found.at_ms), found.nonce, asked.body)
        public.verify(found.signature, text)
        assert text.endswith(hashlib.sha256(asked.body).hexdigest().encode())
        nonces.add(found.nonce)
    assert "?" in door.asked[0].target
    assert door.asked[1].body
    assert len(nonces) == 2


# Who


COMMANDS: Final = (
    ("kill", "all", *WHY),
    ("kill", "all", "--local", *WHY),
    ("arm", "all", *WHY),
    ("risk", "block", "BTCUSDT", *WHY),
    ("risk", "limits", "set", "alice", "--max-order-size-usd", "5", *WHY),
    ("order", "settle", "o-1", "--outcome", "never_arrived", *WHY),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_with_a_key_its_owner_signs_unless_a_person_is_named(door: FakeOms, home: Path, words: tuple[str, ...]) -> None:
    door.says("GET", "/risk/limits", {"version": 1})
    whos = []
    for more, environment in (((), {}), ((), {"TRADE_KEY": KEY}), (("--who", "erin"), {"TRADE_KEY": KEY})):
        trade(home, *words, *more, **environment)
        whos.append(json.loads(door.asked[-1].body).get("who"))
    trade(closed(home), *words)
    assert [*whos, json.loads(door.asked[-1].body).get("who")] == [getpass.getuser(), None, "erin", None]


def test_the_second_step_of_arming_names_a_person_only_without_a_key(door: FakeOms, home: Path) -> None:
    door.says("POST", "/risk/arm", {"token": "t", "expires_at": "later"}, 202)
    without, with_key = trade(home, "arm", "all", *WHY), trade(home, "arm", "all", *WHY, TRADE_KEY=KEY)
    assert without.stdout.splitlines()[-1] == "trade arm all --token t --reason ... --who ..."
    assert with_key.stdout.splitlines()[-1] == "trade arm all --token t --reason ..."


# Remedies


@pytest.mark.parametrize(
    ("status", "code", "extra", "exit_code", "remedy"),
    [
        (401, "unauthorized", {}, 1, "TRADE_KEY=KEY_ID.SECRET"),
        (403, "scope_missing", {"needs": "trade"}, 1, "trade key create --account A --scopes trade,read;"),
        (403, "scope_missing", {"needs": "read"}, 1, "trade key create --account A --scopes read;"),
        (403, "scope_missing", {"needs": "admin"}, 1, "Unset TRADE_KEY"),
        (403, "account_not_yours", {}, 1, "trade whoami"),
        (403, "who_not_yours", {}, 1, "Leave --who out"),
        (404, "account_not_found", {}, 1, "trade account create"),
        (404, "key_not_found", {}, 1, "trade key list"),
        (429, "rate_limited", {}, 1, "Retry in 1 s, or allow more: trade key limit"),
        (503, "access_unknown", {}, 3, "does not know the keys of now"),
    ],
)
def test_every_refusal_of_access_names_the_next_step(
    door: FakeOms, home: Path, status: int, code: str, extra: dict[str, str], exit_code: int, remedy: str
) -> None:
    door.refuses("GET", "/positions/alice", status, code, "no", **extra)
    found = trade(home, "positions", "alice", TRADE_KEY=KEY)
    assert found.exit_code == exit_code
    assert remedy in found.stderr.splitlines()[1]
    assert KEY.partition(".")[2] not in found.output
