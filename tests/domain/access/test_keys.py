"""Keys and accounts as their events made them."""

import pytest

from domain.access.events import (
    AccessAccepted,
    AccessChange,
    AccountClosed,
    AccountOpened,
    AdminKeyRequested,
    KeyCreated,
    KeyLimited,
    KeyRevoked,
    KeyRotated,
    SessionsEnded,
    SessionStarted,
)
from domain.access.keys import KeyRing
from domain.access.scopes import AccessScope, against, mask_of, scopes_of
from domain.four_eyes import SECOND_STEP_MAX_NS

ONE, OTHER = "11" * 32, "22" * 32


def created(version: int = 1, at: int = 10, **more: object) -> KeyCreated:
    own: dict[str, object] = {"key_id": "PK1", "owner": "erin", "account": "a", "scopes": ("trade", "read"), "digest": ONE}
    return KeyCreated(version=version, at=at, who="operator", rate=100, burst=200, **(own | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scopes", "account", "refused"),
    [
        ("trade read", "a", ""),
        ("", "a", "at least one"),
        ("admin trade", "a", "never in one key"),
        ("admin cancel", "*", "never in one key"),
        ("admin read", "a", ""),
        ("risk ops", "*", ""),
        ("risk read", "*", "read is for one account"),
    ],
)
def test_which_scopes_go_together(scopes: str, account: str, refused: str) -> None:
    found = against(map(AccessScope, scopes.split()), account)
    assert (found or "").count(refused) >= bool(refused)
    assert (found is None) == (not refused)


def test_trade_contains_cancel_and_a_mask_says_its_scopes() -> None:
    assert scopes_of(mask_of([AccessScope.TRADE])) == (AccessScope.CANCEL, AccessScope.TRADE)


def test_a_key_lives_until_it_expires_or_is_revoked() -> None:
    keys = KeyRing()
    keys.apply(created(expires_at=100))
    key = keys.by_id["PK1"]
    assert (key.live(99), key.live(100)) == (True, False)
    keys.apply(KeyRevoked(version=2, at=50, who="operator", key_id="PK1"))
    assert not key.live(60)


def test_a_rotated_key_has_two_secrets_for_a_while() -> None:
    keys = KeyRing()
    keys.apply(created())
    keys.apply(KeyRotated(version=2, at=20, who="operator", key_id="PK1", digest=OTHER, old_until=30))
    key = keys.by_id["PK1"]
    assert (key.digest.hex(), key.old_digest.hex(), key.old_until) == (OTHER, ONE, 30)


def test_other_changes_of_a_key() -> None:
    keys = KeyRing()
    changes: tuple[AccessChange, ...] = (
        created(),
        KeyLimited(version=2, at=20, who="operator", key_id="PK1", rate=5, burst=6),
        SessionsEnded(version=3, at=30, who="operator", key_id="PK1"),
        KeyRevoked(version=4, at=40, who="operator", key_id="PK2"),
    )
    for event in changes:
        keys.apply(event)
    key = keys.by_id["PK1"]
    assert (key.rate, key.burst, key.live(50), keys.version, len(keys.history)) == (5, 6, True, 4, 4)


def test_a_session_ends_with_its_time_by_itself_with_the_others_of_its_key_and_with_the_key() -> None:
    keys, one, other, late = KeyRing(), bytes.fromhex(ONE), bytes.fromhex(OTHER), b"l" * 32
    keys.apply(created())
    for number, digest in enumerate((one, other), 2):
        keys.apply(SessionStarted(version=number, at=20, who="erin", key_id="PK1", digest=digest.hex(), expires_at=100))
    keys.apply(SessionsEnded(version=4, at=30, who="erin", key_id="PK1", digest=ONE))
    assert (set(keys.sessions), keys.sessions_of("PK1", 99), keys.sessions_of("PK1", 100)) == ({other}, 1, 0)
    keys.apply(SessionStarted(version=5, at=100, who="erin", key_id="PK1", digest=late.hex(), expires_at=200))
    assert set(keys.sessions) == {late}, "what is over takes no memory"
    keys.apply(SessionsEnded(version=6, at=110, who="erin", key_id="PK1"))
    assert not keys.sessions
    keys.apply(SessionStarted(version=7, at=120, who="erin", key_id="PK1", digest=ONE, expires_at=200))
    keys.apply(KeyRevoked(version=8, at=130, who="operator", key_id="PK1"))
    assert not keys.sessions


def test_a_request_for_an_admin_key_waits_ten_minutes_and_is_used_once() -> None:
    keys = KeyRing()
    keys.apply(AdminKeyRequested(version=1, at=1, who="ann", token="t1", request="x"))
    keys.apply(AdminKeyRequested(version=2, at=1 + SECOND_STEP_MAX_NS, who="ann", token="t2", request="y"))
    assert set(keys.asked) == {"t1", "t2"}
    keys.apply(AdminKeyRequested(version=3, at=2 + SECOND_STEP_MAX_NS, who="ann", token="t3", request="z"))
    keys.apply(created(version=4, scopes=("admin",), token="t3"))
    assert set(keys.asked) == {"t2"}


def test_when_access_events_were_lost_only_the_key_of_the_command_line_lives_on() -> None:
    keys = KeyRing()
    keys.apply(created(note="command line"))
    keys.apply(created(version=2, key_id="PK2", command_line=True))
    keys.apply(SessionStarted(version=3, at=20, who="erin", key_id="PK2", digest=ONE, expires_at=100))
    skipped = AccessAccepted(version=4, at=30, who="ann", reason="skipped", goes_on_from=3, acknowledged_to=3, lost=False)
    keys.apply(skipped)
    assert (keys.by_id["PK1"].live(40), len(keys.sessions)) == (True, 1)
    keys.apply(AccessAccepted(version=5, at=40, who="ann", reason="restored", goes_on_from=4, acknowledged_to=9))
    assert (keys.by_id["PK1"].live(50), keys.by_id["PK2"].live(50), len(keys.sessions)) == (False, True, 0)


def test_an_account_is_open_until_it_is_closed() -> None:
    keys = KeyRing()
    assert keys.may_trade("a"), "in open mode an account exists by being named"
    keys.apply(AccountOpened(version=1, at=1, who="operator", account="a"))
    assert keys.may_trade("a")
    keys.apply(AccountClosed(version=2, at=2, who="operator", account="a"))
    assert not keys.may_trade("a")
