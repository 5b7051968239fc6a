"""Where the SVG puts things: twelve boxes on a grid, frames that stand for "any state in here", and every arrow by hand.

An arrow that leaves a frame stands for the same step from every state in its `sources`. Steps that stay where they are become lines
inside the box. What the machine has and this page lacks is printed under the picture, never left out; a test keeps that list empty.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from domain.lifecycle import PENDING, UNROUTED, State

S = State
WIDTH: Final = 1800
HEIGHT: Final = 1050


class Counts(NamedTuple):
    """How many orders are in a state now, and how often a step was taken."""

    states: Mapping[State, int]
    steps: Mapping[tuple[State, str], int]


class Drawn(NamedTuple):
    """One step of the machine."""

    source: State
    trigger: str
    target: State


class Box(NamedTuple):
    x: int
    y: int
    width: int
    height: int


Kind = Literal["request", "service", "venue", "trade", "bust"]
Anchor = Literal["start", "middle", "end"]


class Line(NamedTuple):
    """An arrow through `points`. Its label stands at `at`, one trigger a line, upwards from there; its count at `badge`."""

    kind: Kind
    sources: tuple[State, ...]
    triggers: tuple[str, ...]
    target: State
    points: tuple[tuple[int, int], ...]
    at: tuple[int, int]
    badge: tuple[int, int]
    anchor: Anchor = "middle"


BOXES: Final[Mapping[State, Box]] = {
    S.NEW: Box(70, 130, 180, 76),
    S.RISK_CHECKED: Box(70, 280, 180, 76),
    S.QUEUED: Box(70, 430, 180, 164),
    S.ROUTED: Box(430, 336, 160, 584),
    S.IN_DOUBT: Box(790, 412, 190, 166),
    S.PENDING_CANCEL: Box(790, 638, 190, 112),
    S.PENDING_REPLACE: Box(790, 808, 190, 112),
    S.PARTIALLY_FILLED: Box(1220, 336, 170, 584),
    S.REJECTED: Box(1560, 130, 180, 108),
    S.EXPIRED: Box(1560, 320, 180, 108),
    S.CANCELLED: Box(1560, 580, 180, 108),
    S.FILLED: Box(1560, 780, 180, 108),
}

FRAMES: Final[tuple[tuple[str, Box], ...]] = (
    ("not at a venue", Box(50, 100, 220, 514)),
    ("at a venue", Box(410, 286, 1000, 654)),
    ("may end without a trade", Box(420, 310, 580, 620)),
    ("any state", Box(20, 50, 1760, 980)),
)

WORKING: Final = (S.ROUTED, S.PARTIALLY_FILLED)
AT_VENUE: Final = (*WORKING, *PENDING, S.IN_DOUBT)
NOT_FILLED: Final = tuple(state for state in State if state is not S.FILLED)

LINES: Final[tuple[Line, ...]] = (
    # not at a venue
    Line("service", (S.NEW,), ("risk_pass",), S.RISK_CHECKED, ((160, 206), (160, 280)), (168, 252), (160, 224), "start"),
    Line("service", (S.RISK_CHECKED,), ("enqueue",), S.QUEUED, ((160, 356), (160, 430)), (168, 402), (160, 374), "start"),
    Line(
        "request", UNROUTED, ("cancel",), S.CANCELLED, ((160, 100), (160, 72), (1762, 72), (1762, 634), (1740, 634)), (470, 67), (560, 72)
    ),
    Line("service", (S.NEW,), ("risk_fail",), S.REJECTED, ((250, 150), (1560, 150)), (470, 145), (560, 150)),
    Line("service", (S.QUEUED,), ("no_route",), S.REJECTED, ((250, 444), (300, 444), (300, 182), (1560, 182)), (470, 177), (560, 182)),
    Line(
        "venue",
        (S.QUEUED,),
        ("expire",),
        S.EXPIRED,
        ((250, 462), (336, 462), (336, 214), (1470, 214), (1470, 346), (1560, 346)),
        (470, 209),
        (560, 214),
    ),
    Line("trade", UNROUTED, ("trade_part",), S.PARTIALLY_FILLED, ((270, 246), (1305, 246), (1305, 336)), (470, 241), (570, 246)),
    Line("service", (S.QUEUED,), ("route",), S.ROUTED, ((250, 564), (430, 564)), (330, 559), (380, 564)),
    Line("venue", (S.ROUTED,), ("venue_reject_requeue",), S.QUEUED, ((430, 586), (250, 586)), (340, 604), (340, 586)),
    # between routed and partially_filled
    Line("trade", (S.ROUTED,), ("trade_part",), S.PARTIALLY_FILLED, ((590, 354), (1220, 354)), (690, 349), (750, 354)),
    Line("bust", (S.PARTIALLY_FILLED,), ("bust",), S.ROUTED, ((1220, 388), (590, 388)), (690, 383), (750, 388)),
    # in_doubt
    Line("service", (S.ROUTED,), ("no_answer",), S.IN_DOUBT, ((590, 426), (790, 426)), (690, 421), (690, 438)),
    Line(
        "venue",
        (S.IN_DOUBT,),
        ("venue_ack", "leg_ended", "replaced", "replace_rejected"),
        S.ROUTED,
        ((790, 564), (590, 564)),
        (690, 559),
        (690, 576),
    ),
    Line("service", (S.PARTIALLY_FILLED,), ("no_answer",), S.IN_DOUBT, ((1220, 426), (980, 426)), (1100, 421), (1100, 438)),
    Line(
        "venue",
        (S.IN_DOUBT,),
        ("venue_ack_traded", "trade_part", "leg_ended_traded", "replaced_traded", "replace_rejected_traded"),
        S.PARTIALLY_FILLED,
        ((980, 564), (1220, 564)),
        (1100, 559),
        (1100, 576),
    ),
    # pending_cancel
    Line("request", (S.ROUTED,), ("cancel",), S.PENDING_CANCEL, ((590, 662), (790, 662)), (690, 657), (690, 674)),
    Line("venue", (S.PENDING_CANCEL,), ("cancel_rejected",), S.ROUTED, ((790, 724), (590, 724)), (690, 719), (690, 736)),
    Line("request", (S.PARTIALLY_FILLED,), ("cancel",), S.PENDING_CANCEL, ((1220, 662), (980, 662)), (1100, 657), (1100, 674)),
    Line(
        "venue", (S.PENDING_CANCEL,), ("cancel_rejected_traded",), S.PARTIALLY_FILLED, ((980, 724), (1220, 724)), (1100, 719), (1100, 736)
    ),
    Line("request", (S.IN_DOUBT,), ("cancel",), S.PENDING_CANCEL, ((930, 578), (930, 638)), (938, 617), (930, 590), "start"),
    Line("service", (S.PENDING_CANCEL,), ("no_answer",), S.IN_DOUBT, ((840, 638), (840, 578)), (832, 604), (840, 625), "end"),
    Line(
        "venue",
        (S.PENDING_CANCEL,),
        ("cancel_rejected_replacing",),
        S.PENDING_REPLACE,
        ((875, 750), (875, 808)),
        (885, 762),
        (875, 777),
    ),
    # pending_replace
    Line("request", (S.ROUTED,), ("replace",), S.PENDING_REPLACE, ((590, 830), (790, 830)), (690, 825), (690, 842)),
    Line("venue", (S.PENDING_REPLACE,), ("replaced", "replace_rejected"), S.ROUTED, ((790, 894), (590, 894)), (690, 889), (690, 906)),
    Line("request", (S.PARTIALLY_FILLED,), ("replace",), S.PENDING_REPLACE, ((1220, 830), (980, 830)), (1100, 825), (1100, 842)),
    Line(
        "venue",
        (S.PENDING_REPLACE,),
        ("replaced_traded", "replace_rejected_traded"),
        S.PARTIALLY_FILLED,
        ((980, 894), (1220, 894)),
        (1100, 889),
        (1100, 906),
    ),
    Line("request", (S.PENDING_REPLACE,), ("cancel",), S.PENDING_CANCEL, ((930, 808), (930, 750)), (938, 775), (930, 795), "start"),
    Line(
        "service",
        (S.PENDING_REPLACE,),
        ("no_answer",),
        S.IN_DOUBT,
        ((840, 808), (840, 779), (766, 779), (766, 454), (790, 454)),
        (832, 796),
        (766, 693),
        "end",
    ),
    # to the closed states
    Line(
        "venue",
        (S.ROUTED, S.IN_DOUBT, *PENDING),
        ("venue_reject",),
        S.REJECTED,
        ((960, 310), (960, 268), (1650, 268), (1650, 238)),
        (1160, 263),
        (1230, 268),
    ),
    Line("venue", AT_VENUE, ("expire",), S.EXPIRED, ((1410, 402), (1560, 402)), (1485, 397), (1485, 414)),
    Line("venue", AT_VENUE, ("venue_cancelled",), S.CANCELLED, ((1410, 634), (1560, 634)), (1485, 629), (1485, 646)),
    Line("trade", NOT_FILLED, ("trade_full",), S.FILLED, ((1720, 1030), (1720, 888)), (1712, 960), (1720, 986), "end"),
    Line(
        "venue",
        (S.PARTIALLY_FILLED, *PENDING, S.IN_DOUBT),
        ("replaced_full",),
        S.FILLED,
        ((885, 940), (885, 964), (1480, 964), (1480, 860), (1560, 860)),
        (1100, 959),
        (1180, 964),
    ),
    # taken back
    Line("bust", (S.FILLED,), ("bust_traded",), S.PARTIALLY_FILLED, ((1560, 810), (1390, 810)), (1485, 805), (1485, 822)),
    Line("bust", (S.FILLED,), ("bust",), S.ROUTED, ((1605, 888), (1605, 1000), (510, 1000), (510, 920)), (1100, 995), (1180, 1000)),
    Line("bust", (S.FILLED,), ("bust_ended",), S.CANCELLED, ((1650, 780), (1650, 688)), (1658, 730), (1650, 762), "start"),
)
