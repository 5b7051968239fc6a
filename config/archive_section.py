"""The section `archive` of sink-alt: where the journals are archived, and how often."""

from typing import Annotated

from pydantic import Field

from config.kinds import Millis, Section

Range = Annotated[int, Field(ge=10, le=100_000)]
Tails = Annotated[int, Field(ge=2, le=1000)]


class ArchiveSection(Section):
    """`url`: s3://bucket/prefix (the server is that of TRADE_S3_URL) or file:///directory; empty: no archive.

    `wait_ms`: how long messages gather before they are written. The order journal waits for the venues' journals beside it, so the archive
    is at most about twice this behind. `range`: messages of a full object, of an archive that does not exist yet. `tails_max`: objects of
    an incomplete range before one replaces them.
    """

    url: str = ""
    wait_ms: Millis = 1000
    range: Range = 1000
    tails_max: Tails = 16
