"""Topologies: oms, risk and exeq as one unit, or each service in its own process."""

from typing import Final

UNIT: Final = "unit"
"""The name of the process of a unit, of its user on the servers, and of its topology."""
UNITED: Final = ("oms", "risk", "exeq")
"""The services in a unit."""
APART: Final = "services"
TOPOLOGIES: Final = (UNIT, APART)
"""The known topologies."""
