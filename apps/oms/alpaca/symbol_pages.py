"""Pages of the recorded market over several symbols: one after the other in the order of their names, continued by a token."""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from apps.http.alpaca_words import NOT_FOUND, AlpacaRefusal, malformed_field
from apps.http.app import encoded_in_turns
from apps.http.problem import ECHO_MAX
from apps.oms.alpaca.catalogue import AlpacaAsset, AssetBook
from apps.oms.alpaca.requests import AlpacaRequest, count_in, list_in, moment_in, word_in
from domain.market.bar_history import DAY_NS

P = TypeVar("P")
T = TypeVar("T")

LIMIT_DEFAULT, LIMIT_MAX = 1000, 10_000
"""Items that a client may ask for at once."""
PAGE_MAX: Final = 1000
"""Items on a page. Alpaca says that a page may have fewer than were asked for, and clients follow its token."""
SYMBOLS_MAX: Final = 100
"""Symbols in one request."""
TOKEN_MAX: Final = 200
"""Characters of a page's token."""
MOMENT_MAX: Final = 4_000_000_000 * 10**9
"""The latest moment that a store query accepts, nanoseconds UTC: the year 2096."""


class PageQuery(NamedTuple, Generic[P]):
    """`first` and `last` are included, nanoseconds UTC. `assets` are in the order of their symbols, from where the page begins."""

    first: int
    last: int
    limit: int
    newest_first: bool
    assets: list[AlpacaAsset]
    behind: P | None
    """The place of the last item that the client has, of the first asset."""


class SymbolPage(NamedTuple):
    """Encoded items by symbol, and the token of the next page; None for the last one."""

    items: Mapping[str, list[msgspec.Raw]]
    token: str | None

    def reply(self, name: str) -> dict[str, Any]:
        return {name: self.items, "next_page_token": self.token}

    def reply_of(self, name: str, symbol: str) -> dict[str, Any]:
        """Return the reply about one symbol, as it was asked for in the path."""
        return {name: next(iter(self.items.values()), []), "symbol": symbol.upper(), "next_page_token": self.token}


NOTHING: Final = SymbolPage({}, None)


def page_query(request: AlpacaRequest, assets: list[AlpacaAsset], now_ns: int, place_of: Callable[[str], P]) -> PageQuery[P]:
    """Read the query of a page. `place_of` reads a place in a token and raises ValueError. AlpacaRefusal."""
    query = request.query
    start, end = moment_in(query, "start"), moment_in(query, "end")
    first = _within(now_ns // DAY_NS * DAY_NS if start is None else start)
    last = _within(now_ns if end is None else end)
    limit = min(count_in(query, "limit", LIMIT_DEFAULT, LIMIT_MAX), PAGE_MAX)
    newest_first = word_in(query, "sort", ("asc", "desc"), "asc") == "desc"
    symbol, behind = _token_parts(query["page_token"], place_of) if query.get("page_token") else ("", None)
    rest = [asset for asset in assets if asset.symbol >= symbol]
    if symbol and (not rest or rest[0].symbol != symbol):
        raise malformed_field("page_token", "is of a page of other symbols")
    return PageQuery(first, last, limit, newest_first, rest, behind)


async def read_page(
    asked: PageQuery[P],
    read: Callable[[AlpacaAsset, P | None, int], Awaitable[Sequence[T]]],
    view: Callable[[AlpacaAsset, T], object],
    written: Callable[[T], str],
) -> SymbolPage:
    """Read a page. `read` returns the items of an asset behind a place, at most a number; `written` is an item's place in a token."""
    found: dict[str, list[msgspec.Raw]] = {}
    left, behind = asked.limit, asked.behind
    for number, asset in enumerate(asked.assets):
        items = await read(asset, behind, left + 1)
        behind = None
        if shown := items[:left]:
            found[asset.shown] = await encoded_in_turns(shown, partial(view, asset))
        if len(items) > left:
            return SymbolPage(found, _token(asset.symbol, written(shown[-1])))
        left -= len(shown)
        if not left:
            following = asked.assets[number + 1 : number + 2]
            return SymbolPage(found, _token(following[0].symbol, "") if following else None)
    return SymbolPage(found, None)


def asked_assets(request: AlpacaRequest, book: AssetBook, kind: str) -> list[AlpacaAsset]:
    """Return the assets of `symbols`. AlpacaRefusal for none or too many."""
    named = list_in(request.query, "symbols")
    if not named:
        raise malformed_field("symbols", "is missing")
    if len(named) > SYMBOLS_MAX:
        raise malformed_field("symbols", f"at most {SYMBOLS_MAX} symbols are read at once")
    return named_assets(named, book, kind)


def named_assets(named: list[str], book: AssetBook, kind: str) -> list[AlpacaAsset]:
    """Return the assets of this class that are named, in the order of their symbols. One that there is not is left out."""
    found = {asset.symbol: asset for text in named if (asset := book.find(text)) and asset.asset_class == kind}
    return [asset for _, asset in sorted(found.items())]


def only(name: str, found: Mapping[str, Any], symbol: str) -> dict[str, Any]:
    """Return the reply about the latest one of a symbol. AlpacaRefusal 404 if there is none."""
    if not found:
        raise AlpacaRefusal(404, NOT_FOUND, f"no {name} found for {symbol.upper()[:ECHO_MAX]}")
    return {name: next(iter(found.values())), "symbol": symbol.upper()}


def moment_of(text: str) -> int:
    """Read a moment in a token, nanoseconds UTC. ValueError."""
    if not text.isascii() or not text.isdigit() or int(text) > MOMENT_MAX:
        raise ValueError
    return int(text)


def _within(at_ns: int) -> int:
    return min(max(at_ns, 0), MOMENT_MAX)


def _token(symbol: str, place: str) -> str:
    """Return the token of the page behind a place of a symbol, or of the page that begins with a symbol."""
    return base64.urlsafe_b64encode(f"{symbol}|{place}".encode()).decode().rstrip("=")


def _token_parts(token: str, place_of: Callable[[str], P]) -> tuple[str, P | None]:
    if len(token) > TOKEN_MAX:
        raise malformed_field("page_token", "is not the token of a page")
    try:
        symbol, bar, text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().partition("|")
        place = place_of(text) if text else None
    except ValueError:
        symbol, bar, place = "", "", None
    if not symbol or not bar:
        raise malformed_field("page_token", "is not the token of a page")
    return symbol, place
