"""`risk.check.order`: one order or a list, decided in one pass, with one reply to every request.

A request with an order id reserves what the order may cost. Only oms may publish here. Others use `risk.check.dry`, which never reserves,
whatever id it names. nats-server enforces this (apps.stack.credentials.nats).
"""

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import structlog
from msgspec.structs import replace
from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters import bus, subjects
from adapters.codec import decoder, encode
from apps.http.trail_body import type_of
from apps.risk.engines import Checks
from apps.risk.metrics import RiskMetrics
from apps.runtime.loop_share import LoopShare
from domain.order.commands import RiskDecision, Terms
from domain.order.trail import Trail, TrailTrigger
from domain.values import OrderType, Side, TimeInForce

log = structlog.get_logger()

REQUESTS_PENDING_MAX: Final = 4096
"""Requests that wait to be read. The NATS client drops further ones, and the sender denies them by timeout."""


class CheckRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An order to check, with the fields of `POST /check`. The type defaults as there; without an order id the check is dry."""

    account: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None = None
    type: OrderType | None = None
    stop_price: Decimal | None = None
    order_id: str = ""
    client_order_id: str = ""
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_at: int | None = None
    priority: int = 0
    post_only: bool = False
    reduce_only: bool = False
    display_quantity: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    trail_trigger: TrailTrigger | None = None
    limit_offset: Decimal | None = None
    activation_price: Decimal | None = None

    def terms(self) -> Terms:
        trail, fields = self._trail(), {name: getattr(self, name) for name in _PLAIN_FIELDS}
        return Terms(order_type=self.type or type_of(self.price, trail), trail=trail, **fields)

    def _trail(self) -> Trail | None:
        trigger = self.trail_trigger or TrailTrigger.TOUCH
        trail = Trail(self.trail_amount, self.trail_percent, trigger, self.limit_offset, self.activation_price)
        return None if trail == NO_TRAIL and self.trail_trigger is None else trail


NO_TRAIL: Final = Trail()
_PLAIN_FIELDS: Final = frozenset(CheckRequest.__struct_fields__) & frozenset(Terms.__struct_fields__)
"""The fields that a request has in common with the terms of an order."""


LEGS_MAX: Final = 50
"""Orders of one list."""
LIST_PREFIX: Final = b'{"list":'


class ListRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A request to decide the orders of one list together."""

    list: list[Terms]


_LIST: Final = decoder(ListRequest)


class CheckReply(RiskDecision, frozen=True, kw_only=True, gc=False):
    """A decision with the fields `approved` and `reason` of the HTTP API."""

    approved: bool
    reason: str | None = None


_MANY: Final = decoder(list[Terms])
_PARTS: Final = decoder(list[msgspec.Raw])
_TERMS: Final = decoder(Terms)
_PLAIN: Final = decoder(CheckRequest)
_NAMED: Final = decoder(dict[str, Any])


class CheckHandler:
    """Serves checks over NATS. The callback must not raise: the subscription would stop."""

    def __init__(
        self,
        client: Client,
        check_service: Checks,
        measures: RiskMetrics,
        batch_max: int,
        holds: Callable[[], bool],
        share: LoopShare | None = None,
    ) -> None:
        """`holds`: whether this process is active. While it is not, another process replies, and this one does not.

        `share`: limits the time that these requests take of a shared event loop.
        """
        self._share = share
        self._holds = holds
        self._client = client
        self._check_service = check_service
        self._measures = measures
        self._batch_max = batch_max

    async def start(self) -> None:
        for subject in (subjects.CHECK, subjects.DRY_CHECK):
            await self._client.subscribe(subject, cb=self.on_request, pending_msgs_limit=REQUESTS_PENDING_MAX)

    def decide(self, terms: Terms) -> RiskDecision:
        """Decide for oms in this process, with a reservation."""
        return self._check_service.decide(terms) if self._holds() else self._not_its_turn(terms)

    def decide_list(self, legs: Sequence[Terms]) -> list[RiskDecision]:
        """Decide a list for oms in this process, with reservations for all or none."""
        return self._check_service.decide_list(legs) if self._holds() else [self._not_its_turn(terms) for terms in legs]

    def _not_its_turn(self, terms: Terms) -> RiskDecision:
        self._measures.counts["not_its_turn"] += 1
        return self._check_service.refuse(terms.order_id, "not_its_turn")

    async def on_request(self, message: Msg) -> None:
        if not message.reply:
            return  # no reply is possible, and a reservation would leak
        if not self._holds():
            self._measures.counts["not_its_turn"] += 1
            return
        if self._share is not None:
            await self._share.pass_through(len(message.data))
        began = time.perf_counter_ns()
        try:
            reply = encode(self.answer(message.data, dry=message.subject == subjects.DRY_CHECK))
        except Exception as error:  # noqa: BLE001 - a callback of the NATS client
            log.error("risk request failed", error=repr(error)[:500])
            reply = encode(answered(self._check_service.refuse("", type(error).__name__)))
        self._measures.took("nats", time.perf_counter_ns() - began)
        try:
            await self._client.publish(message.reply, reply)
        except bus.WireError as error:
            log.warning("a risk reply was not sent", error=str(error) or type(error).__name__)

    def answer(self, payload: bytes, *, dry: bool = False) -> CheckReply | list[CheckReply]:
        if not dry and payload.startswith(LIST_PREFIX):
            return self._list(payload)
        try:
            orders = _MANY.decode(payload)
        except (ValueError, RecursionError):
            return self._one_by_one(payload, dry)
        if len(orders) > self._batch_max:
            return [answered(self._check_service.refuse(terms.order_id, "batch_too_large")) for terms in orders]
        decide = self._dry if dry else self._check_service.decide
        return [answered(decide(terms)) for terms in orders]

    def _list(self, payload: bytes) -> CheckReply | list[CheckReply]:
        """Decide `{"list": [...]}`, the orders of one list."""
        try:
            legs = _LIST.decode(payload).list
        except (ValueError, RecursionError):
            return answered(self._malformed(""))
        if not 0 < len(legs) <= LEGS_MAX:
            return answered(self._check_service.refuse("", "batch_too_large"))
        return [answered(decision) for decision in self._check_service.decide_list(legs)]

    def _dry(self, terms: Terms) -> RiskDecision:
        """Return a decision under the requested id without a reservation. What a submit would refuse now is denied with its reason."""
        return replace(self._check_service.dry(replace(terms, order_id="", replaces="")), order_id=terms.order_id)

    def _one_by_one(self, payload: bytes, dry: bool) -> CheckReply | list[CheckReply]:
        """Decide a single order, or a list in which at least one order is unreadable."""
        text = payload.lstrip()
        if not text.startswith(b"["):
            return answered(self._read(payload, dry))
        try:
            parts = _PARTS.decode(payload)
        except (ValueError, RecursionError):
            return answered(self._malformed(""))
        if len(parts) > self._batch_max:
            return [answered(self._check_service.refuse(_order_id(part), "batch_too_large")) for part in parts]
        return [answered(self._read(part, dry)) for part in parts]

    def _read(self, text: bytes | msgspec.Raw, dry: bool) -> RiskDecision:
        for kind in (_TERMS, _PLAIN):
            try:
                found = kind.decode(text)
            except (ValueError, RecursionError):
                continue
            terms = found.terms() if isinstance(found, CheckRequest) else found
            return self._dry(terms) if dry or not terms.order_id else self._check_service.decide(terms)
        return self._malformed(_order_id(text))

    def _malformed(self, order_id: str) -> RiskDecision:
        self._measures.counts["malformed"] += 1
        return self._check_service.refuse(order_id, "malformed")


def answered(decision: RiskDecision) -> CheckReply:
    denial = decision.denial
    return CheckReply(
        order_id=decision.order_id,
        limits_version=decision.limits_version,
        denial=denial,
        checks=decision.checks,
        reference=decision.reference,
        approved=denial is None,
        reason=denial.code if denial else None,
    )


def _order_id(text: bytes | msgspec.Raw) -> str:
    """Read the order id, at most 64 characters; empty when it cannot be read."""
    try:
        found = _NAMED.decode(text).get("order_id", "")
    except (ValueError, RecursionError):
        return ""
    return found[:64] if isinstance(found, str) else ""
