"""Keys and accounts as their events made them."""

import pytest

from domain.access.events import AccountClosed, AccountOpened, KeyCreated, KeyLimited, KeyRevoked, KeyRotated, SessionsEnded
from domain.access.keys import Keys
from domain.access.scopes import AccessScope, against, mask_of, scopes_of

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
    keys = Keys()
    keys.apply(created(expires_at=100))
    key = keys.by_id["PK1"]
    assert (key.live(99), key.live(100)) == (True, False)
    keys.apply(KeyRevoked(version=2, at=50, who="operator", key_id="PK1"))
    assert not key.live(60)


def test_a_rotated_key_has_two_secrets_for_a_while() -> None:
    keys = Keys()
    keys.apply(created())
    keys.apply(KeyRotated(version=2, at=20, who="operator", key_id="PK1", digest=OTHER, old_until=30))
    key = keys.by_id["PK1"]
    assert (key.digest.hex(), key.old_digest.hex(), key.old_until) == (OTHER, ONE, 30)


def test_other_changes_of_a_key() -> None:
    keys = Keys()
    for event in (
        created(),
        KeyLimited(version=2, at=20, who="operator", key_id="PK1", rate=5, burst=6),
        SessionsEnded(version=3, at=30, who="operator", key_id="PK1"),
        KeyRevoked(version=4, at=40, who="operator", key_id="PK2"),
    ):
        keys.apply(event)
    key = keys.by_id["PK1"]
    assert (key.rate, key.burst, key.sessions_from, keys.version, len(keys.history)) == (5, 6, 30, 4, 4)


def test_an_account_is_open_until_it_is_closed() -> None:
    keys = Keys()
    assert not keys.may_trade("a")
    keys.apply(AccountOpened(version=1, at=1, who="operator", account="a"))
    assert keys.may_trade("a")
    keys.apply(AccountClosed(version=2, at=2, who="operator", account="a"))
    assert not keys.may_trade("a")
