"""`POST /orders` in raw ASGI: FastAPI costs four times as much on the one latency-critical path."""

import time
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from apps.http.app import header, read_body, send_json
from apps.http.caller import caller_of
from apps.oms.metrics import OmsMetrics
from apps.oms.submit import SubmitHandler, SubmitResult
from apps.oms.submit_body import TermsReader
from apps.runtime.failpoint import failpoint
from domain.order.order import Order
from domain.ports import Clock

REPLAYED: Final = ',"replayed":true'


class SubmitEndpoint:
    """Reads the body, submits the order, writes the response. Refusals are raised; the chassis renders them."""

    def __init__(self, reader: TermsReader, intake: SubmitHandler, clock: Clock, metrics: OmsMetrics) -> None:
        self._reader = reader
        self._intake = intake
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            body, caller = await read_body(receive), caller_of(scope)
            terms = self._reader.read(body, header(scope, b"idempotency-key"), caller.account)
            denial = self._reader.denial(terms, self._clock.now_ns())
            answer = await self._intake.submit(terms, denial, by=caller.key_id)
        finally:
            self._metrics.submitted(time.perf_counter() - began)
        self._metrics.answered(answer)
        failpoint("before_reply")
        shards = self._intake.shards
        if shards.count > 1:
            shard = shards.of(terms.account)
            await send_json(send, 200, answer_body(answer, f',"shard":{shard}'), [(b"shard", b"%d" % shard)])
        else:
            await send_json(send, 200, answer_body(answer))
        failpoint("after_reply")


def answer_body(answer: SubmitResult, more: str = "") -> bytes:
    """Render the response: `submitted` or `rejected`. Only the client's own id can need escaping. `more`: further fields."""
    order = answer.order
    replayed = REPLAYED if answer.replayed else ""
    status = "rejected" if order.refused else "submitted"
    client_order_id = msgspec.json.encode(order.client_order_id).decode()
    reason = f',"reason":"{order.reason}"{_detail(order)}' if order.refused else ""
    return (
        f'{{"status":"{status}","order_id":"{order.order_id}","client_order_id":{client_order_id}{reason},"seq":{answer.seq}{more}{replayed}}}'
    ).encode()


def _detail(order: Order) -> str:
    found = {"found": order.found, "limit": order.limit, "unit": order.unit}
    inside = ",".join(f'"{name}":"{value}"' for name, value in found.items() if value is not None)
    return f',"detail":{{{inside}}}' if inside else ""
