"""A stream of raw frames in memory, which may be away or lose an ack."""

from typing import Final

import msgspec

from domain.market.venues.feed import Frame, FrameKind, RawFrames
from domain.ports import Unavailable

PAYLOAD_MAX: Final = 8 * 1024 * 1024


class MemoryStream:
    """Port: apps.gateway.raw_writer.RawStream. A message is stored once by its id, whatever is repeated."""

    def __init__(self) -> None:
        self.payload_max = PAYLOAD_MAX
        self.away = False
        self.refuses: set[str] = set()
        """Messages that are refused once, by their ids."""
        self.lost_acks = 0
        """This many of the next messages are stored, and their writer gets no ack."""
        self.attempts: list[str] = []
        self.stored: dict[str, RawFrames] = {}

    async def write(self, subject: str, payload: bytes, message_id: str) -> None:
        self.attempts.append(message_id)
        if self.away:
            raise Unavailable("the stream is away")
        if message_id in self.refuses:
            self.refuses.remove(message_id)
            raise Unavailable("the stream refuses a message")
        self.stored.setdefault(message_id, msgspec.json.decode(payload, type=RawFrames))
        if self.lost_acks:
            self.lost_acks -= 1
            raise Unavailable("no ack", unknown=True)

    @property
    def messages(self) -> list[RawFrames]:
        return list(self.stored.values())

    @property
    def epochs(self) -> list[int]:
        return list(dict.fromkeys(message.epoch for message in self.messages))

    def numbered(self, epoch: int | None = None) -> list[tuple[int, Frame]]:
        """Each frame with its number, as stored."""
        taken = [message for message in self.messages if epoch in (None, message.epoch)]
        return [(message.n + place, frame) for message in taken for place, frame in enumerate(message.frames)]

    def numbers(self, epoch: int | None = None) -> list[int]:
        return [n for n, _ in self.numbered(epoch)]

    def texts(self, kind: FrameKind = FrameKind.FRAME, epoch: int | None = None) -> list[str]:
        return [frame.text for _, frame in self.numbered(epoch) if frame.kind == kind]
