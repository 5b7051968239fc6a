"""The view of positions in responses. Exact numbers, RFC 3339 times."""

from collections.abc import Callable, Iterable
from decimal import Decimal

from apps.http.order_view import View
from domain.market.quotes import Market
from domain.position.position import Position
from domain.values import rfc3339


def positions_view(positions: Iterable[Position], currency: Callable[[str], str | None], market: Market, since_ns: int) -> View:
    return {p.symbol: _position(p, currency(p.symbol), market.mid(p.symbol, since_ns)) for p in positions}


def _position(position: Position, currency: str | None, mid: Decimal | None) -> View:
    """Build one position. Prices and money are in `currency`. The mark is the mid of fresh quotes, else the last fill's price."""
    return {
        "currency": currency,
        "quantity": position.quantity,
        "average_price": position.average_price,
        "last_price": position.last_price,
        "realised_pnl": position.realised_pnl,
        "unrealised_pnl": position.unrealised_pnl(position.last_price if mid is None else mid),
        "fees": position.fees,
        "updated_at": rfc3339(position.updated_at),
        "seq": position.seq,
    }
