"""Questions for every route that an OpenAPI document lists, made from the document itself: a new route or parameter is asked about too."""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

NAMES: Final = {
    "symbol": "BTCUSDT",
    "account": "alice",
    "venue": "PAPER_A",
    "order_id": "0" * 32,
    "list_id": "0" * 32,
    "key_id": "PKNOTHING",
    "algo_id": "0" * 32,
    "at_seq": "1",
    "from_seq": "1",
    "to_seq": "1",
}
"""What stands in a path, and for a parameter that a route requires."""
NEITHER: Final = "a\x00 b"
"""No parameter of any route may have this value."""


ENDLESS: Final = "/stream"
"""It has no end, and takes one parameter several times: tests/apps/test_desk_stream.py."""


class Asked(NamedTuple):
    method: str
    url: str
    pointer: str


def addresses(document: Any) -> Iterator[tuple[str, str, dict[str, bool]]]:
    """Method, address, and the parameters of the query with whether they are required."""
    for path, methods in document["paths"].items():
        if path == ENDLESS:
            continue
        address = re.sub(r"{(\w+)(?::path)?}", lambda found: NAMES[found.group(1)], path)
        for method, operation in methods.items():
            listed = operation.get("parameters", [])
            yield method.upper(), address, {each["name"]: each["required"] for each in listed if each["in"] == "query"}


def takes_several(document: Any) -> Iterator[tuple[str, str, str]]:
    """Method, address and name of each parameter that may be repeated."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for each in operation.get("parameters", []):
                kinds = [kind.get("type") for kind in each["schema"].get("anyOf", [each["schema"]])]
                if "array" in kinds:
                    yield method.upper(), path, each["name"]


def wrong_queries(document: Any) -> Iterator[Asked]:
    """Each route with a parameter that it does not know, with each of its own twice, and with each of its own wrong."""
    several = set(takes_several(document))
    for method, address, known in addresses(document):
        needed = {name: NAMES[name] for name, required in known.items() if required}
        yield Asked(method, f"{address}?{urlencode([*needed.items(), ('no_such', '1')])}", "?no_such")
        yield Asked(method, f"{address}?{urlencode([*needed.items(), ('no_such', '')])}", "?no_such")
        for name in known:
            others = [(other, value) for other, value in needed.items() if other != name]
            if (method, address, name) not in several:
                yield Asked(method, f"{address}?{urlencode([(name, '1'), *others, (name, '1')])}", f"?{name}")
            yield Asked(method, f"{address}?{urlencode([*others, (name, NEITHER)], quote_via=quote)}", f"?{name}")


def reads(document: Any) -> list[str]:
    """The address of every GET, with what it requires."""
    found = [(address, known) for method, address, known in addresses(document) if method == "GET"]
    return [
        address + (f"?{urlencode(needed)}" if (needed := {name: NAMES[name] for name, required in known.items() if required}) else "")
        for address, known in found
    ]
