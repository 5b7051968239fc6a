"""`make bench-quick`: has the core become slower? Ratios, so that the machine does not matter; red when one fell by more than 15 %.

Three figures against the recorded ones (baseline.json beside this file): lives a second as a share of the bare ceiling's in the same run,
accepts likewise, and the work inside oms in units of a fixed piece of Python timed in the same process.
"""

import argparse
import json
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from domain.values import use_exact_arithmetic
from tests.bench.inside import lives
from tests.bench.peers.run import ceiling, core

BASELINE: Final = Path(__file__).with_name("baseline.json")
FALL_MAX: Final = 0.15
ORDERS: Final = 8_000
INSIDE: Final = 6_400
UNITS: Final = 20_000


def unit_us() -> float:
    """CPU of a fixed piece of work of the same kind: decimals, dicts, JSON. The fastest of five."""
    encode, decode = msgspec.json.Encoder(decimal_format="number").encode, msgspec.json.decode

    def once() -> float:
        before = time.process_time()
        for number in range(UNITS):
            held = {"account": f"account-{number % 10}", "quantity": Decimal(number).scaleb(-3), "price": Decimal(45_000)}
            told = decode(encode(held))
            assert told["account"] == held["account"]
        return (time.process_time() - before) * 1e6 / UNITS

    return min(once() for _ in range(5))


def inside_units() -> float:
    """What an order costs inside oms, in those units. The better of two."""

    def once() -> float:
        with tempfile.TemporaryDirectory() as directory:
            spent, _ = uvloop.run(lives(INSIDE, Path(directory)))
        return spent.cpu_s["all"] * 1e6 / INSIDE

    return min(once() for _ in range(2)) / unit_us()


def figures() -> dict[str, float]:
    """All three; more is better in each."""
    load = argparse.Namespace(connections=64, orders=ORDERS)
    lived, accepted = core(load)
    bare_lived, bare_accepted = ceiling(load)
    return {
        "lives, share of the ceiling": lived.lives_per_s / bare_lived.lives_per_s,
        "accepts, share of the ceiling": accepted.answers_per_s / bare_accepted.answers_per_s,
        "orders inside oms for a fixed amount of work": 100 / inside_units(),
    }


def main(arguments: argparse.Namespace) -> int:
    use_exact_arithmetic()
    found = figures()
    if arguments.record:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n")
    known = json.loads(BASELINE.read_text())
    worst = 0.0
    for name, figure in found.items():
        fall = 1 - figure / known[name]
        worst = max(worst, fall)
        said = "RED" if fall > FALL_MAX else "ok "
        print(f"{said} {name:<46} {figure:8.3f}, recorded {known[name]:8.3f} ({-fall:+.1%})")
    return 1 if worst > FALL_MAX else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    sys.exit(main(parser.parse_args()))
