"""`python -m apps.stack`, the same as `trade up`."""

import argparse
import os
import sys
from pathlib import Path

from apps.stack.command import up
from apps.stack.directory import DATA_DIR
from apps.stack.extras import EXTRAS
from apps.stack.market import MARKETS, SIMULATED
from apps.stack.topology import TOPOLOGIES, UNIT
from config.access_mode import ACCESS_MODES, ACCESS_VARIABLE
from domain.shards import SHARDS_MAX


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.stack", description="Run the whole stack on this machine until Ctrl-C.")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, help="directory of the state (default .trade)")
    parser.add_argument("--port-offset", type=int, default=0, help="shift every port by this number")
    parser.add_argument("--fresh", action="store_true", help="remove all earlier state first")
    parser.add_argument("--yes", action="store_true", help="do not ask before removing")
    parser.add_argument("--fills", default="questdb", choices=("questdb", "sqlite"), help="store of fills for readers")
    parser.add_argument("--quotes", type=Path, help="replay this CSV instead of simulating quotes")
    parser.add_argument("--quotes-speed", default="", help="how fast the quotes are replayed")
    parser.add_argument("--quotes-columns", "--columns", default="", help="names of its columns if they differ: time=ts,bid=bidPrice")
    parser.add_argument("--config-dir", type=Path, help="a directory with <service>/config.yaml")
    parser.add_argument("--no-guests", dest="guests", action="store_false", help="no reading without a password")
    parser.add_argument("--topology", default=UNIT, choices=TOPOLOGIES, help="oms, risk and exeq in one process, or each in its own")
    modes = f"{' or '.join(ACCESS_MODES)} (default {ACCESS_VARIABLE}, else open, or keys with a live venue)"
    parser.add_argument("--access", default=os.environ.get(ACCESS_VARIABLE, ""), help=modes)
    parser.add_argument("--market", default=SIMULATED, choices=MARKETS, help="simulated quotes, or those of the gateway's venues")
    parser.add_argument("--with", dest="extras", default="", metavar="NAME,...", help=f"optional servers: {', '.join(EXTRAS)}")
    parser.add_argument("--no-desk", dest="desk", action="store_false", help="without the page and the stream")
    parser.add_argument("--shards", type=int, choices=range(1, SHARDS_MAX + 1), metavar="S", help="shards of a new order journal")
    parser.add_argument("--only-servers", action="store_true", help="NATS, Valkey and QuestDB without the services")
    return up(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
