"""The two journals that risk writes beside its decisions, kept without limit, each in one order: controls, and access.

RISK_CONTROL: oms and exeq follow it. ACCESS: every service follows it.
"""

from typing import Final, Generic, NamedTuple, TypeVar

from nats.aio.client import Client

from adapters.codec import CommitCodec
from adapters.jetstream import JetStreamJournal, ensure_stream, stream_state
from adapters.subjects import ACCESS, ACCESS_JOURNALS, ACCESS_STREAM, CONTROL_EVENTS, CONTROL_STREAM, CONTROLS
from domain.access.events import AccessChange
from domain.ports import Missing
from domain.risk.controls import ControlEvent

E = TypeVar("E")


class RiskJournal(NamedTuple, Generic[E]):
    """A stream with one journal that risk writes. `max_bytes`: a full stream refuses further events."""

    stream: str
    subjects: str
    subject: str
    commits: CommitCodec[E]
    max_bytes: int


CONTROL_COMMITS: Final[CommitCodec[ControlEvent]] = CommitCodec(ControlEvent)
ACCESS_COMMITS: Final[CommitCodec[AccessChange]] = CommitCodec(AccessChange)

CONTROL_JOURNAL: Final = RiskJournal(CONTROL_STREAM, CONTROL_EVENTS, CONTROLS, CONTROL_COMMITS, 64 * 2**20)
"""A control has 200 to 500 bytes: enough for 130 000 of them."""
ACCESS_JOURNAL: Final = RiskJournal(ACCESS_STREAM, ACCESS_JOURNALS, ACCESS, ACCESS_COMMITS, 64 * 2**20)
"""A session has 400 bytes and lasts for 15 minutes: enough for the working hours of five people for two years."""


async def make(client: Client, journal: RiskJournal[E], replicas: int = 1) -> None:
    """Create the stream if it is missing. Only risk calls this, after it checked whether the stream existed before. Raises Unavailable."""
    await ensure_stream(client, journal.stream, [journal.subjects], journal.max_bytes, replicas)


async def open_journal(client: Client, journal: RiskJournal[E], writer: Client | None = None) -> JetStreamJournal:
    """Open the journal, to read or to write. Raises Missing if there is no stream (only risk creates it), Unavailable."""
    if await stream_state(client, journal.stream) is None:
        raise Missing(f"stream {journal.stream}: stream not found")
    return await JetStreamJournal.open(client, writer=writer, stream=journal.stream, subject=journal.subject)
