"""`python -m apps.tools.verify`: a verification with oms's configuration and a report in JSON. oms runs it for `POST /admin/verify`."""

import asyncio
import os
import sys
from typing import NoReturn

import httpx
from nats.aio.client import Client

from adapters import bus
from adapters.codec import encode
from apps.connections import journals
from apps.http import tls
from apps.runtime import helper_process, program_logs
from apps.runtime.exit_codes import Exit
from apps.tools.verify.places import Places, opened
from apps.tools.verify.report import VerificationReport, together
from apps.tools.verify.run import verify
from config.loading import load_oms
from config.sections import TlsSection
from config.settings import OmsSettings
from domain.ports import Corrupt, Unavailable
from domain.shards import Shards
from domain.values import use_exact_arithmetic

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""The address at which to reach a service that listens on all interfaces."""


def main() -> NoReturn:
    """Verify and print the report. Exit codes: 0 (ok) and 1 (different) with a report on stdout, 3 if it could not be made."""
    helper_process.become_helper()
    use_exact_arithmetic()
    program_logs.only()
    try:
        report = asyncio.run(_verify(load_oms()))
    except (Unavailable, Corrupt) as trouble:
        print(trouble, file=sys.stderr)
        sys.exit(Exit.UNREACHABLE)
    sys.stdout.buffer.write(encode(report))
    sys.exit(0 if report.ok else Exit.REFUSED)


async def _verify(settings: OmsSettings) -> VerificationReport:
    client = await bus.connect(settings.nats.url, "verify", closed=lambda: None, timeout_s=float(settings.nats.connect_timeout_sec))
    try:
        return together([await _verify_shard(settings, client, shard) for shard in range(settings.nats.shards)])
    finally:
        await client.close()


async def _verify_shard(settings: OmsSettings, client: Client, shard: int) -> VerificationReport:
    journal = await journals.order_journal(client, shard, settings.nats.shards)
    async with opened(_places(settings, shard), client, tls.context_to_peers(settings)) as sides:
        return await verify(journal, sides)


def _places(settings: OmsSettings, shard: int) -> Places:
    service, in_questdb = settings.service, settings.fills == "questdb"
    has_tls = isinstance(settings.access.tls, TlsSection)  # then only the name in the certificate is good
    return Places(
        valkey=str(settings.valkey.url),
        valkey_db=settings.valkey.db,
        questdb_pg=str(settings.questdb.pg_url) if in_questdb else "",
        oms_key=_key(os.environ.get(helper_process.OMS_KEY, "")),
        oms=settings.peers.oms_url if has_tls else f"http://{ANY_ADDRESS.get(service.host, service.host)}:{service.port}",
        data_dir=service.data_dir,
        shards=Shards(settings.nats.shards),
        shard=shard,
    )


def _key(text: str) -> httpx.Auth | None:
    key_id, _, secret = text.partition(".")
    return httpx.BasicAuth(key_id, secret) if secret else None


if __name__ == "__main__":
    main()
