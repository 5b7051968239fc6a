"""Recording of the catalogue at startup, before any check uses it.

A traded symbol thus stays known after it is delisted, and a rate applies from the time it was set.
"""

from functools import partial
from typing import Any, Final

from adapters.clock import SystemClock
from apps.connections import nats
from apps.journal.subscription import JournalSubscription
from apps.risk.control_log import ControlLog
from apps.runtime.chassis import Chassis
from config.catalogue import Catalogue
from config.settings import RiskSettings
from domain.market.listings import Change
from domain.ports import Journal
from domain.risk.controls import CatalogueChanged, ControlEvent, Controls

WHO: Final = "catalogue"


async def record_catalogue(
    chassis: Chassis[RiskSettings],
    catalogue: Catalogue,
    controls: Controls,
    journal: Journal,
    follower: JournalSubscription[Any],
    record: ControlLog[ControlEvent],
) -> None:
    """Wait until the controls are read to their end, and record the catalogue's changes in them."""
    await follower.wait_for((await nats.patiently(journal.head)).seq)
    await nats.patiently(partial(_recorded, chassis, catalogue, controls, record))
    if gone := controls.listings.delisted - catalogue.delisted.keys():
        chassis.log.warning("the catalogue no longer has symbols that it once listed", symbols=sorted(gone)[:20], count=len(gone))


async def _recorded(chassis: Chassis[RiskSettings], catalogue: Catalogue, controls: Controls, record: ControlLog[ControlEvent]) -> None:
    currencies = {symbol: instrument.currency for symbol, instrument in catalogue.instruments.items()}
    for change in controls.listings.changes(currencies, catalogue.currencies, catalogue.delisted):
        stored = await record.record(partial(_event, change))
        chassis.log.info("the catalogue is recorded", rates=len(change.rates), listed=len(change.listed), seq=stored.seq)


def _event(change: Change, version: int) -> CatalogueChanged:
    return CatalogueChanged(
        version=version,
        at=SystemClock().now_ns(),
        who=WHO,
        reason="catalogue at the start of risk",
        rates=dict(change.rates),
        listed=dict(change.listed),
        delisted=change.delisted,
    )
