"""The configuration reference, generated from the settings: `make docs` writes docs/configuration.md."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.catalogue import Group
from config.kinds import Network
from config.loading import OVERRIDES, SERVICES
from config.sections import Tls

PAGE: Final = Path(__file__).parents[1] / "docs" / "configuration.md"
HERE: Final = Path(__file__).parent / "backend"
HEAD: Final = """\
# Configuration reference

Generated from the settings code (`make docs`); a test keeps it current. One file per service: `config/backend/<service>/config.yaml`,
in containers `/app/config/config.yaml`, or the file that `TRADE_CONFIG` names. Numbers are read exactly, unknown keys are refused. The
comments beside keys in the shipped files are repeated here.

A key that ends in `_pct` is in percent: 25 is a quarter. A value between 0 and 1 looks like a fraction, so the service logs a warning at
startup (`risk_checks.max_concentration_pct is 0.25, which is 0.25 % …`) and uses it as it is. The same applies to `collar_pct` of
`instruments.yaml`. There is no warning for `swing_pct` of `venues.yaml`: a simulated market usually swings by less than one percent.
"""

INSTRUMENTS: Final = """\
## instruments.yaml

The tradable instruments. `currencies` is the worth of one unit of each in USD, `groups` lists instruments that differ only in the
symbol, `delisted` names symbols that are no longer traded ([operations.md](operations.md#changing-what-is-traded)). Keys of a group:
"""
CRUDE: Final = """\
```yaml
groups:
  - symbols: [CL, DE_POWER, CL-M6-N6]   # crude oil, electricity, a spread
    tick: 0.01
    lot: 1
    quantity_max: 1000
    notional_min: 0
    currency: USD
    negative_prices: true
```

`negative_prices: true` is for instruments whose price may be zero or negative. Orders, replaces, quotes, closes, fills and corrections of
such an instrument may then have any price on its tick; for all others they are refused. [risk.md](risk.md#prices-at-zero-and-below)
explains what counts how. The current catalogue decides: oms books a venue's fill below zero if the catalogue allows it at that
moment, or if the order's own price is not above zero. A booked fill stays booked when the flag is removed.
"""
GROUP_NOTES: Final = {
    "symbols": "letters, digits, `-`, `_`, `/` and dots inside (BRK.B, BTC/USD)",
    "tick": "step of prices",
    "lot": "step of quantities",
    "quantity_max": "a sanity bound, far above what risk allows",
    "notional_min": "minimum absolute price x quantity, in `currency`; not applied to a price of zero or to `reduce_only`",
    "currency": "one of `currencies`",
    "collar_pct": "replaces risk's `price_collar_pct`",
    "shortable": "whether accounts may sell below a flat position",
    "negative_prices": "whether the price may be zero or negative",
    "class": "by default crypto if the symbol ends with its currency (BTCUSDT, BTC/USD), nothing with `negative_prices`, else us_equity",
    "base": "what is traded; by default the symbol without the currency (crypto), or the symbol",
    "quote": "what it is paid in, as people call it; by default `currency`",
    "exchange": "by default CRYPTO or NASDAQ, by `class`",
    "names": "a name for some of the symbols (`{AAPL: Apple Inc.}`); by default BASE/QUOTE (crypto), or the symbol",
}


def page() -> str:
    """Return the whole of docs/configuration.md."""
    parts = [HEAD, _environment()]
    for service, model in SERVICES.items():
        notes = _notes((HERE / service / "config.yaml").read_text("utf-8"))
        rows = [f"| `{key}` | {kind} | {default} | {notes.get(key, '')} |" for key, kind, default in _keys(model)]
        parts.append("\n".join([f"## {service}", "", "| key | value | default | |", "|---|---|---|---|", *rows, ""]))
        if model.NO_EFFECT:
            idle = [f"| `{key}` | {reason} |" for key, reason in model.NO_EFFECT.items()]
            parts.append("\n".join(["Accepted, but without effect:", "", "| key | why |", "|---|---|", *idle, ""]))
    return "\n".join([*parts, _instruments()])


def _instruments() -> str:
    rows = [f"| `{key}` | {kind} | {default} | {GROUP_NOTES[key]} |" for key, kind, default in _keys(Group)]
    return "\n".join([INSTRUMENTS, "| key | value | default | |", "|---|---|---|---|", *rows, "", CRUDE])


def _environment() -> str:
    rows = [f"| `{variable}` | `{override.key}` |" for variable, override in OVERRIDES.items()]
    rows += [
        "| `TRADE_CONFIG` | the file that is read |",
        "| `TRADE_SECRETS_DIR` | the directory of `<service>.yaml` with users and passwords ([deployment.md](deployment.md#passwords)) |",
    ]
    return "\n".join(["## Environment", "", "A variable overrides the file.", "", "| variable | key |", "|---|---|", *rows, ""])


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield dotted key, type with bounds, and default of each key."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{field.alias or name}", _kind(inner, field), _default(field)


def _kind(annotation: Any, field: FieldInfo | None = None) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" if isinstance(value, str) else str(value).lower() for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_kind(each) for each in get_args(annotation) if each is not type(None))
    if get_origin(annotation) is tuple:
        return f"list of {_kind(get_args(annotation)[0])}"
    if annotation == Tls:
        return "`proxied`, or `cert`, `key` and `client_ca` with a path each"
    if annotation == Network:
        return "network"
    if hasattr(annotation, "__metadata__"):
        return _kind(get_args(annotation)[0])
    name = {"Decimal": "number", "float": "number", "int": "whole number", "str": "text", "bool": "true, false", "Path": "path"}
    return name.get(getattr(annotation, "__name__", ""), "text") + (_bounds(field) if field else "")


def _bounds(field: FieldInfo) -> str:
    words = {annotated_types.Ge: "from {}", annotated_types.Gt: "above {}", annotated_types.Le: "to {}", annotated_types.Lt: "below {}"}
    found = [words[type(bound)].format(getattr(bound, type(bound).__name__.lower())) for bound in field.metadata if type(bound) in words]
    return f" {' '.join(found)}" if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none: must be set"
    value = field.get_default(call_default_factory=True)
    if value is None or value == ():
        return "nothing"
    if isinstance(value, tuple | list):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _notes(text: str) -> dict[str, str]:
    """Return the comments behind the keys of a shipped file."""
    notes, section = {}, ""
    for line in text.splitlines():
        found = re.match(r"^(\s*)([a-z_]+):[^#]*?(?:#\s*(.*))?$", line)
        if not found:
            continue
        indent, key, note = found.groups()
        if not indent:
            section = key
        if note:
            notes[f"{section}.{key}" if indent else key] = note.replace("|", "\\|")
    return notes


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
