"""What a service says about itself, asked for over NATS: a program that may not read its `/stats` with a key of its own needs none."""

from typing import Any, Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from apps.http.app import encode
from apps.runtime.chassis import Chassis
from domain.ports import Unavailable

log = structlog.get_logger()

PENDING_MAX: Final = 64
ANSWER_S: Final = 0.8


async def answer_stats(chassis: Chassis[Any], client: Client) -> None:
    """Answer questions of the desk with what `/stats` says."""

    async def on_question(message: Msg) -> None:
        try:
            await bus.publish(client, message.reply, encode(chassis.stats()))
        except Unavailable as trouble:
            log.warning("cannot say how this service is", reason=str(trouble))

    await client.subscribe(subjects.service_stats(chassis.name), cb=on_question, pending_msgs_limit=PENDING_MAX)


async def ask_stats(client: Client, service: str) -> dict[str, Any] | None:
    """Return what a service says about itself; None if it does not answer."""
    try:
        answer = await bus.request(client, subjects.service_stats(service), b"", ANSWER_S)
        found = msgspec.json.decode(answer)
    except (Unavailable, ValueError):
        return None
    return found if isinstance(found, dict) else None
