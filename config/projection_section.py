"""The settings of the projector's own work."""

from typing import Annotated

from pydantic import Field

from config.kinds import Section, Wait


class ProjectionSection(Section):
    """`equity_interval_sec`: how often the equity of each account is sampled. `portfolios_db`: the database of Valkey that risk writes."""

    projection_wait_ms: Wait = 25
    equity_interval_sec: Annotated[int, Field(ge=1, le=60)] = 60
    equity_keep_days: Annotated[int, Field(ge=1, le=36_500)] = 800
    portfolios_db: Annotated[int, Field(ge=0, le=15)] = 4
