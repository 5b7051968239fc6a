"""The alarms of the lifecycle page: refused steps, reports that cannot be applied, orders in doubt, unexpected fills."""

from collections import deque

import msgspec
import structlog

from apps.journal.shard_host import Landed
from apps.oms.metrics import OmsMetrics
from domain.alarms import ALARMING, KEPT_MAX, Alarm, alarm_of, alarm_views
from domain.order.decider import Events
from domain.order.events import ListFlagged, OrderEvent, OrderFilled, OrderInDoubt, ReplaceRefused, ReportQuarantined, TransitionRefused

log = structlog.get_logger()


class OrderAlarms:
    """Logs, counts and keeps alarms. Called only after the commit is acknowledged.

    The kept ones are those of this process: desk has the recorded ones of the whole journal. Steps that were refused without a record are
    nowhere else.
    """

    def __init__(self, metrics: OmsMetrics) -> None:
        self._metrics = metrics
        self._recorded: deque[Alarm] = deque(maxlen=KEPT_MAX)
        self._unrecorded: deque[Alarm] = deque(maxlen=KEPT_MAX)
        """Apart from the others, so that requests alone cannot push these out."""
        self._encoded: msgspec.Raw | None = None

    def __call__(self, landed: Landed) -> None:
        for event in landed.events:
            if type(event) in ALARMING:
                self._alarm(event, landed.order.account if landed.order is not None else "", landed.seq)

    def unrecorded(self, events: Events) -> None:
        """Count and log refusals and repeated events, which are not journaled."""
        for event in events:
            if type(event) is TransitionRefused:
                self._alarm(event, "", None)
            elif isinstance(event, ReportQuarantined | ReplaceRefused):
                self._metrics.repeated(type(event).__name__)

    def encoded(self) -> msgspec.Raw:
        """Return the alarms of this process for `/stats`, newest first. desk reads it once a second, so it is made once for each change."""
        if self._encoded is None:
            self._encoded = msgspec.Raw(msgspec.json.encode(alarm_views((*self._recorded, *self._unrecorded))))
        return self._encoded

    def _alarm(self, event: OrderEvent, account: str, seq: int | None) -> None:
        if (alarm := alarm_of(event, account, seq)) is not None:
            (self._unrecorded if seq is None else self._recorded).append(alarm)
            self._encoded = None
        if type(event) is TransitionRefused:
            self._metrics.transition_refused(event.trigger)
            log.warning("transition refused", order_id=event.order_id, state=event.status, trigger=event.trigger, source=event.source)
        elif type(event) is ReportQuarantined:
            self._metrics.quarantined(event.reason)
            log.error("venue report quarantined", order_id=event.order_id, venue=event.venue, reason=event.reason, report=event.report)
        elif type(event) is OrderInDoubt:
            self._metrics.doubted(event.reason)
            log.error("order in doubt", order_id=event.order_id, route_id=event.route_id, venue=event.venue, reason=event.reason)
        elif type(event) is ListFlagged:
            self._metrics.list_flagged(event.flag)
            log.error("list needs attention", lead=event.order_id, flag=event.flag, leg=event.leg, reason=event.reason)
        elif type(event) is OrderFilled and (event.late or event.overfill):
            log.error("unexpected fill booked", order_id=event.order_id, exec_id=event.exec_id, late=event.late, overfill=event.overfill)
