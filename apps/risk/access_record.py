"""Recording of the command line's key at startup. A program that can read the secrets of this installation has all rights in it."""

from functools import partial
from typing import Any, Final

from adapters.clock import SystemClock
from apps.connections import nats
from apps.journal.subscription import JournalSubscription
from apps.risk.control_log import ControlLog
from apps.runtime.chassis import Chassis
from config.settings import RiskSettings
from domain.access.events import AccessChange, KeyCreated, KeyRevoked
from domain.access.keys import KeyRing
from domain.access.scopes import EVERY_ACCOUNT, OF_ALL_ACCOUNTS, AccessScope
from domain.ports import Journal

OWNER: Final = "operator"
RATE: Final = 1000
BURST: Final = 2000


async def record_cli_key(
    chassis: Chassis[RiskSettings], journal: Journal, follower: JournalSubscription[Any], record: ControlLog[AccessChange]
) -> None:
    """Wait until the access events are read to their end. Record the key of the configuration, and revoke an older one."""
    await follower.wait_for((await nats.patiently(journal.head)).seq)
    await nats.patiently(partial(_recorded, chassis, record))


async def _recorded(chassis: Chassis[RiskSettings], record: ControlLog[AccessChange]) -> None:
    own, keys = chassis.settings.access.cli_key, chassis.keys
    if own is None:
        return
    key_id, hashed = own
    if key_id not in keys.by_id:
        await record.record(partial(_created, key_id, hashed))
        chassis.log.info("the key of the command line is recorded", key_id=key_id)
    elif keys.by_id[key_id].revoked_at is not None:
        chassis.log.warning("the key of the command line is revoked; for another one: trade secrets init --renew", key_id=key_id)
    for old in _replaced(keys, key_id):
        await record.record(partial(_revoked, old))
        chassis.log.warning("an older key of the command line is revoked", key_id=old)


def _replaced(keys: KeyRing, key_id: str) -> list[str]:
    return [key.key_id for key in keys.by_id.values() if key.command_line and key.revoked_at is None and key.key_id != key_id]


def _created(key_id: str, hashed: str, version: int) -> KeyCreated:
    return KeyCreated(
        version=version,
        at=SystemClock().now_ns(),
        who=OWNER,
        reason="key of the command line",
        key_id=key_id,
        owner=OWNER,
        account=EVERY_ACCOUNT,
        scopes=tuple(scope.value for scope in AccessScope if scope in OF_ALL_ACCOUNTS),
        digest=hashed,
        rate=RATE,
        burst=BURST,
        note="command line",
        command_line=True,
    )


def _revoked(key_id: str, version: int) -> KeyRevoked:
    return KeyRevoked(
        version=version, at=SystemClock().now_ns(), who=OWNER, reason="replaced by a new key of the command line", key_id=key_id
    )
