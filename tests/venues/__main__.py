"""`python -m tests.venues --kind kraken --port 9001 --rate 20`: a simulated venue, until Ctrl-C."""

import argparse
import asyncio
import contextlib

from tests.venues.simulator import VenueSimulator
from tests.venues.speeches import SPEECHES


async def run(kind: str, port: int, seed: int, rate: float, symbols: list[str]) -> None:
    async with VenueSimulator(kind, port=port, seed=seed, rate=rate, symbols=symbols) as venue:
        print(f"{kind}: {venue.ws_url} and {venue.rest_url}: {', '.join(venue.books)}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(SPEECHES), required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=10, help="steps a second of each symbol")
    parser.add_argument("--symbols", nargs="*", default=[], help="the venue's names")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(given.kind, given.port, given.seed, given.rate, given.symbols))
