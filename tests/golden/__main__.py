"""`--write NAME`: the scenes as today's program journals them, and its states. `--record`: the states alone, of all journals."""

import argparse

import msgspec

from adapters.codec import ORDER_COMMITS
from domain.values import use_exact_arithmetic
from tests.golden import HOME, names, payloads, replayed
from tests.golden.risk_journals import RISK_JOURNALS
from tests.golden.scenes import journal


def write(name: str) -> None:
    orders = [ORDER_COMMITS.encode(0, n, events) for n, events in enumerate(journal(), 1)]
    for prefix, lines in {"": orders, **{f"{each.folder}/": each.written() for each in RISK_JOURNALS}}.items():
        file = HOME / f"{prefix}{name}.jsonl"
        file.parent.mkdir(exist_ok=True)
        with file.open("xb") as out:
            out.write(b"".join(line + b"\n" for line in lines))
    record(name)


def record(name: str) -> None:
    """Write the states beside the journals of a name; not every name has all kinds."""
    found: dict[str, msgspec.Struct] = {name: replayed(payloads(name))} if name in names() else {}
    found |= {f"{each.folder}/{name}": each.replayed(each.payloads(name)) for each in RISK_JOURNALS if name in each.names()}
    for place, states in found.items():
        (HOME / f"{place}.json").write_bytes(msgspec.json.format(msgspec.json.encode(states), indent=1) + b"\n")
        print(f"{place}: recorded")


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
        for name in sorted({*names(), *(name for each in RISK_JOURNALS for name in each.names())}):
            record(name)
