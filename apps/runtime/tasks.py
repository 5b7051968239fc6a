"""Every task of every service, and the effect of its failure. docs/verification.md shows this table; a test kills each task to prove it."""

from collections.abc import Mapping
from typing import Final

import msgspec


class Task(msgspec.Struct, frozen=True):
    """A background task. `vital`: its exception ends the process, which is restarted. Otherwise only the task is restarted and counted.

    `why` completes the sentence "When it dies, …". Corrupt in any task ends the process: no task continues from a damaged journal.
    """

    name: str
    vital: bool
    why: str


def _vital(name: str, why: str) -> Task:
    return Task(name, True, why)


def _housekeeping(name: str, why: str) -> Task:
    return Task(name, False, why)


# Every service.
LOOP_LAG: Final = _housekeeping("loop lag", "a measurement is missing for a moment")
HEALTH: Final = _housekeeping("health", "a change of health is logged only when /health or /ready is called")

# Services that share a part.
OUTBOX_OF_REQUESTS: Final = _vital(
    "outbox", "it is unknown which requests have left: the next process repeats none of them and asks the venues"
)
OUTBOX_OF_REPORTS: Final = _vital("outbox", "reports of venues are not sent: the next process resends them from the journal when oms asks")
OUTBOX_OF_NOTICES: Final = _housekeeping(
    "outbox", "one notification is lost; events are in the journal, and a question about a control is asked again"
)
INTEREST: Final = _housekeeping("interest", "announcements are published a little later")
JOURNAL_FOLLOWER: Final = _vital("journal follower", "the service's memory is behind the journal or half applied: it is read again")
CONTROL_FOLLOWER: Final = _vital("control follower", "controls are not applied")
CONTROLS_KNOWN: Final = _vital("controls over every connection", "controls would never count as known again, and nothing would be done")
ACCESS_FOLLOWER: Final = _vital("access follower", "keys are not applied: after a second nothing is changed with a key")
KEYS_KNOWN: Final = _vital("keys up to now", "keys would never count as known again, and nothing could be changed with one")
SNAPSHOTS: Final = _housekeeping("snapshots", "a start reads a longer tail of the journal")
MARK: Final = _housekeeping("mark", "the high-water mark stays behind: the newest commits are not guarded against a store that goes back")
CONTROLS_NOTED: Final = _housekeeping("what was read of controls and keys", "the service's own marks of controls and keys stay behind")
FOREIGN: Final = _housekeeping("foreign messages", "a message that is no commit, at the end of the journal, is noticed a little later")
TURN: Final = _vital("turn", "another process that works in its place would not be detected")
SYNC: Final = _vital("servers that were away", "a nats-server that does not sync could acknowledge messages that a power cut loses")
ROOM: Final = _housekeeping("room of the journal", "the fill level of the stream is measured a little later")
READINESS: Final = _housekeeping("readiness", "/ready shows an old state of the reading for a moment; no permission to send depends on it")

# oms
HOST: Final = _vital("host", "memory differs from the journal: it is read again, and nothing acknowledged is lost")
SESSIONS: Final = _housekeeping("sessions", "a lost last report of a venue is requested a little later")
EXPIRER: Final = _housekeeping("expirer", "the order that failed expires after the next start of oms; the others expire in time")
FORBIDDEN: Final = _vital("what is forbidden", "open orders that a kill switch forbids would not be cancelled")
REVOKED_KEYS: Final = _housekeeping("revoked keys", "open orders of an account whose key was revoked are cancelled a little later")
REDUCE_ONLY: Final = _housekeeping("reduce only", "a venue that refused to cut or cancel a reduce-only order is asked again a little later")
LISTS: Final = _housekeeping("lists", "a waiting stop is released, and what a venue refused to a list is asked again, a little later")
PARENTS: Final = _housekeeping("parents", "a parent whose time is over ends, and a refused cancel of its child is repeated, a little later")
CHILDREN: Final = _vital("children", "requests of exeq for slices are not answered: the next process answers them when they are sent again")
AWAIT_RISK: Final = _housekeeping("first word from risk", "oms is ready a little later")
POSITIONS_UPKEEP: Final = _housekeeping("positions upkeep", "Valkey is compared with the journal at the next interval")
ALPACA_UPDATES: Final = _housekeeping(
    "updates of the Alpaca stream", "connections that listen are closed; a client continues from the last sequence that it has seen"
)

# A unit that shares the shards with others; its oms runs them.
LEASES_WATCHED: Final = _vital("leases", "the unit would see no lease and no other unit, and take no shard")
UNIT_HEARTBEAT: Final = _vital("unit heartbeat", "other units would count this one as gone, and this one would see no silence")
SHARD_KEEPER: Final = _vital("shard keeper", "the shard's lease is not renewed: another unit takes the shard")

# risk
OPENING: Final = _vital("opening", "risk would never approve an order")
GATE: Final = _vital("gate", "risk would not notice a new connection, and refuse every order from then on")
LEAKED: Final = _housekeeping("leaked reservations", "unused reservations are released a little later")
OVERFILLS: Final = _vital("overfills", "an account with an overfill would not be stopped: the next process finds it in the journal")
MIRROR: Final = _housekeeping("snapshots for readers", "readers in Valkey see older figures; no decision depends on them")
PRICE_HISTORY: Final = _housekeeping("price history", "value at risk uses the last closes read, until they are too old")
GREETING: Final = _housekeeping("first word from a store", "a log line is missing; /health probes the store itself")

# desk
JOURNAL_END: Final = _vital("end of the journal", "streams would never say again that they are live")
SERVICES: Final = _housekeeping("services", "streams show an older state of the services")
STREAMS: Final = _housekeeping("streams", "a stream whose key was withdrawn, or whose client takes nothing, ends a little later")

# exeq
OWNERSHIP: Final = _vital("ownership", "the shard would never be taken, and nothing would be sent")
LOCAL_SWITCHES: Final = _vital("local switches", "a kill switch set by file would not be detected: nothing may be sent")
EXECUTOR: Final = _vital("executor", "nothing would be routed, without a notice")
VENUES_UPKEEP: Final = _housekeeping("venues upkeep", "venues are compared with the journal at the next interval")
DOUBTS: Final = _housekeeping("doubts", "silent routes are queried, and cancels repeated, a little later; nothing is sent twice")
STOPS: Final = _housekeeping("stops", "stop orders are triggered a little later")
TRADE_PRINTS: Final = _housekeeping("trade prints", "trailing stops on the last trade follow it a little later")
TIMED: Final = _housekeeping("timed orders", "orders for an opening or closing are routed a little later, or expire with the session")
ALGOS: Final = _housekeeping("algos", "slices that were missed are made up for by the rule of their parent")

# live-gateway
VENUE: Final = _vital("venue", "the venue's memory differs from its journal: it is read again")
RESENDS: Final = _vital("resends", "oms could not pass a gap in a venue's reports")
HEARTBEAT: Final = _housekeeping("heartbeat", "quotes of a quiet market grow old; a venue without a fresh quote is the last choice")
QUOTES: Final = _housekeeping("quotes", "quotes grow old; a venue without a fresh quote is the last choice")
CLOSES: Final = _housekeeping("simulated closes", "the closes of a past day are written a little later")

# projector
POSITIONS: Final = _vital("positions", "a projection is started again from the state of its store")
FILLS: Final = _vital("fills", "a projection is started again from the state of its store")
EQUITY: Final = _housekeeping("equity", "a sample of equity is missing; samples that waited for the store are lost")
LISTINGS: Final = _housekeeping("listings", "a position in a delisted symbol is published without its currency for a moment")

# gateway
VENUE_FEED: Final = _housekeeping("feed", "the connection to that venue is opened again: a new epoch, whose books begin with a snapshot")
RAW_WRITER: Final = _vital("frames", "frames would no longer reach the stream: the next process opens new connections, with new epochs")
# normalizer
MARKET_VENUES: Final = _housekeeping(
    "venues of the market", "the venues are read again from what was published of them: records are late, none is lost or doubled"
)
MARKET_TICKS: Final = _housekeeping("quotes and bars", "quotes that waited, repeated quotes and bars leave a little later")
MARKET_SILENCE: Final = _housekeeping("silence and wishes", "a mute symbol is noticed, and its book requested, a little later")

# sink-ticks and sink-alt
SINK: Final = _vital("sink", "its memory may differ from the place: the next process starts from the checkpoint in the place")
BAR_CLOSES: Final = _housekeeping("daily closes", "the closes of a past day are written a little later")
TICK_DAYS: Final = _housekeeping("old ticks", "old days of ticks are compared with the archive, and dropped, a little later")

_EVERYWHERE: Final = (LOOP_LAG, HEALTH)
_CONTROLS: Final = (CONTROL_FOLLOWER, CONTROLS_KNOWN)
_ACCESS: Final = (ACCESS_FOLLOWER, KEYS_KNOWN)

TASKS: Final[Mapping[str, tuple[Task, ...]]] = {
    "oms": (
        *_EVERYWHERE,
        HOST,
        OUTBOX_OF_NOTICES,
        SESSIONS,
        EXPIRER,
        *_CONTROLS,
        *_ACCESS,
        FORBIDDEN,
        REVOKED_KEYS,
        REDUCE_ONLY,
        LISTS,
        PARENTS,
        CHILDREN,
        AWAIT_RISK,
        POSITIONS_UPKEEP,
        ALPACA_UPDATES,
        MARK,
        CONTROLS_NOTED,
        ROOM,
        SYNC,
    ),
    "risk": (
        *_EVERYWHERE,
        JOURNAL_FOLLOWER,
        CONTROL_FOLLOWER,
        *_ACCESS,
        OPENING,
        GATE,
        LEAKED,
        OVERFILLS,
        SNAPSHOTS,
        MIRROR,
        PRICE_HISTORY,
        GREETING,
        MARK,
        CONTROLS_NOTED,
        ROOM,
        FOREIGN,
        TURN,
    ),
    "exeq": (
        *_EVERYWHERE,
        JOURNAL_FOLLOWER,
        *_CONTROLS,
        *_ACCESS,
        EXECUTOR,
        OUTBOX_OF_REQUESTS,
        INTEREST,
        LOCAL_SWITCHES,
        DOUBTS,
        STOPS,
        TRADE_PRINTS,
        TIMED,
        ALGOS,
        VENUES_UPKEEP,
        SNAPSHOTS,
        MARK,
        CONTROLS_NOTED,
        READINESS,
        TURN,
        OWNERSHIP,
    ),
    "unit": (LEASES_WATCHED, UNIT_HEARTBEAT, SHARD_KEEPER),
    "live-gateway": (
        *_EVERYWHERE,
        *_ACCESS,
        VENUE,
        FOREIGN,
        OUTBOX_OF_REPORTS,
        INTEREST,
        RESENDS,
        HEARTBEAT,
        QUOTES,
        CLOSES,
        MARK,
        CONTROLS_NOTED,
        ROOM,
        SYNC,
    ),
    "projector": (*_EVERYWHERE, *_ACCESS, TURN, POSITIONS, FILLS, EQUITY, LISTINGS, MARK, CONTROLS_NOTED),
    "sink-ticks": (*_EVERYWHERE, *_ACCESS, TURN, SINK, BAR_CLOSES, TICK_DAYS, MARK, CONTROLS_NOTED),
    "sink-alt": (*_EVERYWHERE, *_ACCESS, TURN, SINK, MARK, CONTROLS_NOTED),
    "desk": (
        *_EVERYWHERE,
        JOURNAL_FOLLOWER,
        JOURNAL_END,
        *_ACCESS,
        LISTINGS,
        SERVICES,
        STREAMS,
        OUTBOX_OF_NOTICES,
        INTEREST,
        SNAPSHOTS,
        MARK,
        CONTROLS_NOTED,
        READINESS,
    ),
    "gateway": (*_EVERYWHERE, *_ACCESS, TURN, VENUE_FEED, RAW_WRITER, MARK, CONTROLS_NOTED),
    "normalizer": (
        *_EVERYWHERE,
        *_ACCESS,
        TURN,
        MARKET_VENUES,
        MARKET_TICKS,
        MARKET_SILENCE,
        OUTBOX_OF_NOTICES,
        MARK,
        CONTROLS_NOTED,
    ),
}
"""Tasks by service. Work inside one of them (the commits of `host`, the messages of a `venue`) fails with it."""
