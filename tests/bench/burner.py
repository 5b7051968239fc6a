"""`python -m tests.bench.burner 0.3`: other work on the machine, as a share of one core, until it is killed."""

import sys
import time
from typing import Final

PERIOD_S: Final = 0.02


def main(share: float) -> None:
    while True:
        until = time.perf_counter() + PERIOD_S * share
        while time.perf_counter() < until:
            pass
        time.sleep(PERIOD_S * (1 - share))


if __name__ == "__main__":
    main(float(sys.argv[1]))
