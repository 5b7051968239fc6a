"""The alarms of the lifecycle page: refused steps, reports that cannot be applied, orders in doubt, unexpected fills."""

from typing import Final

import structlog

from apps.journal.shard_host import Landed
from apps.oms.metrics import OmsMetrics
from domain.order.decider import Events
from domain.order.events import OrderFilled, OrderInDoubt, ReplaceRefused, ReportQuarantined, TransitionRefused

log = structlog.get_logger()

ALARMING: Final = frozenset({TransitionRefused, ReportQuarantined, OrderInDoubt, OrderFilled})


class OrderAlarms:
    """Logs and counts alarms. Called only after the commit is acknowledged."""

    def __init__(self, metrics: OmsMetrics) -> None:
        self._metrics = metrics

    def __call__(self, landed: Landed) -> None:
        for event in landed.events:
            if type(event) in ALARMING:
                self._alarm(event)

    def unrecorded(self, events: Events) -> None:
        """Count and log refusals and repeated events, which are not journaled."""
        for event in events:
            if type(event) is TransitionRefused:
                self._alarm(event)
            elif isinstance(event, ReportQuarantined | ReplaceRefused):
                self._metrics.repeated(type(event).__name__)

    def _alarm(self, event: object) -> None:
        if type(event) is TransitionRefused:
            self._metrics.transition_refused(event.trigger)
            log.warning("transition refused", order_id=event.order_id, state=event.status, trigger=event.trigger, source=event.source)
        elif type(event) is ReportQuarantined:
            self._metrics.quarantined(event.reason)
            log.error("venue report quarantined", order_id=event.order_id, venue=event.venue, reason=event.reason, report=event.report)
        elif type(event) is OrderInDoubt:
            self._metrics.doubted(event.reason)
            log.error("order in doubt", order_id=event.order_id, route_id=event.route_id, venue=event.venue, reason=event.reason)
        elif type(event) is OrderFilled and (event.late or event.overfill):
            log.error("unexpected fill booked", order_id=event.order_id, exec_id=event.exec_id, late=event.late, overfill=event.overfill)
