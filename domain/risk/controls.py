"""Controls: what operators forbid and limit while the market runs, as a fold of control events. Read before an order passes or is sent."""

import unicodedata
from collections import deque
from decimal import Decimal
from typing import Final

import msgspec

from domain.four_eyes import in_time
from domain.market.listings import Change, Listings
from domain.order.events import Foreign

ALL: Final = "all"
HISTORY_KEPT_MAX: Final = 1000
"""How many control events are kept for readers; all of them are in the journal."""

OPERATOR: Final = "operator"
NO_REASON: Final = "no reason given"
PROPOSALS_MAX: Final = 1000
"""How many proposals wait at once; the oldest one is dropped for a further one."""
REASON_MAX: Final = 200
WHO_MAX: Final = 64
"""The most characters of a reason, and of who gave it."""

KILLED: Final = "killed"
BLOCKED: Final = "symbol_blocked"
SUSPENDED: Final = "account_suspended"


class Control(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """Who decided what, when (nanoseconds UTC) and why. `version` counts the controls without gaps; 1 is the configuration alone."""

    version: int
    at: int
    who: str
    reason: str


class SymbolBlocked(Control, frozen=True, kw_only=True, tag=True, gc=False):
    symbol: str


class SymbolUnblocked(Control, frozen=True, kw_only=True, tag=True, gc=False):
    symbol: str


class KillThrown(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """A kill switch was set.

    `scope` is `all`, `account:A`, `symbol:S` or `venue:V`. `local`: set at exeq itself, which reports it afterwards.
    """

    scope: str
    local: bool = False


class ArmRequested(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """The first of two steps to arm. The second step names the token."""

    scope: str
    token: str


class Armed(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """The second step: orders of the scope may pass again."""

    scope: str
    token: str


class AccountSuspended(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """An account takes no new orders, at its own wish. Its open orders work on and may be cancelled: this is no kill switch."""

    account: str


class AccountResumed(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """The account takes orders again. Its owner alone decides that, as it decided to suspend it."""

    account: str


class LimitSet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The limits that may differ from the configuration's. None: no override. Money is USD, `concentration_max` a fraction."""

    order_notional_max: Decimal | None = None
    order_quantity_max: Decimal | None = None
    position_notional_max: Decimal | None = None
    concentration_max: Decimal | None = None
    var_max: Decimal | None = None
    short_allowed: bool | None = None


class LimitsProposed(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """The first of two steps to change limits of one account, or of one of its symbols. Nothing is in force before the second step.

    `limits_version`: the version of the limits that the proposal is based on.
    """

    account: str
    token: str
    limits_version: int
    symbol: str = ""
    old: LimitSet = LimitSet()
    new: LimitSet = LimitSet()


class LimitsChanged(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """Limits of one account, or of one of its symbols (`symbol` is empty otherwise), in place of the old ones.

    `token` names the proposal that another person made before; it is empty if none was needed.
    """

    account: str
    symbol: str = ""
    old: LimitSet = LimitSet()
    new: LimitSet = LimitSet()
    token: str = ""


class ControlsAccepted(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """An operator accepted that the journal of controls continues from a sequence, past foreign messages (`skipped`).

    `lost`: commits up to another sequence had been acknowledged. It is then unknown what was forbidden in between, so everything is: as if
    the kill switch had been set for `all`, which two people must arm.
    """

    goes_on_from: int
    acknowledged_to: int
    lost: bool = True
    skipped: tuple[Foreign, ...] = ()


class CatalogueChanged(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """risk started with another catalogue. Only changes: USD rates by currency, currencies by symbol, and the symbols that are gone."""

    rates: dict[str, Decimal] = {}
    listed: dict[str, str] = {}
    delisted: tuple[str, ...] = ()


ControlEvent = (
    SymbolBlocked
    | SymbolUnblocked
    | KillThrown
    | ArmRequested
    | Armed
    | LimitsProposed
    | LimitsChanged
    | ControlsAccepted
    | CatalogueChanged
    | AccountSuspended
    | AccountResumed
)


def words_of_kill(reason: object, who: object) -> tuple[str, str]:
    """Return reason and author of a kill, as one printable line each. A kill is never refused for its texts, whatever they are."""
    return _line(reason, REASON_MAX) or NO_REASON, _line(who, WHO_MAX) or OPERATOR


def _line(given: object, most: int) -> str:
    """Return one printable line of at most `most` characters; empty if nothing printable was given."""
    text = unicodedata.normalize("NFC", given) if isinstance(given, str) else ""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:most].rstrip()


def scopes_of(account: str, symbol: str, venue: str | None = None) -> tuple[str, ...]:
    """Return every scope of an order, the widest first."""
    found = (ALL, f"account:{account}", f"symbol:{symbol}")
    return found if venue is None else (*found, f"venue:{venue}")


class Controls:
    """What is forbidden now. The last event wins; a repeat changes only its author and reason.

    `limits_version` is the version at which any limits last changed.
    """

    def __init__(self) -> None:
        self.version = 1
        self.limits_version = 1
        self.blocks: dict[str, SymbolBlocked] = {}
        self.kills: dict[str, KillThrown] = {}
        self.arming: dict[str, ArmRequested] = {}
        self.suspensions: dict[str, AccountSuspended] = {}
        """By account."""
        self.limits: dict[tuple[str, str], LimitsChanged] = {}
        self.proposals: dict[tuple[str, str], LimitsProposed] = {}
        """The newest proposal for each account and symbol, oldest first. It may have expired: `pending` leaves those out."""
        self.listings = Listings()
        self.history: deque[ControlEvent] = deque(maxlen=HISTORY_KEPT_MAX)

    def apply(self, event: ControlEvent) -> None:
        self.version = event.version
        self.history.append(event)
        match event:
            case SymbolBlocked():
                self.blocks[event.symbol] = event
            case SymbolUnblocked():
                self.blocks.pop(event.symbol, None)
            case KillThrown():
                self.kills[event.scope] = event
                self.arming.pop(event.scope, None)  # a new kill voids an earlier request to arm
            case ArmRequested():
                self.arming[event.scope] = event
            case Armed():
                self.kills.pop(event.scope, None)
                self.arming.pop(event.scope, None)
            case LimitsProposed():
                self._propose(event)
            case LimitsChanged():
                self.limits[event.account, event.symbol] = event
                self.limits_version = event.version
                self._end_proposals(event)
            case CatalogueChanged():
                self.listings.apply(event.at, Change(event.rates, event.listed, event.delisted))
            case ControlsAccepted():
                self._accepted(event)
            case AccountSuspended():
                self.suspensions[event.account] = event
            case AccountResumed():
                self.suspensions.pop(event.account, None)

    def pending(self, now_ns: int) -> list[LimitsProposed]:
        """Return the proposals that another person may still confirm, oldest first."""
        return [each for each in self.proposals.values() if in_time(each.at, now_ns)]

    def _propose(self, event: LimitsProposed) -> None:
        self.proposals.pop((event.account, event.symbol), None)
        self.proposals = {(each.account, each.symbol): each for each in self.pending(event.at)[1 - PROPOSALS_MAX :]}
        self.proposals[event.account, event.symbol] = event

    def _end_proposals(self, change: LimitsChanged) -> None:
        """End the proposals whose limits have changed: those of an account are also the ones of its symbols."""
        self.proposals = {
            key: each for key, each in self.proposals.items() if not (each.account == change.account and change.symbol in ("", each.symbol))
        }

    def _accepted(self, event: ControlsAccepted) -> None:
        if event.lost:
            self.kills[ALL] = KillThrown(version=event.version, at=event.at, who=event.who, reason=event.reason, scope=ALL)
            self.arming.pop(ALL, None)
            self.proposals.clear()

    def blocked(self, symbol: str) -> bool:
        return symbol in self.blocks

    def killed(self, account: str, symbol: str, venue: str | None = None) -> bool:
        """Return whether the kill switch is set for any scope of the order. No cost while none is set."""
        return bool(self.kills) and any(scope in self.kills for scope in scopes_of(account, symbol, venue))

    def forbids(self, account: str, symbol: str, venue: str | None = None) -> str | None:
        """Return the reason why no such order may pass or be sent; None if it may."""
        if self.killed(account, symbol, venue):
            return KILLED
        return BLOCKED if symbol in self.blocks else None

    def refuses(self, account: str, symbol: str) -> str | None:
        """Return the reason why no new order of this kind is accepted: it is forbidden, or its account is suspended. None if it may be."""
        return self.forbids(account, symbol) or (SUSPENDED if account in self.suspensions else None)
