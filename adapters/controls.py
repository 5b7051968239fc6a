"""RISK_CONTROL: what people forbid and bound, kept for ever, in one order. risk writes; oms and exeq follow."""

from typing import Final

from nats.aio.client import Client

from adapters.codec import CommitCodec
from adapters.jetstream import JetStreamJournal, ensure_stream
from domain.controls import ControlEvent

STREAM: Final = "RISK_CONTROL"
SUBJECTS: Final = ("risk.control.>",)
SUBJECT: Final = "risk.control.all"
"""One journal for every kind, so that one version tells what was in force."""
MAX_BYTES: Final = 64 * 2**20
"""A control is 200 to 500 bytes: room for 130 000 of them."""

CONTROL_COMMITS: Final[CommitCodec[ControlEvent]] = CommitCodec(ControlEvent)


async def open_controls(client: Client, replicas: int = 1, writer: Client | None = None) -> JetStreamJournal:
    """The journal of controls, made when it is missing. Unavailable."""
    await ensure_stream(client, STREAM, SUBJECTS, MAX_BYTES, replicas)
    return await JetStreamJournal.open(client, writer=writer, stream=STREAM, subject=SUBJECT)
