"""A service that answers /ready, writes its life into a diary, and can be told to behave badly."""

import argparse
import http.server
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if chosen.die_after_s:
            threading.Timer(chosen.die_after_s, os._exit, (7,)).start()

    def log_message(self, *ignored: object) -> None:
        """The diary is enough."""


def note(what: str) -> None:
    with chosen.diary.open("a") as file:
        file.write(f"{what} {chosen.name}\n")


def end(number: int, frame: FrameType | None) -> None:
    note("told")
    if not chosen.deaf:
        time.sleep(chosen.linger_s)
        note("ended")
        sys.exit(0)


parser = argparse.ArgumentParser()
parser.add_argument("name")
parser.add_argument("port", type=int)
parser.add_argument("diary", type=Path)
parser.add_argument("--die-after-s", type=float, default=0.0, help="this long after the first answer")
parser.add_argument("--linger-s", type=float, default=0.0, help="between SIGTERM and the end")
parser.add_argument("--deaf", action="store_true", help="does not end on SIGTERM")
parser.add_argument("--refuse", default="", help="say this and end before being ready")
chosen = parser.parse_args()

signal.signal(signal.SIGTERM, end)
note("began")
print(f"{chosen.name} speaks", flush=True)
if chosen.refuse:
    sys.exit(chosen.refuse)
http.server.HTTPServer(("127.0.0.1", chosen.port), Ready).serve_forever()
