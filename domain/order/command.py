"""The common fields of commands, and the decision of risk that some of them carry."""

from decimal import Decimal

import msgspec

from domain.instruments import Denial


class RiskDecision(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The decision on one order, from risk's engine to the journal. `denial` is None if the order was approved and reserved.

    `checks` holds the measured values, one line in the format of domain/risk/decision_record.py. `reference` is the price that valued
    the order. `source` is the service that decided: risk, or oms itself.
    """

    order_id: str
    limits_version: int
    denial: Denial | None = None
    checks: str = ""
    reference: Decimal | None = None
    source: str = "risk"

    @property
    def approved(self) -> bool:
        return self.denial is None


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", gc=False):
    order_id: str


class ClientCommand(Command, frozen=True, kw_only=True, gc=False):
    """A command that a client may send. `by` is the id of its key or `local`; empty from a service. See events.py."""

    by: str = ""


class ExeqCommand(Command, frozen=True, kw_only=True, gc=False):
    """A command from exeq. `unit` and `epoch` identify the sender: oms refuses every exeq except the last one that took the shard."""

    unit: str = ""
    epoch: int = 0
