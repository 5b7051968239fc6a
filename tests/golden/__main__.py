"""`--write NAME`: the scenes as today's program journals them, and its states. `--record`: the states alone, of all journals."""

import argparse

import msgspec

from adapters.codec import ORDER_COMMITS
from domain.values import use_exact_arithmetic
from tests.golden import HOME, names, payloads, replayed
from tests.golden.scenes import journal


def write(name: str) -> None:
    lines = [ORDER_COMMITS.encode(0, n, events) for n, events in enumerate(journal(), 1)]
    with (HOME / f"{name}.jsonl").open("xb") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    record(name, lines)


def record(name: str, journal: list[bytes]) -> None:
    (HOME / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(replayed(journal)), indent=1) + b"\n")
    print(f"{name}: {len(journal)} commits")


if __name__ == "__main__":
    use_exact_arithmetic()
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--write", metavar="NAME", help="a release; a name that is taken is refused")
    which.add_argument("--record", action="store_true", help="a fold was meant to change: say why in the commit")
    asked = parser.parse_args()
    if asked.write:
        write(asked.write)
    else:
        for name in names():
            record(name, payloads(name))
