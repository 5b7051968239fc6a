"""`python -m apps.tools.history ACCOUNT SEQ`: an account's positions at a sequence as JSON, with oms's own configuration."""

import asyncio
import sys
from typing import NoReturn

from adapters import bus
from adapters.codec import encode
from apps.connections import journals
from apps.runtime import helper_process, program_logs
from apps.runtime.exit_codes import Exit
from apps.tools.history.books import Books
from apps.tools.history.fold import book_at
from config.loading import load_oms
from config.settings import OmsSettings
from domain.ports import Corrupt, Unavailable
from domain.position.position import Position
from domain.values import use_exact_arithmetic


def main(account: str, seq: int) -> NoReturn:
    """Print the positions. Exit codes: 0 with the answer on stdout, 1 if the journal does not verify, 3 if it cannot be read."""
    helper_process.become_helper()
    use_exact_arithmetic()
    program_logs.only()
    code = Exit.DONE
    try:
        sys.stdout.buffer.write(encode(asyncio.run(_positions(load_oms(), account, seq))))
    except Corrupt as damage:
        code = _failed(damage, Exit.REFUSED)
    except Unavailable as trouble:
        code = _failed(trouble, Exit.UNREACHABLE)
    sys.exit(code)


def _failed(trouble: Exception, code: Exit) -> Exit:
    print(trouble, file=sys.stderr)
    return code


async def _positions(settings: OmsSettings, account: str, seq: int) -> list[Position]:
    client = await bus.connect(settings.nats.url, "past", closed=lambda: None, timeout_s=float(settings.nats.connect_timeout_sec))
    try:
        journal = await journals.order_journal(client, settings.journal.shard)
        directory = settings.service.data_dir
        book = await book_at(journal, seq, Books(directory) if directory is not None else None)
        return book.of(account)
    finally:
        await client.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
