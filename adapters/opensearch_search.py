"""Search over the orders in OpenSearch: words and fields, within bounds."""

from collections.abc import Sequence
from typing import Final

import msgspec

from adapters.opensearch import OpenSearch, reason_of
from adapters.opensearch_schema import index
from domain.archive.documents import ORDERS, order_of
from domain.order.order import Order

SEARCH_CHARS_MAX: Final = 1_000
SEARCH_ROWS_MAX: Final = 500
SEARCH_TIME_MAX: Final = "5s"
COUNTED_MAX: Final = 10_000
"""Up to this many the found orders are counted exactly."""
STATES_MAX: Final = 1_000
"""Bound of the automaton of a wildcard."""


class SearchRefused(Exception):
    """A query string that cannot be read; the message says why."""


class SearchAnswer(msgspec.Struct, frozen=True):
    """The newest of the found orders, and how many were found. `complete` is False if the search ran out of time or stopped counting."""

    orders: Sequence[Order]
    found: int
    complete: bool


async def search(server: OpenSearch, text: str, limit: int) -> SearchAnswer:
    """Return orders whose document has every word of `text`, newest first. Raises SearchRefused, Unavailable.

    `field:value` compares one field, `price:>100` and `created_at:[2026-11-01 TO *]` a range; OR, NOT, "phrases" and trailing * work.
    """
    if not text.strip() or len(text) > SEARCH_CHARS_MAX:
        raise SearchRefused(f"a search has 1 to {SEARCH_CHARS_MAX} characters")
    status, found = await server.request("POST", f"/{index(ORDERS)}/_search", _question(text, limit), fine=[400, 404])
    if status == 404:
        return SearchAnswer([], 0, complete=True)
    if status == 400:
        raise SearchRefused(reason_of(found))
    total = found["hits"]["total"]
    complete = not found["timed_out"] and total["relation"] == "eq"
    return SearchAnswer([order_of(hit["_source"]) for hit in found["hits"]["hits"]], total["value"], complete)


def _question(text: str, limit: int) -> dict[str, object]:
    return {
        "query": {
            "query_string": {
                "query": text.replace("/", r"\/"),  # a symbol may have one; unescaped it would begin a regular expression
                "default_field": "words",
                "default_operator": "AND",
                "allow_leading_wildcard": False,
                "max_determinized_states": STATES_MAX,
            }
        },
        "size": min(limit, SEARCH_ROWS_MAX),
        "sort": [{"created_at": "desc"}, {"order_id": "desc"}],
        "_source": ["state"],
        "timeout": SEARCH_TIME_MAX,
        "track_total_hits": COUNTED_MAX,
    }
