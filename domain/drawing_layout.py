"""Where the SVG puts things: twelve boxes on a grid, frames that stand for "any state in here", and every arrow by hand.

An arrow that leaves a frame stands for the same step from every state in its `sources`. Steps that stay where they are become lines
inside the box. What the machine has and this page lacks is printed under the picture, never left out; a test keeps that list empty.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from domain.lifecycle import PENDING, UNROUTED, State

S = State
WIDTH: Final = 1800
HEIGHT: Final = 970


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
    S.QUEUED: Box(70, 430, 180, 84),
    S.ROUTED: Box(430, 336, 160, 504),
    S.IN_DOUBT: Box(790, 412, 190, 86),
    S.PENDING_CANCEL: Box(790, 558, 190, 112),
    S.PENDING_REPLACE: Box(790, 728, 190, 112),
    S.PARTIALLY_FILLED: Box(1220, 336, 170, 504),
    S.REJECTED: Box(1560, 130, 180, 108),
    S.EXPIRED: Box(1560, 320, 180, 108),
    S.CANCELLED: Box(1560, 500, 180, 108),
    S.FILLED: Box(1560, 700, 180, 108),
}

FRAMES: Final[tuple[tuple[str, Box], ...]] = (
    ("not at a venue", Box(50, 100, 220, 434)),
    ("at a venue", Box(410, 286, 1000, 574)),
    ("may end without a trade", Box(420, 310, 580, 540)),
    ("any state", Box(20, 50, 1760, 900)),
)

WORKING: Final = (S.ROUTED, S.PARTIALLY_FILLED)
AT_VENUE: Final = (*WORKING, *PENDING, S.IN_DOUBT)
NOT_FILLED: Final = tuple(state for state in State if state is not S.FILLED)

LINES: Final[tuple[Line, ...]] = (
    # not at a venue
    Line("service", (S.NEW,), ("risk_pass",), S.RISK_CHECKED, ((160, 206), (160, 280)), (168, 252), (160, 224), "start"),
    Line("service", (S.RISK_CHECKED,), ("enqueue",), S.QUEUED, ((160, 356), (160, 430)), (168, 402), (160, 374), "start"),
    Line(
        "request", UNROUTED, ("cancel",), S.CANCELLED, ((160, 100), (160, 72), (1762, 72), (1762, 554), (1740, 554)), (470, 67), (560, 72)
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
    Line("service", (S.QUEUED,), ("route",), S.ROUTED, ((250, 484), (430, 484)), (330, 479), (380, 484)),
    Line("venue", (S.ROUTED,), ("venue_reject_requeue",), S.QUEUED, ((430, 506), (250, 506)), (340, 524), (340, 506)),
    # between routed and partially_filled
    Line("trade", (S.ROUTED,), ("trade_part",), S.PARTIALLY_FILLED, ((590, 354), (1220, 354)), (690, 349), (750, 354)),
    Line("bust", (S.PARTIALLY_FILLED,), ("bust",), S.ROUTED, ((1220, 388), (590, 388)), (690, 383), (750, 388)),
    # in_doubt
    Line("service", (S.ROUTED,), ("no_answer",), S.IN_DOUBT, ((590, 426), (790, 426)), (690, 421), (690, 438)),
    Line("venue", (S.IN_DOUBT,), ("venue_ack",), S.ROUTED, ((790, 484), (590, 484)), (690, 479), (690, 496)),
    Line("service", (S.PARTIALLY_FILLED,), ("no_answer",), S.IN_DOUBT, ((1220, 426), (980, 426)), (1100, 421), (1100, 438)),
    Line(
        "venue", (S.IN_DOUBT,), ("venue_ack_traded", "trade_part"), S.PARTIALLY_FILLED, ((980, 484), (1220, 484)), (1100, 479), (1100, 496)
    ),
    # pending_cancel
    Line("request", (S.ROUTED,), ("cancel",), S.PENDING_CANCEL, ((590, 582), (790, 582)), (690, 577), (690, 594)),
    Line("venue", (S.PENDING_CANCEL,), ("cancel_rejected",), S.ROUTED, ((790, 644), (590, 644)), (690, 639), (690, 656)),
    Line("request", (S.PARTIALLY_FILLED,), ("cancel",), S.PENDING_CANCEL, ((1220, 582), (980, 582)), (1100, 577), (1100, 594)),
    Line(
        "venue", (S.PENDING_CANCEL,), ("cancel_rejected_traded",), S.PARTIALLY_FILLED, ((980, 644), (1220, 644)), (1100, 639), (1100, 656)
    ),
    Line("request", (S.IN_DOUBT,), ("cancel",), S.PENDING_CANCEL, ((930, 498), (930, 558)), (938, 537), (930, 510), "start"),
    Line("service", (S.PENDING_CANCEL,), ("no_answer",), S.IN_DOUBT, ((840, 558), (840, 498)), (832, 524), (840, 545), "end"),
    # pending_replace
    Line("request", (S.ROUTED,), ("replace",), S.PENDING_REPLACE, ((590, 750), (790, 750)), (690, 745), (690, 762)),
    Line("venue", (S.PENDING_REPLACE,), ("replaced", "replace_rejected"), S.ROUTED, ((790, 814), (590, 814)), (690, 809), (690, 826)),
    Line("request", (S.PARTIALLY_FILLED,), ("replace",), S.PENDING_REPLACE, ((1220, 750), (980, 750)), (1100, 745), (1100, 762)),
    Line(
        "venue",
        (S.PENDING_REPLACE,),
        ("replaced_traded", "replace_rejected_traded"),
        S.PARTIALLY_FILLED,
        ((980, 814), (1220, 814)),
        (1100, 809),
        (1100, 826),
    ),
    Line("request", (S.PENDING_REPLACE,), ("cancel",), S.PENDING_CANCEL, ((930, 728), (930, 670)), (938, 695), (930, 715), "start"),
    Line(
        "service",
        (S.PENDING_REPLACE,),
        ("no_answer",),
        S.IN_DOUBT,
        ((840, 728), (840, 699), (766, 699), (766, 454), (790, 454)),
        (832, 716),
        (766, 613),
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
    Line("venue", AT_VENUE, ("venue_cancelled",), S.CANCELLED, ((1410, 554), (1560, 554)), (1485, 549), (1485, 566)),
    Line("trade", NOT_FILLED, ("trade_full",), S.FILLED, ((1720, 950), (1720, 808)), (1712, 880), (1720, 906), "end"),
    Line(
        "venue",
        (S.PENDING_REPLACE,),
        ("replaced_full",),
        S.FILLED,
        ((885, 840), (885, 884), (1480, 884), (1480, 780), (1560, 780)),
        (1100, 879),
        (1180, 884),
    ),
    # taken back
    Line("bust", (S.FILLED,), ("bust_traded",), S.PARTIALLY_FILLED, ((1560, 730), (1390, 730)), (1485, 725), (1485, 742)),
    Line("bust", (S.FILLED,), ("bust",), S.ROUTED, ((1605, 808), (1605, 920), (510, 920), (510, 840)), (1100, 915), (1180, 920)),
    Line("bust", (S.FILLED,), ("bust_ended",), S.CANCELLED, ((1650, 700), (1650, 608)), (1658, 650), (1650, 682), "start"),
)
