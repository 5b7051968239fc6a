"""How the services run: oms, risk and exeq as one unit, or each in a process of its own."""

from typing import Final

UNIT: Final = "unit"
"""The name of the process, of its user on the servers, and of the topology in which it runs."""
UNITED: Final = ("oms", "risk", "exeq")
"""The services in it."""
APART: Final = "services"
TOPOLOGIES: Final = (UNIT, APART)
"""How the services run: as a unit, or each in a process of its own."""
