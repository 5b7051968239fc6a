"""`python -m apps.reconcile`: positions in Valkey against the journal, put right where they differ, with oms's own configuration."""

import asyncio
import sys
from typing import NoReturn

from adapters import bus
from adapters.codec import encode
from adapters.valkey import ValkeyPositions
from apps import beside, wiring
from apps.cli import logs
from apps.past.books import Books
from apps.reconcile.positions import Pass, reconcile
from apps.up.trouble import Exit
from config.loading import load_oms
from config.settings import OmsSettings
from domain.ports import Corrupt, Unavailable
from domain.values import use_exact_arithmetic

VALKEY_TIMEOUT_MS = 5_000.0


def main() -> NoReturn:
    """Exit codes: 0 with the report on stdout, 1 when the journal does not verify, 3 when it could not be done."""
    beside.settle_in()
    use_exact_arithmetic()
    logs.only()
    code = Exit.DONE
    try:
        sys.stdout.buffer.write(encode(asyncio.run(_reconcile(load_oms()))))
    except Corrupt as damage:
        code = _failed(damage, Exit.REFUSED)
    except Unavailable as trouble:
        code = _failed(trouble, Exit.UNREACHABLE)
    sys.exit(code)


def _failed(trouble: Exception, code: Exit) -> Exit:
    print(trouble, file=sys.stderr)
    return code


async def _reconcile(settings: OmsSettings) -> Pass:
    client = await bus.connect(settings.nats.url, "reconcile", closed=lambda: None, timeout_s=float(settings.nats.connect_timeout_sec))
    valkey = ValkeyPositions.at(
        str(settings.valkey.url),
        database=settings.valkey.db,
        position_ttl_sec=settings.valkey.position_ttl_sec,
        timeout_ms=VALKEY_TIMEOUT_MS,
    )
    try:
        journal = await wiring.order_journal(client, settings.journal.shard)
        directory = settings.service.data_dir
        return await reconcile(journal, valkey, Books(directory) if directory is not None else None)
    finally:
        await valkey.close()
        await client.close()


if __name__ == "__main__":
    main()
