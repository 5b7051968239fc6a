"""The indexes of OpenSearch and their strict mappings."""

from collections.abc import Mapping
from typing import Any, Final

from domain.archive import documents

PREFIX: Final = "trade-"
CHECKPOINTS: Final = "checkpoints"
REFRESH: Final = "2s"
"""How soon a document is found after its write."""

WORD: Final = {"type": "keyword"}
TEXT: Final = {"type": "text"}
NUMBER: Final = {"type": "double"}
MOMENT: Final = {"type": "date_nanos", "format": "strict_date_optional_time_nanos"}
KEPT_TEXT: Final = {"type": "keyword", "index": False, "doc_values": False}
KEPT: Final = {"type": "object", "enabled": False}

_WHAT: Final = ("order_id", "client_order_id", "account", "symbol", "side", "type", "time_in_force", "status", "reason", "source")
_WHERE: Final = ("venues", "venue_order_ids", "exec_ids")
_NUMBERS: Final = ("quantity", "price", "stop_price", "cum_quantity", "average_price", "fees")
_ORDER: Final[Mapping[str, Any]] = {
    **dict.fromkeys((*_WHAT, *_WHERE), WORD),
    **dict.fromkeys(_NUMBERS, NUMBER),
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "n": {"type": "long"},
    "events": {"type": "integer"},
    "words": TEXT,
    "timeline": KEPT,
    "state": KEPT_TEXT,
}
_PLAIN: Final = {"id": WORD, "at": MOMENT, "type": WORD, "text": TEXT, "detail": KEPT_TEXT}

MAPPINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    documents.ORDERS: _ORDER,
    documents.NOTICES: {**_PLAIN, "order_id": WORD},
    documents.CONTROLS: {**_PLAIN, "who": WORD},
    documents.MARKET_FACTS: {**_PLAIN, "venue": WORD, "symbol": WORD},
    CHECKPOINTS: {"owner": {"type": "long"}, "body": KEPT_TEXT},
}


def index(name: str) -> str:
    return PREFIX + name


def creation(name: str) -> dict[str, Any]:
    """Return the body that creates an index: one shard, no field that its mapping does not name."""
    settings = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": REFRESH}
    return {"settings": settings, "mappings": {"dynamic": "strict", "properties": MAPPINGS[name]}}
