"""RISK_CONTROL: the journal of controls, kept without limit, in one order. risk writes it; oms and exeq follow it."""

from typing import Final

from nats.aio.client import Client

from adapters.codec import CommitCodec
from adapters.jetstream import JetStreamJournal, ensure_stream, stream_state
from adapters.subjects import CONTROL_EVENTS, CONTROL_STREAM, CONTROLS
from domain.ports import Missing
from domain.risk.controls import ControlEvent

MAX_BYTES: Final = 64 * 2**20
"""A control has 200 to 500 bytes: enough for 130 000 of them."""

CONTROL_COMMITS: Final[CommitCodec[ControlEvent]] = CommitCodec(ControlEvent)


async def make_controls(client: Client, replicas: int = 1) -> None:
    """Create the stream if it is missing. Only risk calls this, after it checked whether the stream existed before. Raises Unavailable."""
    await ensure_stream(client, CONTROL_STREAM, [CONTROL_EVENTS], MAX_BYTES, replicas)


async def open_controls(client: Client, writer: Client | None = None) -> JetStreamJournal:
    """Open the journal of controls, to read or to write. Raises Missing if there is no stream (only risk creates it), Unavailable."""
    if await stream_state(client, CONTROL_STREAM) is None:
        raise Missing(f"stream {CONTROL_STREAM}: stream not found")
    return await JetStreamJournal.open(client, writer=writer, stream=CONTROL_STREAM, subject=CONTROLS)
