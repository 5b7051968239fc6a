"""What the peers' submit takes."""

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel


class Submit(BaseModel):
    account: str
    client_order_id: str
    symbol: str
    side: Literal["buy", "sell"]
    type: Literal["limit", "market"]
    quantity: Decimal
    price: Decimal = Decimal(45_000)
