"""The section `archive` of sink-alt: where the journals are archived, and how often."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from config.kinds import Millis, Section


def _address(text: str) -> str:
    parts = urlsplit(text)
    of_s3, of_a_directory = parts.scheme == "s3" and parts.netloc, parts.scheme == "file" and parts.path.strip("/") and not parts.netloc
    if text and not of_s3 and not of_a_directory:
        raise ValueError("must be s3://bucket/prefix, file:///directory, or empty")
    return text


Address = Annotated[str, AfterValidator(_address)]
Range = Annotated[int, Field(ge=10, le=100_000)]
Tails = Annotated[int, Field(ge=2, le=1000)]


class ArchiveSection(Section):
    """`url`: `s3://bucket/prefix` at the server of TRADE_S3_URL, without which there is no archive, or `file:///directory`. Empty: off.

    `wait_ms`: how long messages gather before they are written. The order journal waits for the venues' journals beside it, so the archive
    is at most about twice this behind. `range`: messages of a full object, of an archive that does not exist yet. `tails_max`: objects of
    an incomplete range before one replaces them.
    """

    url: Address = "s3://trade/archive"
    wait_ms: Millis = 1000
    range: Range = 1000
    tails_max: Tails = 16
