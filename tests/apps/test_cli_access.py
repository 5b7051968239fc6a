"""`trade account`, `trade key`, `trade whoami`, `trade access`: what is sent, what is printed where, and which exit code says what."""

import base64
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key
from typer.testing import CliRunner, Result

from apps.cli.main import app
from tests.apps.fake_oms import FakeOms

KEY_ID: Final = "PKABCDEFGHIJKLMNOP23"
SECRET: Final = "trk_canary"
VIEW: Final = {
    "key_id": KEY_ID,
    "owner": "erin",
    "account": "alice",
    "scopes": ["read", "trade"],
    "networks": [],
    "expires_at": None,
    "rate": 100,
    "burst": 200,
    "note": "desk",
    "kind": "secret",
    "created_at": "2026-11-30T08:00:00Z",
    "state": "live",
    "revoked_at": None,
    "last_used_at": None,
}
ALL: Final = {"acknowledged": {"oms": "yes", "risk": "yes"}}
NOT_ALL: Final = {"acknowledged": {"oms": "unknown", "exeq": "absent"}}
CREATE: Final = ("key", "create", "--account", "alice")


@pytest.fixture
def risk(door: FakeOms) -> FakeOms:
    return door


def trade(risk: FakeOms, *words: str) -> Result:
    return CliRunner(env={"TRADE_RISK_URL": risk.url, "TRADE_OMS_URL": risk.url, "USER": "dora", "LOGNAME": "dora"}).invoke(app, words)


def key_path(verb: str = "") -> str:
    return f"/access/keys/{KEY_ID}" + (f"/{verb}" if verb else "")


# Keys


def test_a_new_key_is_alone_on_stdout_so_that_a_variable_can_take_it(risk: FakeOms) -> None:
    risk.says("POST", "/access/keys", {**VIEW, **ALL, "secret": SECRET})
    found = trade(risk, *CREATE, "--scopes", "trade,read")
    assert (found.exit_code, found.stdout) == (0, f"{KEY_ID}.{SECRET}\n")
    assert "account alice, owner erin, scopes read, trade, without an end." in found.stderr
    assert SECRET not in found.stderr
    assert risk.asked[0].json == {"account": "alice", "scopes": ["trade", "read"], "owner": "dora"}


def test_every_choice_of_a_key_is_sent(risk: FakeOms) -> None:
    risk.says("POST", "/access/keys", {**VIEW, **ALL, "secret": SECRET, "expires_at": "2026-12-30T08:00:00Z"})
    words = "--scopes risk,ops --owner erin --expires-in 30d --network 10.1.0.0/16 --network 2001:db8::/32 --rate 5 --burst 9"
    found = trade(risk, "key", "create", "--account", "*", *words.split(), "--note", "desk", "--reason", "new", "--token", "t-1")
    assert found.exit_code == 0, found.stderr
    assert "until 2026-12-30T08:00:00Z." in found.stderr
    assert risk.asked[0].json == {
        "account": "*",
        "scopes": ["risk", "ops"],
        "owner": "erin",
        "expires_in_sec": 30 * 86_400,
        "networks": ["10.1.0.0/16", "2001:db8::/32"],
        "rate": 5,
        "burst": 9,
        "note": "desk",
        "reason": "new",
        "token": "t-1",
    }


def test_json_is_the_servers_body_and_nothing_else(risk: FakeOms) -> None:
    risk.says("POST", "/access/keys", b'{"key_id":"x","secret":"y"}')
    risk.says("POST", key_path("rotate"), b'{"key_id":"x","secret":"z"}')
    found = trade(risk, *CREATE, "--scopes", "read", "--json")
    assert (found.exit_code, found.stdout, found.stderr) == (0, '{"key_id":"x","secret":"y"}\n', "")
    assert trade(risk, "key", "rotate", KEY_ID, "--json").output == '{"key_id":"x","secret":"z"}\n'


@pytest.mark.parametrize(
    ("account", "scopes", "said"),
    [
        ("alice", "trade,fly", "'fly' is not a scope."),
        ("alice", "admin,trade", "admin and trade are never in one key"),
        ("*", "admin,cancel", "admin and cancel are never in one key"),
        ("*", "read,ops", "read is for one account, not for *"),
        ("alice", ",", "a key needs at least one scope"),
    ],
)
def test_scopes_that_no_key_has_are_1_and_not_sent(risk: FakeOms, account: str, scopes: str, said: str) -> None:
    found = trade(risk, "key", "create", "--account", account, "--scopes", scopes)
    assert (found.exit_code, risk.asked) == (1, [])
    assert said in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        (*CREATE, "--scopes", "read", "--expires-in", "30"),
        (*CREATE, "--scopes", "read", "--expires-in", "0d"),
        (*CREATE, "--scopes", "read", "--expires-in", "1y"),
        (*CREATE, "--scopes", "read", "--network", "10.1.2.3/16"),
        (*CREATE, "--scopes", "read", "--owner", "a b"),
        ("key", "create", "--account", "a.b", "--scopes", "read"),
        ("key", "rotate", KEY_ID, "--grace", "25h"),
        ("key", "limit", KEY_ID, "--rate", "0", "--burst", "1"),
        ("key", "show", "pk-1"),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_not_sent(risk: FakeOms, words: tuple[str, ...]) -> None:
    assert (trade(risk, *words).exit_code, risk.asked) == (2, [])


def test_a_secret_where_a_key_id_belongs_is_not_repeated(risk: FakeOms) -> None:
    found = trade(risk, "key", "revoke", f"{KEY_ID}.{SECRET}")
    assert found.exit_code == 2
    assert SECRET not in found.output


def test_an_admin_key_that_another_owner_must_confirm_is_not_a_key_yet(risk: FakeOms) -> None:
    risk.says("POST", "/access/keys", {"token": "c0ffee", "expires_at": "2026-11-30T08:10:00Z"}, status=202)
    found = trade(risk, "key", "create", "--account", "*", "--scopes", "admin")
    assert found.exit_code == 0
    assert "no key is made yet" in found.stdout
    assert "--owner dora --token c0ffee" in found.stdout


def test_a_key_that_a_service_does_not_know_yet_is_printed_and_said_to_be(risk: FakeOms) -> None:
    risk.says("POST", "/access/keys", {**VIEW, **NOT_ALL, "secret": SECRET}, status=202)
    risk.says("POST", key_path("rotate"), {**VIEW, **NOT_ALL, "secret": SECRET}, status=202)
    for words in ((*CREATE, "--scopes", "read"), ("key", "rotate", KEY_ID)):
        found = trade(risk, *words)
        assert (found.exit_code, found.stdout) == (0, f"{KEY_ID}.{SECRET}\n")
        assert "oms has not acknowledged, exeq is not running. A service" in found.stderr


def test_a_revoke_is_0_only_when_all_have_obeyed(risk: FakeOms) -> None:
    risk.says("POST", key_path("revoke"), {"key_id": KEY_ID, "state": "revoked", **ALL})
    found = trade(risk, "key", "revoke", KEY_ID, "--reason", "lost", "--cancel-orders")
    assert (found.exit_code, found.stdout) == (0, f"Revoked: {KEY_ID}. oms acknowledged, risk acknowledged.\n")
    assert risk.asked[0].json == {"reason": "lost", "cancel_orders": True}
    risk.answers.clear()
    risk.says("POST", key_path("revoke"), {"key_id": KEY_ID, "state": "revoked", **NOT_ALL}, status=202)
    found = trade(risk, "key", "revoke", KEY_ID)
    assert (found.exit_code, found.stdout) == (3, f"Revoked: {KEY_ID}. oms has not acknowledged, exeq is not running.\n")
    assert found.stderr.startswith(f"{KEY_ID} is revoked durably, but a service has not acknowledged it.")
    assert trade(risk, "key", "revoke", KEY_ID, "--json").exit_code == 3


def test_a_rotated_key_is_printed_like_a_new_one(risk: FakeOms) -> None:
    risk.says("POST", key_path("rotate"), {"key_id": KEY_ID, "secret": SECRET, "old_secret_until": "2026-11-30T08:10:00Z"})
    found = trade(risk, "key", "rotate", KEY_ID)
    assert (found.exit_code, found.stdout) == (0, f"{KEY_ID}.{SECRET}\n")
    assert "The old one is good until 2026-11-30T08:10:00Z." in found.stderr
    assert trade(risk, "key", "rotate", KEY_ID, "--grace", "0s").exit_code == 0
    assert [asked.json for asked in risk.asked] == [{"grace_sec": 600}, {"grace_sec": 0}]


@pytest.fixture
def lax() -> Iterator[None]:
    """A umask that gives all users all rights."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("lax")
def test_a_key_may_go_to_a_new_file_of_its_owner_alone(risk: FakeOms, tmp_path: Path) -> None:
    risk.says("POST", "/access/keys", {**VIEW, **ALL, "secret": SECRET})
    risk.says("POST", key_path("rotate"), {"key_id": KEY_ID, "secret": SECRET, "old_secret_until": "2026-11-30T08:10:00Z"})
    for number, words in enumerate(((*CREATE, "--scopes", "read"), ("key", "rotate", KEY_ID))):
        file = tmp_path / f"key-{number}"
        found = trade(risk, *words, "--out", str(file))
        assert (found.exit_code, found.stdout, file.read_text()) == (0, "", f"{KEY_ID}.{SECRET}\n"), found.stderr
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert f"only in {file}" in found.stderr
        assert SECRET not in found.stderr
    risk.answers.clear()
    risk.says("POST", "/access/keys", {**VIEW, **ALL, "kind": "public_key"})
    (tmp_path / "pub").write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    signs = trade(risk, *CREATE, "--scopes", "read", "--public-key", str(tmp_path / "pub"), "--out", str(tmp_path / "id"))
    assert (signs.exit_code, signs.stdout, (tmp_path / "id").read_text()) == (0, "", f"{KEY_ID}\n")


def test_a_file_that_cannot_take_a_key_makes_none(risk: FakeOms, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for words in ((*CREATE, "--scopes", "read"), ("key", "rotate", KEY_ID)):
        for name, code in (("there", 1), ("link", 1), ("no/such", 1), (".", 2)):
            found = trade(risk, *words, "--out", str(tmp_path / name))
            assert (found.exit_code, found.stdout, risk.asked) == (code, "", []), name
        assert trade(risk, *words, "--out", str(tmp_path / "new"), "--json").exit_code == 2
    assert (tmp_path / "there").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["link", "there"]


def test_no_file_is_left_where_no_key_was_made(risk: FakeOms, tmp_path: Path) -> None:
    risk.says("POST", "/access/keys", {"token": "c0ffee", "expires_at": "2026-11-30T08:10:00Z"}, status=202)
    risk.refuses("POST", key_path("rotate"), 404, "key_not_found", "there is no such key")
    asked = trade(risk, "key", "create", "--account", "*", "--scopes", "admin", "--out", str(tmp_path / "boss"))
    assert (asked.exit_code, "--token c0ffee" in asked.stdout) == (0, True)
    assert trade(risk, "key", "rotate", KEY_ID, "--out", str(tmp_path / "turned")).exit_code == 1
    assert os.listdir(tmp_path) == []


def test_a_secret_that_its_disk_did_not_take_has_a_way_out(risk: FakeOms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    risk.says("POST", "/access/keys", {**VIEW, **ALL, "secret": SECRET})
    monkeypatch.setattr("apps.cli.key_files.os.fsync", full)
    found = trade(risk, *CREATE, "--scopes", "read", "--out", str(tmp_path / "key"))
    assert (found.exit_code, found.stdout, os.listdir(tmp_path)) == (1, "", [])
    assert "No space left on device." in found.stderr
    assert f"{KEY_ID} is made, and its secret is lost. Make another one: trade key rotate {KEY_ID}" in found.stderr


def test_lists_and_cards_of_keys(risk: FakeOms) -> None:
    risk.says("GET", "/access/keys", {"keys": [VIEW]})
    risk.says("GET", key_path(), VIEW)
    risk.says("POST", key_path("limit"), VIEW)
    risk.says("POST", key_path("end-sessions"), {"key_id": KEY_ID, **ALL})
    found = trade(risk, "key", "list", "--account", "alice")
    assert found.stdout.splitlines()[1].split() == [KEY_ID, "erin", "alice", "read,", "trade", "live", "-", "100", "200", "-", "desk"]
    assert risk.asked[0].query == {"account": "alice"}
    assert "scopes      read, trade" in trade(risk, "key", "show", KEY_ID).stdout
    assert "burst    200" in trade(risk, "key", "limit", KEY_ID, "--rate", "100", "--burst", "200").stdout
    assert risk.asked[-1].json == {"rate": 100, "burst": 200}
    assert trade(risk, "key", "end-sessions", KEY_ID).stdout.startswith(f"Sessions ended: {KEY_ID}. oms acknowledged")


# Keys that sign


def pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_a_public_key_is_read_in_the_forms_that_programs_write(risk: FakeOms, tmp_path: Path) -> None:
    risk.says("POST", "/access/keys", {**VIEW, **ALL, "kind": "public_key"})
    key = ed25519.Ed25519PrivateKey.generate()
    raw = base64.b64encode(key.public_key().public_bytes_raw())
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" erin@desk\n"
    for content in (pem(key), line, raw, raw + b"\n"):
        (tmp_path / "key.pub").write_bytes(content)
        found = trade(risk, *CREATE, "--scopes", "read", "--public-key", str(tmp_path / "key.pub"))
        assert (found.exit_code, found.stdout) == (0, f"{KEY_ID}\n"), found.stderr
        assert risk.asked[-1].json["public_key"] == raw.decode()


def test_what_is_no_public_key_is_not_sent(risk: FakeOms, tmp_path: Path) -> None:
    private = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    wrong = (private, pem(x25519.X25519PrivateKey.generate()), b"ssh-rsa AAAA", base64.b64encode(bytes(31)), b"\xff\x00", b"", None)
    for content in wrong:
        (tmp_path / "key.pub").unlink(missing_ok=True)
        if content is not None:
            (tmp_path / "key.pub").write_bytes(content)
        found = trade(risk, *CREATE, "--scopes", "read", "--public-key", str(tmp_path / "key.pub"))
        assert (found.exit_code, risk.asked) == (2, [])
        assert isinstance(found.exception, SystemExit)


def test_a_pair_is_made_on_this_machine_and_its_file_is_never_overwritten(risk: FakeOms, tmp_path: Path) -> None:
    file = tmp_path / "erin.pem"
    found = trade(risk, "key", "generate", "--out", str(file))
    assert found.exit_code == 0, found.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    private = load_pem_private_key(file.read_bytes(), None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    assert base64.b64decode(found.stdout) == private.public_key().public_bytes_raw()
    assert trade(risk, "key", "generate", "--out", str(file)).exit_code == 1
    assert load_pem_private_key(file.read_bytes(), None) is not None
    assert risk.asked == []
    assert os.listdir(tmp_path) == ["erin.pem"]


# Accounts, the caller, the log


def test_accounts_are_opened_closed_and_listed(risk: FakeOms) -> None:
    risk.says("POST", "/access/accounts", {"account": "alice", "open": True, **ALL})
    risk.says("POST", "/access/accounts/alice/close", {"account": "alice", "open": False, **NOT_ALL}, status=202)
    risk.says("GET", "/access/accounts", {"accounts": [{"account": "alice", "open": False, "keys": 2}]})
    opened = trade(risk, "account", "create", "alice")
    assert (opened.exit_code, opened.stdout) == (0, "Open: alice. oms acknowledged, risk acknowledged.\n")
    closed = trade(risk, "account", "close", "alice", "--reason", "left")
    assert (closed.exit_code, closed.stdout.splitlines()[0]) == (3, "Closed: alice. oms has not acknowledged, exeq is not running.")
    assert [asked.json for asked in risk.asked] == [{"account": "alice"}, {"reason": "left"}]
    rows = [line.split() for line in trade(risk, "account", "list").stdout.splitlines()]
    assert rows == [["account", "open", "keys"], ["alice", "no", "2"]]


def test_whoami_shows_the_key_and_its_rights(risk: FakeOms) -> None:
    me = {"key_id": KEY_ID, "owner": "erin", "account": "alice", "scopes": ["read"], "expires_at": None, "mode": "keys"}
    risk.says("GET", "/access/me", {**me, "rate": {"limit": 100, "remaining": 99, "reset": 1}})
    said = dict(line.split(None, 1) for line in trade(risk, "whoami").stdout.splitlines())
    assert (said["owner"], said["scopes"], said["rate_remaining"]) == ("erin", "read", "99")
    risk.answers.clear()
    risk.says("GET", "/access/me", {**me, "key_id": "local", "owner": "local", "mode": "open", "rate": None})
    assert trade(risk, "whoami").stdout.startswith("key_id   local\n")


def test_the_log_of_access(risk: FakeOms) -> None:
    at = "2026-11-30T08:00:00.000000Z"
    refused = {"at": at, "type": "Refused", "who": "-", "key_id": KEY_ID, "code": "unauthorized", "address": "10.0.0.7", "service": "oms"}
    risk.says("GET", "/access/log", {"log": [refused, {"at": at, "type": "KeyRevoked", "who": "erin", "key_id": KEY_ID, "reason": "lost"}]})
    said = trade(risk, "access", "log", "--key", KEY_ID, "--since", "2026-11-30", "--limit", "5").stdout.splitlines()
    assert risk.asked[0].query == {"key": KEY_ID, "since": "2026-11-30", "limit": "5"}
    assert said[1].split() == [at, "Refused", "-", KEY_ID, "-", "unauthorized", "10.0.0.7", "oms", "-"]
    assert said[2].split() == [at, "KeyRevoked", "erin", KEY_ID, "-", "-", "-", "-", "lost"]
