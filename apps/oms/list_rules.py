"""What the rules of lists depend on: the catalogue's steps and sizes, and the controls in force."""

from collections.abc import Mapping
from decimal import Decimal

from domain.groups.contingency import Rules
from domain.instruments import Instrument, is_too_small
from domain.order.order import Order
from domain.risk.controls import Controls
from domain.shards import ONE_SHARD, Shards


def list_rules(instruments: Mapping[str, Instrument], controls: Controls, shards: Shards = ONE_SHARD) -> Rules:
    """Build the rules. A symbol that is in no catalogue any more has no lot and no minimum."""

    def on_lot(symbol: str, quantity: Decimal) -> Decimal:
        instrument = instruments.get(symbol)
        return quantity if instrument is None else quantity - quantity % instrument.lot

    def tradable(order: Order, quantity: Decimal) -> bool:
        instrument = instruments.get(order.symbol)
        price = order.price or order.stop_price or order.reference
        return instrument is None or price is None or not is_too_small(instrument, quantity, price)

    def forbids(order: Order) -> bool:
        return controls.forbids(order.account, order.symbol) is not None

    return Rules(on_lot, tradable, forbids, shards)
