"""An event of the order journal that belongs to no order: every fold goes past it, and nothing moves."""

import msgspec

from domain.checker import Commit, Ledger
from domain.events import JournalAccepted, OrderEvent
from domain.executions import Executions
from domain.orders import Orders
from domain.ports import EventRow
from domain.position import Book
from domain.projections import Owners, table_rows
from tests.domain.risk_scene import new_risk
from tests.given import NOW

ACCEPTED = JournalAccepted(at=NOW, who="ann", reason="the disk was lost", goes_on_from=7, acknowledged_to=9)
