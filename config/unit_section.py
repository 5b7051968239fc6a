"""The setting of a unit that shares the shards with other units."""

from typing import Annotated

from pydantic import Field

from config.kinds import Section
from domain.execution.owner import UNIT_NAME


class UnitSection(Section):
    """The cluster that a unit joins. `name`: the unit's name in it, unique; empty: the unit is alone, and owns all shards without leases.

    Only oms, risk and exeq in one process can share shards with other units. All three have the same name.
    """

    name: Annotated[str, Field(pattern=rf"^({UNIT_NAME.pattern})?$")] = ""
