"""A simulator of venues: real websocket and HTTP servers that speak each venue's own format, with faults by switch.

async with VenueSimulator("kraken", seed=7) as venue:
    ...                           # connect to venue.ws_url and venue.rest_url
    venue.step(100)               # or VenueSimulator(..., rate=50) for steps by itself
    venue.book("BTC/USD")         # the truth, to compare with
    venue.faults.drop_next = 1    # see tests/venues/faults.py
"""

from tests.venues.faults import Faults
from tests.venues.market import Level, SimulatedBook, Truth
from tests.venues.simulator import VenueSimulator

__all__ = ["Faults", "Level", "SimulatedBook", "Truth", "VenueSimulator"]
