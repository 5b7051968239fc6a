"""Objects with the journals' messages: compressed lines, a heading first, a seal of heads and a hash last, as in a backup.

Each line is the JSON of one message, so that every tool that knows zstd and JSON can read an archive.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import pyarrow

from adapters.journalcopy import Copied
from domain.archive.ranges import Span
from domain.ports import Corrupt, Head

FORMAT: Final = 1
LEVEL: Final = 3
TEXT_MAX: Final = 2**30
"""Bytes of an object when decompressed. A full range has a thousand messages of at most a mebibyte."""


class RangeHeading(msgspec.Struct, tag="heading"):
    """The range of an object, and the last commit of each journal of its stream before it."""

    format: int
    stream: str
    first: int
    last: int
    before: dict[str, Head]


class RangeSeal(msgspec.Struct, tag="seal"):
    """The last commit of each journal of the stream at the end of the range, and the SHA-256 of all lines before."""

    heads: dict[str, Head]
    sha256: str


class CommitsObject(msgspec.Struct, frozen=True):
    """One object as read: complete, and what its name says. The chain is not verified yet."""

    heading: RangeHeading
    messages: Sequence[Copied]
    heads: Mapping[str, Head]


_ENCODER: Final = msgspec.json.Encoder()
_HEADING: Final = msgspec.json.Decoder(RangeHeading)
_MESSAGES: Final = msgspec.json.Decoder(Copied)
_SEAL: Final = msgspec.json.Decoder(RangeSeal)


def packed(stream: str, before: Mapping[str, Head], messages: Sequence[Copied], heads: Mapping[str, Head]) -> bytes:
    """Return the object with these messages. The same messages have the same bytes, as long as the compressor is the same."""
    heading = RangeHeading(FORMAT, stream, messages[0].seq, messages[-1].seq, dict(sorted(before.items())))
    lines = _ENCODER.encode(heading) + b"\n" + _ENCODER.encode_lines(messages)
    seal = RangeSeal(dict(sorted(heads.items())), hashlib.sha256(lines).hexdigest())
    compressed: bytes = pyarrow.Codec("zstd", compression_level=LEVEL).compress(lines + _ENCODER.encode(seal) + b"\n", asbytes=True)
    return compressed


def unpacked(stream: str, span: Span, data: bytes) -> CommitsObject:
    """Return the object of that range, compared with its seal. Corrupt."""
    text = _decompressed(data)
    end_of_heading, start_of_seal = text.find(b"\n") + 1, text.rfind(b"\n", 0, -1) + 1
    try:
        heading = _HEADING.decode(text[:end_of_heading])
        seal = _SEAL.decode(text[start_of_seal:])
        messages = _MESSAGES.decode_lines(text[end_of_heading:start_of_seal])
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"it has a line that cannot be read: {error}") from error
    if heading.format != FORMAT:
        raise Corrupt(f"it has format {heading.format}, this program reads {FORMAT}")
    if (heading.stream, heading.first, heading.last) != (stream, *span):
        raise Corrupt(f"it holds sequences {heading.first}-{heading.last} of {heading.stream}")
    if hashlib.sha256(text[:start_of_seal]).hexdigest() != seal.sha256:
        raise Corrupt("it does not match its seal")
    if [message.seq for message in messages] != list(range(span.first, span.last + 1)):
        raise Corrupt("it does not hold each sequence of its range once")
    return CommitsObject(heading, messages, seal.heads)


def _decompressed(data: bytes) -> bytes:
    try:
        with pyarrow.CompressedInputStream(pyarrow.BufferReader(data), "zstd") as stream:
            text: bytes = stream.read(TEXT_MAX + 1)
    except (OSError, pyarrow.ArrowException) as error:
        raise Corrupt(f"it cannot be decompressed: {error}") from error
    if len(text) > TEXT_MAX:
        raise Corrupt(f"it has more than {TEXT_MAX} bytes when decompressed")
    return text
