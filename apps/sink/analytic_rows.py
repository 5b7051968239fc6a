"""Which rows a message has in the analytic places. Pure: the same message has the same rows."""

from collections.abc import Sequence
from typing import Any

from adapters.codec import Decoded
from domain.archive import documents, tables
from domain.archive.checkpoint import Message
from domain.archive.market_rows import FACTS, QUOTES, record_rows
from domain.archive.ports import ArchiveRow, Loss
from domain.market.records import Records
from domain.order.events import OrderEvent
from domain.risk.controls import ControlEvent


def order_tables(message: Message[Decoded[OrderEvent]]) -> Sequence[ArchiveRow]:
    commit = message.body.commit
    return tables.order_event_rows(message.part, commit.shard, message.n, commit.events)


def order_documents(message: Message[Decoded[OrderEvent]]) -> Sequence[ArchiveRow]:
    commit = message.body.commit
    return documents.change_rows(message.part, commit.shard, message.n, commit.events)


def control_tables(message: Message[Decoded[ControlEvent]]) -> Sequence[ArchiveRow]:
    return tables.control_rows(message.part, message.n, message.body.commit.events)


def control_documents(message: Message[Decoded[ControlEvent]]) -> Sequence[ArchiveRow]:
    return documents.control_documents(message.part, message.n, message.body.commit.events)


def fact_tables(message: Message[Records[Any] | Loss]) -> Sequence[ArchiveRow]:
    """Return the rows of facts; also of the loss of a part of the stream."""
    found = [row.value for row in record_rows(message) if row.table == FACTS]
    return tables.fact_rows(message.part, message.epoch, message.n, found)


def fact_documents(message: Message[Records[Any] | Loss]) -> Sequence[ArchiveRow]:
    found = [row.value for row in record_rows(message) if row.table == FACTS]
    return documents.fact_documents(message.part, message.epoch, message.n, found)


def quote_tables(message: Message[Records[Any] | Loss]) -> Sequence[ArchiveRow]:
    """Return the last quote of each second, and the fact of a loss; nothing of trades and books."""
    if isinstance(message.body, Loss):
        return fact_tables(message)
    found = [row.value for row in record_rows(message) if row.table == QUOTES]
    return tables.quote_rows(message.part, message.epoch, message.n, found)
