"""Requests that a command reads from a file of JSON."""

import json
import sys
from pathlib import Path
from typing import Any

from apps.cli.trouble import WrongUsage


def object_of(file: str, what: str, example: str) -> dict[str, Any]:
    """Read an object from a file, or from stdin for `-`. Fractions stay text, digit for digit. WrongUsage."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        found = json.loads(text, parse_float=str)
    except (OSError, ValueError) as error:
        raise WrongUsage(f"{file} cannot be read as {what}: {error}.", example) from None
    if not isinstance(found, dict):
        raise WrongUsage(f"{file} is not a JSON object.", example)
    return found
