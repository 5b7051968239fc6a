"""`python -m apps.tools.history ACCOUNT SEQ`: an account's positions at a sequence as JSON, with oms's own configuration."""

import sys
from typing import NoReturn

from nats.aio.client import Client

from adapters.codec import encode
from apps.connections import journals
from apps.tools.history.books import Books
from apps.tools.history.fold import book_at
from apps.tools.history.program import answer
from config.loading import load_oms
from config.settings import OmsSettings
from domain.shards import Shards


def main(account: str, seq: int) -> NoReturn:
    """Print the positions."""

    async def positions(settings: OmsSettings, client: Client) -> bytes:
        shards, directory = Shards(settings.nats.shards), settings.service.data_dir
        shard = shards.of(account)
        journal = await journals.order_journal(client, shard, shards.count)
        books = None if directory is None else Books(directory, shards.number(shard))
        book = await book_at(journal, seq, books)
        return encode(book.of(account))

    answer(load_oms, "past", positions)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
