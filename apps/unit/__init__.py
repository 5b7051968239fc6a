"""oms, risk and exeq of one shard in one process: what they share, and the process."""

from typing import Final

UNIT: Final = "unit"
"""The name of the process, of its user on the servers, and of the topology in which it runs."""
UNITED: Final = ("oms", "risk", "exeq")
"""The services in it."""
APART: Final = "services"
TOPOLOGIES: Final = (UNIT, APART)
"""How the services run: as a unit, or each in a process of its own."""
