"""What people forbid and bound while the market runs: a fold of control events. Whoever lets an order pass or sends it asks here."""

import unicodedata
from collections import deque
from decimal import Decimal
from typing import Final

import msgspec

from domain.market.listings import Change, Listings
from domain.order.events import Foreign

ALL: Final = "all"
HISTORY_KEPT_MAX: Final = 1000
"""Control events kept for readers; all of them are in the journal."""

OPERATOR: Final = "operator"
NO_REASON: Final = "no reason given"
REASON_MAX: Final = 200
WHO_MAX: Final = 64
"""Characters of a reason, and of who gave it."""

KILLED: Final = "killed"
BLOCKED: Final = "symbol_blocked"


class Control(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", gc=False):
    """Who decided what, when (nanoseconds UTC) and why. `version` counts the controls without holes; 1 is the configuration alone."""

    version: int
    at: int
    who: str
    reason: str


class SymbolBlocked(Control, frozen=True, kw_only=True, tag=True, gc=False):
    symbol: str


class SymbolUnblocked(Control, frozen=True, kw_only=True, tag=True, gc=False):
    symbol: str


class KillThrown(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """`scope` is `all`, `account:A`, `symbol:S` or `venue:V`. `local`: thrown at exeq itself, which tells of it afterwards."""

    scope: str
    local: bool = False


class ArmRequested(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """The first of two steps. Whoever takes the second names the token."""

    scope: str
    token: str


class Armed(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """The second step: orders of the scope may pass again."""

    scope: str
    token: str


class LimitSet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The limits that may differ from the configuration's. None: as for everybody. Money is USD, `concentration_max` a fraction."""

    order_notional_max: Decimal | None = None
    order_quantity_max: Decimal | None = None
    position_notional_max: Decimal | None = None
    concentration_max: Decimal | None = None
    var_max: Decimal | None = None
    short_allowed: bool | None = None


class LimitsChanged(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """Limits of one account, or of one symbol of it (else `symbol` is empty), in place of the old ones."""

    account: str
    symbol: str = ""
    old: LimitSet = LimitSet()
    new: LimitSet = LimitSet()


class ControlsAccepted(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """An operator accepted that the journal of controls continues from a sequence, past foreign messages (`skipped`).

    `lost`: although it had been acknowledged up to another. What was forbidden in between is not known then, so everything is: as if the
    switch had been thrown for `all`, which two people arm.
    """

    goes_on_from: int
    acknowledged_to: int
    lost: bool = True
    skipped: tuple[Foreign, ...] = ()


class CatalogueChanged(Control, frozen=True, kw_only=True, tag=True, gc=False):
    """risk began with another catalogue: USD rates by currency, currencies by symbol, and the symbols that are gone. Only what is new."""

    rates: dict[str, Decimal] = {}
    listed: dict[str, str] = {}
    delisted: tuple[str, ...] = ()


ControlEvent = SymbolBlocked | SymbolUnblocked | KillThrown | ArmRequested | Armed | LimitsChanged | ControlsAccepted | CatalogueChanged


def same_person(one: str, other: str) -> bool:
    """Two names that differ in case, in space or in the form of their letters only are those of one person."""
    return _plain_name(one) == _plain_name(other)


def _plain_name(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(folded.split())


def words_of_kill(reason: object, who: object) -> tuple[str, str]:
    """Reason and who of a kill, as one printable line each: a kill is never refused for its words, whatever they are."""
    return _line(reason, REASON_MAX) or NO_REASON, _line(who, WHO_MAX) or OPERATOR


def _line(said: object, most: int) -> str:
    """Empty when nothing printable was said."""
    text = unicodedata.normalize("NFC", said) if isinstance(said, str) else ""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:most].rstrip()


def scopes_of(account: str, symbol: str, venue: str | None = None) -> tuple[str, ...]:
    """Every scope that an order is in, the widest first."""
    found = (ALL, f"account:{account}", f"symbol:{symbol}")
    return found if venue is None else (*found, f"venue:{venue}")


class Controls:
    """What is forbidden now. The last word counts; repeating it changes only who said it last and why.

    `limits_version` is the version at which any limits last changed.
    """

    def __init__(self) -> None:
        self.version = 1
        self.limits_version = 1
        self.blocks: dict[str, SymbolBlocked] = {}
        self.kills: dict[str, KillThrown] = {}
        self.arming: dict[str, ArmRequested] = {}
        self.limits: dict[tuple[str, str], LimitsChanged] = {}
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
                self.arming.pop(event.scope, None)  # thrown again: what was asked for before does not arm it
            case ArmRequested():
                self.arming[event.scope] = event
            case Armed():
                self.kills.pop(event.scope, None)
                self.arming.pop(event.scope, None)
            case LimitsChanged():
                self.limits[event.account, event.symbol] = event
                self.limits_version = event.version
            case CatalogueChanged():
                self.listings.apply(event.at, Change(event.rates, event.listed, event.delisted))
            case ControlsAccepted():
                self._accepted(event)

    def _accepted(self, event: ControlsAccepted) -> None:
        if event.lost:
            self.kills[ALL] = KillThrown(version=event.version, at=event.at, who=event.who, reason=event.reason, scope=ALL)
            self.arming.pop(ALL, None)

    def blocked(self, symbol: str) -> bool:
        return symbol in self.blocks

    def killed(self, account: str, symbol: str, venue: str | None = None) -> bool:
        """Is the switch thrown on any scope of the order? Free while none is thrown at all."""
        return bool(self.kills) and any(scope in self.kills for scope in scopes_of(account, symbol, venue))

    def forbids(self, account: str, symbol: str, venue: str | None = None) -> str | None:
        """The reason why no such order may pass or be sent; None when it may."""
        if self.killed(account, symbol, venue):
            return KILLED
        return BLOCKED if symbol in self.blocks else None
