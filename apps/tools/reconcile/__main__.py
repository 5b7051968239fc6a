"""`python -m apps.tools.reconcile`: compare positions with the journal, by oms's configuration; `… VENUE …`: venues, by exeq's.

Differences are repaired, and the report is JSON on stdout.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import NoReturn

import msgspec
from nats.aio.client import Client

from adapters import bus
from adapters.clock import SystemClock
from adapters.codec import encode
from adapters.valkey import ValkeyPositions
from apps.connections import journals
from apps.exeq.reconciliation import VenuePass
from apps.oms.reconciliation import PositionsPass
from apps.runtime import helper_process, program_logs
from apps.runtime.exit_codes import Exit
from apps.tools.history.books import Books
from apps.tools.reconcile import venues as at_venues
from apps.tools.reconcile.positions import reconcile, together
from apps.tools.reconcile.venues import Kept
from config.loading import load_exeq, load_oms
from config.settings import ExeqSettings, OmsSettings
from domain.ports import Corrupt, Unavailable
from domain.shards import Shards
from domain.values import use_exact_arithmetic

VALKEY_TIMEOUT_MS = 5_000.0


def main(venues: Sequence[str]) -> NoReturn:
    """Reconcile and print the report. Exit codes: 0 with the report, 1 if the journal does not verify, 3 if it could not be done."""
    helper_process.become_helper()
    use_exact_arithmetic()
    program_logs.only()
    code = Exit.DONE
    try:
        looked = _venues(load_exeq(), venues) if venues else _positions(load_oms())
        sys.stdout.buffer.write(encode(asyncio.run(looked)))
    except Corrupt as damage:
        code = _failed(damage, Exit.REFUSED)
    except Unavailable as trouble:
        code = _failed(trouble, Exit.UNREACHABLE)
    sys.exit(code)


def _failed(trouble: Exception, code: Exit) -> Exit:
    print(trouble, file=sys.stderr)
    return code


async def _venues(settings: ExeqSettings, venues: Sequence[str]) -> list[VenuePass]:
    """Reconcile the venues in turn. A venue that does not answer is skipped: its routes are in doubt anyway."""
    client = await bus.connect(settings.nats.url, "reconcile", closed=lambda: None, timeout_s=float(settings.nats.connect_timeout_sec))
    done: list[VenuePass] = []
    try:
        directory, shards = settings.service.data_dir, Shards(settings.nats.shards)
        for shard in range(shards.count):
            journal = await journals.order_journal(client, shard, shards.count)
            kept = Kept(directory, SystemClock(), shards.number(shard)) if directory is not None else None
            for venue in venues:
                try:
                    found = await at_venues.reconcile(client, journal, venue, write=True, kept=kept, shard=shard)
                    done.append(msgspec.structs.replace(found, shard=shards.number(shard)))
                except Unavailable as trouble:
                    print(trouble, file=sys.stderr)
    finally:
        await client.close()
    return done


async def _positions(settings: OmsSettings) -> PositionsPass:
    client = await bus.connect(settings.nats.url, "reconcile", closed=lambda: None, timeout_s=float(settings.nats.connect_timeout_sec))
    try:
        return together([await _positions_of(settings, client, shard) for shard in range(settings.nats.shards)])
    finally:
        await client.close()


async def _positions_of(settings: OmsSettings, client: Client, shard: int) -> PositionsPass:
    """Reconcile the positions of the accounts of one shard."""
    shards, directory = Shards(settings.nats.shards), settings.service.data_dir
    valkey = ValkeyPositions.at(
        str(settings.valkey.url),
        database=settings.valkey.db,
        position_ttl_sec=settings.valkey.position_ttl_sec,
        timeout_ms=VALKEY_TIMEOUT_MS,
        shards=shards,
        shard=shard,
    )
    try:
        journal = await journals.order_journal(client, shard, shards.count)
        return await reconcile(journal, valkey, Books(directory, shards.number(shard)) if directory is not None else None)
    finally:
        await valkey.close()


if __name__ == "__main__":
    main(sys.argv[1:])
