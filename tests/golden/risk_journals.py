"""Golden journals of access and of controls: every event that risk records, with every field, and what each commit makes of them."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_args

import msgspec

from adapters.chain import GENESIS, following
from adapters.codec import CommitCodec
from adapters.controls import ACCESS_COMMITS, CONTROL_COMMITS
from domain.access import events as a
from domain.access.keys import KeyRing
from domain.order.events import Foreign
from domain.risk import controls as c
from tests.given import NOW, SECOND
from tests.golden import HOME, unseen

E = TypeVar("E", bound=msgspec.Struct)
HOUR: Final = 3600 * SECOND
SKIPPED: Final = (Foreign(seq=7, sha256="0f" * 32),)
"""A message that was no commit."""
CHANGES: Final = get_args(a.AccessChange)
CONTROLS: Final = get_args(c.ControlEvent)


class Recorded(msgspec.Struct, frozen=True):
    """What is written beside a journal: its last chain value, and the state after each commit."""

    chain: str
    states: list[Any]


class RiskScenes(NamedTuple, Generic[E]):
    """A kind of journal in a folder of its own. `fold` yields the state after each commit."""

    folder: str
    kinds: tuple[type[msgspec.Struct], ...]
    codec: CommitCodec[E]
    journal: Callable[[], list[tuple[E, ...]]]
    fold: Callable[[Sequence[Sequence[E]]], list[Any]]

    def names(self) -> list[str]:
        return sorted(file.stem for file in (HOME / self.folder).glob("*.jsonl"))

    def payloads(self, name: str) -> list[bytes]:
        """The commits, byte for byte."""
        return (HOME / self.folder / f"{name}.jsonl").read_bytes().splitlines()

    def recorded(self, name: str) -> Recorded:
        return msgspec.json.decode((HOME / self.folder / f"{name}.json").read_bytes(), type=Recorded)

    def replayed(self, journal: Sequence[bytes]) -> Recorded:
        """What today's code makes of it, in the form in which it is written."""
        head = GENESIS
        for seq, payload in enumerate(journal, 1):
            head = msgspec.structs.replace(head, seq=seq, n=seq, chain=following(head, payload))
        states = self.fold([self.codec.decode(payload).events for payload in journal])
        return Recorded(head.chain, msgspec.json.decode(msgspec.json.encode(states)))

    def written(self) -> list[bytes]:
        """The scenes as today's program journals them."""
        return [self.codec.encode(0, n, events) for n, events in enumerate(self.journal(), 1)]

    def never_seen(self) -> set[str]:
        events = [event for name in self.names() for payload in self.payloads(name) for event in self.codec.decode(payload).events]
        return unseen(self.kinds, events)


class Pen:
    """Counts versions and seconds, as risk does when it records."""

    def __init__(self, version: int = 0) -> None:
        self.version = version

    def __call__(self, kind: type[E], **fields: Any) -> E:
        self.version += 1
        common = {"version": self.version, "at": NOW + self.version * SECOND, "who": "erin", "reason": "a scene"}
        return kind(**(common | fields))


def key_id(letter: str) -> str:
    return "PK" + letter * 18


def access() -> list[tuple[a.AccessChange, ...]]:
    """Accounts and keys; two owners and an admin key; sessions; a lost end; a skipped message."""
    record, digest = Pen(), [f"{number:02x}" * 32 for number in range(10)]
    until = NOW + HOUR
    rates: dict[str, Any] = {"rate": 100, "burst": 200}
    wide = {"networks": ("10.1.0.0/16", "2001:db8::/32"), "expires_at": until, "note": "desk", **rates}
    signs = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    alice, boss, bob, cli = key_id("A"), key_id("B"), key_id("C"), key_id("D")
    of_cli = {"scopes": ("risk", "ops", "audit", "admin"), "command_line": True, **rates}
    return [
        (
            record(a.KeyCreated, key_id=cli, owner="operator", account="*", digest=digest[0], **of_cli),
            record(a.AccountOpened, account="alice"),
            record(a.KeyCreated, key_id=alice, owner="erin", account="alice", scopes=("trade", "read"), digest=digest[1], **wide),
            record(a.KeyCreated, key_id=bob, owner="bo", account="bob", scopes=("read",), public_key=signs, **rates),
            record(a.AccountOpened, account="bob"),
            record(a.AccountClosed, account="bob"),
        ),
        (
            record(a.AdminKeyRequested, token="first", request=digest[2]),
            record(a.AdminKeyRequested, token="second", request=digest[3]),
            record(a.KeyCreated, key_id=boss, owner="dora", account="*", scopes=("admin",), digest=digest[4], token="first", **rates),
            record(a.KeyLimited, key_id=alice, rate=5, burst=9),
        ),
        (
            record(a.SessionStarted, key_id=alice, digest=digest[5], expires_at=until),
            record(a.SessionStarted, key_id=bob, digest=digest[6], expires_at=until),
            record(a.SessionStarted, key_id=bob, digest=digest[7], expires_at=until),
            record(a.SessionsEnded, key_id=bob, digest=digest[6]),
            record(a.KeyRotated, key_id=alice, digest=digest[8], old_until=until),
        ),
        (record(a.SessionsEnded, key_id=bob), record(a.KeyRevoked, key_id=alice, cancel_orders=True)),
        (record(a.AccessAccepted, goes_on_from=5, acknowledged_to=6),),
        (record(a.AccessAccepted, goes_on_from=8, acknowledged_to=7, lost=False, skipped=SKIPPED),),
    ]


def _access_states(commits: Sequence[Sequence[a.AccessChange]]) -> list[Any]:
    ring, states = KeyRing(), []
    for events in commits:
        for event in events:
            ring.apply(event)
        sessions = {digest.hex(): each for digest, each in ring.sessions.items()}
        state = {"accounts": ring.accounts, "keys": list(ring.by_id.values()), "sessions": sessions, "asked": list(ring.asked.values())}
        states.append(msgspec.to_builtins({"version": ring.version, **state}))
    return states


def controls() -> list[tuple[c.ControlEvent, ...]]:
    """A catalogue, blocks, kills, limits that two people change, a lost end, a skipped message."""
    record = Pen(1)
    old = c.LimitSet(order_notional_max=Decimal(50_000))
    new = c.LimitSet(
        order_notional_max=Decimal("1e5"),
        order_quantity_max=Decimal("2.5"),
        position_notional_max=Decimal(200_000),
        concentration_max=Decimal("0.25"),
        var_max=Decimal("1234.56"),
        short_allowed=False,
    )
    rates, listed = {"USD": Decimal(1), "USDT": Decimal("0.9995")}, {"BTCUSDT": "USDT", "SPY": "USD"}
    return [
        (
            record(c.CatalogueChanged, rates=rates, listed=listed),
            record(c.CatalogueChanged, delisted=("SPY",)),
            record(c.SymbolBlocked, symbol="BTCUSDT"),
            record(c.SymbolBlocked, symbol="SPY"),
            record(c.SymbolUnblocked, symbol="SPY"),
        ),
        (
            record(c.KillThrown, scope="account:alice"),
            record(c.KillThrown, scope="venue:PAPER_A", local=True),
            record(c.ArmRequested, scope="account:alice", token="first"),
            record(c.ArmRequested, scope="venue:PAPER_A", token="second"),
            record(c.Armed, scope="account:alice", token="first", who="bo"),
            record(c.AccountSuspended, account="alice"),
            record(c.AccountSuspended, account="bob"),
            record(c.AccountResumed, account="alice"),
        ),
        (
            record(c.LimitsProposed, account="alice", token="third", limits_version=1, symbol="SPY", old=old, new=new),
            record(c.LimitsProposed, account="bob", token="fourth", limits_version=1, new=new),
            record(c.LimitsChanged, account="alice", symbol="SPY", old=old, new=new, token="third", who="bo"),
            record(c.LimitsChanged, account="alice", new=old),
        ),
        (record(c.ControlsAccepted, goes_on_from=4, acknowledged_to=6),),
        (record(c.ControlsAccepted, goes_on_from=8, acknowledged_to=7, lost=False, skipped=SKIPPED),),
    ]


def _control_states(commits: Sequence[Sequence[c.ControlEvent]]) -> list[Any]:
    found, states = c.Controls(), []
    for events in commits:
        for event in events:
            found.apply(event)
        kept = {name: list(getattr(found, name).values()) for name in ("blocks", "kills", "arming", "limits", "proposals")}
        listings = {"usd_rates": found.listings.rates(), "delisted": sorted(found.listings.delisted)}
        if found.suspensions:  # a journal without any has the states that were recorded before they were known
            kept["suspensions"] = list(found.suspensions.values())
        states.append(msgspec.to_builtins({"version": found.version, "limits_version": found.limits_version, **kept, **listings}))
    return states


ACCESS: Final[RiskScenes[a.AccessChange]] = RiskScenes("access", CHANGES, ACCESS_COMMITS, access, _access_states)
CONTROL: Final[RiskScenes[c.ControlEvent]] = RiskScenes("controls", CONTROLS, CONTROL_COMMITS, controls, _control_states)
RISK_JOURNALS: Final[tuple[RiskScenes[Any], ...]] = (ACCESS, CONTROL)
