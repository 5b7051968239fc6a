"""`python -m tests.golden --write NAME`: the scenes as today's program journals them, and the states it makes of them."""

import argparse

import msgspec

from adapters.codec import ORDER_COMMITS
from domain.values import use_exact_arithmetic
from tests.golden import HOME, replayed
from tests.golden.scenes import journal


def write(name: str) -> None:
    lines = [ORDER_COMMITS.encode(0, n, events) for n, events in enumerate(journal(), 1)]
    with (HOME / f"{name}.jsonl").open("xb") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    (HOME / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(replayed(lines)), indent=1) + b"\n")
    print(f"{name}: {len(lines)} commits")


if __name__ == "__main__":
    use_exact_arithmetic()
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", metavar="NAME", required=True, help="a release; a name that is taken is refused")
    write(parser.parse_args().write)
