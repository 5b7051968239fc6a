"""The layout of the SVG: twelve boxes on a grid, frames that mean "any state inside", and every arrow placed by hand.

An arrow that leaves a frame is the same step from every state in its `sources`. Steps that stay in a state become lines inside its
box. Steps of the machine without a place here are listed under the picture; a test keeps that list empty.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from domain.order.lifecycle import PENDING, UNROUTED, State

S = State
WIDTH: Final = 2060
HEIGHT: Final = 1250


class Counts(NamedTuple):
    """The number of orders in each state now, and how often each step was taken."""

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


class Edge(NamedTuple):
    """An arrow through `points`. Its label is at `at`, one trigger a line, upwards from there; its count at `badge`."""

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
    S.ROUTED: Box(470, 336, 200, 784),
    S.IN_DOUBT: Box(890, 412, 244, 166),
    S.PENDING_CANCEL: Box(890, 672, 244, 200),
    S.PENDING_REPLACE: Box(890, 978, 244, 122),
    S.PARTIALLY_FILLED: Box(1384, 336, 244, 784),
    S.REJECTED: Box(1800, 130, 200, 108),
    S.EXPIRED: Box(1800, 320, 200, 108),
    S.CANCELLED: Box(1800, 640, 200, 108),
    S.FILLED: Box(1800, 880, 200, 108),
}

FRAMES: Final[tuple[tuple[str, Box], ...]] = (
    ("not at a venue", Box(50, 100, 220, 514)),
    ("at a venue", Box(450, 286, 1198, 854)),
    ("may end without a trade", Box(460, 310, 696, 820)),
    ("any state", Box(20, 50, 2020, 1180)),
)

WORKING: Final = (S.ROUTED, S.PARTIALLY_FILLED)
AT_VENUE: Final = (*WORKING, *PENDING, S.IN_DOUBT)
NOT_FILLED: Final = tuple(state for state in State if state is not S.FILLED)

LINES: Final[tuple[Edge, ...]] = (
    # not at a venue
    Edge("service", (S.NEW,), ("risk_pass",), S.RISK_CHECKED, ((160, 206), (160, 280)), (168, 252), (160, 224), "start"),
    Edge("service", (S.RISK_CHECKED,), ("enqueue",), S.QUEUED, ((160, 356), (160, 430)), (168, 402), (160, 374), "start"),
    Edge(
        "request", UNROUTED, ("cancel",), S.CANCELLED, ((160, 100), (160, 72), (2022, 72), (2022, 694), (2000, 694)), (470, 67), (560, 72)
    ),
    Edge("service", (S.NEW,), ("risk_fail",), S.REJECTED, ((250, 150), (1800, 150)), (470, 145), (560, 150)),
    Edge("service", (S.QUEUED,), ("no_route",), S.REJECTED, ((250, 444), (300, 444), (300, 182), (1800, 182)), (470, 177), (560, 182)),
    Edge(
        "venue",
        (S.QUEUED,),
        ("expire",),
        S.EXPIRED,
        ((250, 462), (336, 462), (336, 214), (1700, 214), (1700, 346), (1800, 346)),
        (470, 209),
        (560, 214),
    ),
    Edge("trade", UNROUTED, ("trade_part",), S.PARTIALLY_FILLED, ((270, 246), (1506, 246), (1506, 336)), (470, 241), (570, 246)),
    Edge("service", (S.QUEUED,), ("route",), S.ROUTED, ((250, 564), (470, 564)), (330, 559), (400, 564)),
    Edge("venue", (S.ROUTED,), ("venue_reject_requeue",), S.QUEUED, ((470, 586), (250, 586)), (360, 604), (330, 586)),
    # between routed and partially_filled
    Edge("trade", (S.ROUTED,), ("trade_part",), S.PARTIALLY_FILLED, ((670, 354), (1384, 354)), (780, 349), (870, 354)),
    Edge("bust", (S.PARTIALLY_FILLED,), ("bust",), S.ROUTED, ((1384, 388), (670, 388)), (780, 383), (870, 388)),
    # in_doubt
    Edge("service", (S.ROUTED,), ("no_answer",), S.IN_DOUBT, ((670, 426), (890, 426)), (780, 421), (780, 438)),
    Edge(
        "venue",
        (S.IN_DOUBT,),
        ("venue_ack", "leg_ended", "replaced", "replace_rejected"),
        S.ROUTED,
        ((890, 564), (670, 564)),
        (775, 559),
        (775, 576),
    ),
    Edge("service", (S.PARTIALLY_FILLED,), ("no_answer",), S.IN_DOUBT, ((1384, 426), (1134, 426)), (1265, 421), (1265, 438)),
    Edge(
        "venue",
        (S.IN_DOUBT,),
        ("venue_ack_traded", "trade_part", "leg_ended_traded", "replaced_traded", "replace_rejected_traded"),
        S.PARTIALLY_FILLED,
        ((1134, 564), (1384, 564)),
        (1265, 559),
        (1265, 576),
    ),
    # pending_cancel
    Edge("request", (S.ROUTED,), ("cancel",), S.PENDING_CANCEL, ((670, 702), (890, 702)), (775, 697), (775, 714)),
    Edge("venue", (S.PENDING_CANCEL,), ("cancel_rejected",), S.ROUTED, ((890, 842), (670, 842)), (775, 837), (775, 854)),
    Edge("request", (S.PARTIALLY_FILLED,), ("cancel",), S.PENDING_CANCEL, ((1384, 702), (1134, 702)), (1265, 697), (1265, 714)),
    Edge(
        "venue", (S.PENDING_CANCEL,), ("cancel_rejected_traded",), S.PARTIALLY_FILLED, ((1134, 842), (1384, 842)), (1265, 837), (1265, 854)
    ),
    Edge("request", (S.IN_DOUBT,), ("cancel",), S.PENDING_CANCEL, ((1060, 578), (1060, 672)), (1068, 643), (1060, 604), "start"),
    Edge("service", (S.PENDING_CANCEL,), ("no_answer",), S.IN_DOUBT, ((960, 672), (960, 578)), (952, 618), (960, 646), "end"),
    Edge(
        "venue",
        (S.PENDING_CANCEL,),
        ("cancel_rejected_replacing",),
        S.PENDING_REPLACE,
        ((930, 872), (930, 978)),
        (938, 900),
        (930, 944),
        "start",
    ),
    # pending_replace
    Edge("request", (S.ROUTED,), ("replace",), S.PENDING_REPLACE, ((670, 1008), (890, 1008)), (775, 1003), (775, 1020)),
    Edge("venue", (S.PENDING_REPLACE,), ("replaced", "replace_rejected"), S.ROUTED, ((890, 1074), (670, 1074)), (775, 1069), (775, 1086)),
    Edge("request", (S.PARTIALLY_FILLED,), ("replace",), S.PENDING_REPLACE, ((1384, 1008), (1134, 1008)), (1265, 1003), (1265, 1020)),
    Edge(
        "venue",
        (S.PENDING_REPLACE,),
        ("replaced_traded", "replace_rejected_traded"),
        S.PARTIALLY_FILLED,
        ((1134, 1074), (1384, 1074)),
        (1265, 1069),
        (1265, 1086),
    ),
    Edge("request", (S.PENDING_REPLACE,), ("cancel",), S.PENDING_CANCEL, ((1118, 978), (1118, 872)), (1110, 930), (1118, 956), "end"),
    Edge(
        "service",
        (S.PENDING_REPLACE,),
        ("no_answer",),
        S.IN_DOUBT,
        ((890, 1040), (862, 1040), (862, 454), (890, 454)),
        (854, 920),
        (862, 944),
        "end",
    ),
    Edge(
        "venue",
        (S.PENDING_REPLACE,),
        ("venue_reject_requeue",),
        S.QUEUED,
        ((950, 1100), (950, 1166), (36, 1166), (36, 512), (70, 512)),
        (360, 1161),
        (500, 1166),
    ),
    # to the closed states
    Edge(
        "venue",
        (S.ROUTED, S.IN_DOUBT, *PENDING),
        ("venue_reject",),
        S.REJECTED,
        ((1000, 310), (1000, 268), (1900, 268), (1900, 238)),
        (1265, 263),
        (1360, 268),
    ),
    Edge("venue", AT_VENUE, ("expire",), S.EXPIRED, ((1648, 402), (1800, 402)), (1724, 397), (1724, 414)),
    Edge("venue", AT_VENUE, ("venue_cancelled",), S.CANCELLED, ((1648, 694), (1800, 694)), (1724, 689), (1724, 706)),
    Edge("trade", NOT_FILLED, ("trade_full",), S.FILLED, ((1970, 1230), (1970, 988)), (1962, 1060), (1970, 1090), "end"),
    Edge(
        "venue",
        (S.PARTIALLY_FILLED, *PENDING, S.IN_DOUBT),
        ("replaced_full",),
        S.FILLED,
        ((1000, 1140), (1000, 1166), (1730, 1166), (1730, 960), (1800, 960)),
        (1265, 1161),
        (1360, 1166),
    ),
    # taken back
    Edge("bust", (S.FILLED,), ("bust_traded",), S.PARTIALLY_FILLED, ((1800, 910), (1628, 910)), (1724, 905), (1724, 922)),
    Edge("bust", (S.FILLED,), ("bust",), S.ROUTED, ((1845, 988), (1845, 1200), (570, 1200), (570, 1120)), (1265, 1195), (1360, 1200)),
    Edge("bust", (S.FILLED,), ("bust_ended",), S.CANCELLED, ((1900, 880), (1900, 748)), (1908, 815), (1900, 850), "start"),
)
