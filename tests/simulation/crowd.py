"""Many seeds at once: worker processes that run histories side by side, each history in one of them."""

import multiprocessing
import os
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Final

from tests.simulation.history import Outcome, simulate
from tests.simulation.planted import PLANTS
from tests.simulation.planting import Caught, catch

WORKERS_MAX: Final = 8


class Crowd:
    """As many workers as there are cores; one, when another runner spreads the work already."""

    def __init__(self, workers: int = 0) -> None:
        wanted = workers or (1 if "PYTEST_XDIST_WORKER" in os.environ else len(os.sched_getaffinity(0)))
        self.workers = min(wanted, WORKERS_MAX)
        self._pool = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"))

    def simulate(self, seeds: range, only: tuple[str, ...] = ()) -> "Future[list[Outcome]]":
        return self._pool.submit(_simulate, seeds, only)

    def catch(self, words: str, seeds: range) -> "Future[Caught]":
        assert words in PLANTS
        return self._pool.submit(_catch, words, seeds)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _simulate(seeds: range, only: tuple[str, ...]) -> list[Outcome]:
    return [simulate(seed, only=only) for seed in seeds]


def _catch(words: str, seeds: range) -> Caught:
    return catch(words, seeds)
