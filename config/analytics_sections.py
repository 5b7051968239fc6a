"""The sections `clickhouse` and `opensearch` of sink-alt: two places that people ask. Both are off by default."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.kinds import HttpUrl, Millis, OptionalPath, Section

Rows = Annotated[int, Field(ge=1, le=1_000_000)]


class ClickHouseSection(Section):
    """ClickHouse: `path` runs its engine in this process, which alone may use that directory; `url` names a server. Neither: off.

    A batch is written after `wait_ms`, or sooner after `batch_rows`.
    """

    path: OptionalPath = None
    url: HttpUrl | None = None
    wait_ms: Millis = 1000
    batch_rows: Rows = 50_000

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.path is not None and self.url is not None:
            raise ValueError("path (an engine in this process) and url (a server) exclude each other")
        return self

    @property
    def on(self) -> bool:
        return self.path is not None or self.url is not None


class OpenSearchSection(Section):
    """OpenSearch, a server without users, so on an inner network only. Without `url` it is off."""

    url: HttpUrl | None = None
    wait_ms: Millis = 1000
    batch_rows: Rows = 5_000

    @property
    def on(self) -> bool:
        return self.url is not None
