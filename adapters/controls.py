"""RISK_CONTROL: what people forbid, kept for ever. One journal for each kind of control; risk writes, whoever sends orders follows."""

from typing import Final

from nats.aio.client import Client

from adapters.codec import CommitCodec
from adapters.jetstream import JetStreamJournal, ensure_stream
from domain.controls import ControlEvent

STREAM: Final = "RISK_CONTROL"
SUBJECTS: Final = ("risk.control.>",)
SYMBOLS: Final = "risk.control.symbols"
MAX_BYTES: Final = 64 * 2**20
"""A block is about 200 bytes: room for 300 000 of them."""

CONTROL_COMMITS: Final[CommitCodec[ControlEvent]] = CommitCodec(ControlEvent)


async def open_controls(client: Client) -> JetStreamJournal:
    """The journal of symbol blocks, made when it is missing. Unavailable."""
    await ensure_stream(client, STREAM, SUBJECTS, MAX_BYTES)
    return await JetStreamJournal.open(client, stream=STREAM, subject=SYMBOLS)
