"""Submits of the classes bracket, oto and oco: all orders of a request are one list, accepted together or not at all."""

from apps.http.alpaca_words import MALFORMED, NOT_UNIQUE, AlpacaRefusal, in_alpaca_words
from apps.http.problem import Refusal
from apps.journal.shard_hosts import Hosts
from apps.oms.accounts import Accounts
from apps.oms.alpaca.ids import dashed
from apps.oms.alpaca.order_body import OrderRequest
from apps.oms.alpaca.order_classes import available_of, leg_names, list_of
from apps.oms.alpaca.order_exits import OCO
from apps.oms.alpaca.orders import AlpacaOrder, submitted_order
from apps.oms.alpaca.refusals import REDUCE_ONLY, named_leg, refused_order, untraded
from apps.oms.list_body import first_denial
from apps.oms.lists import ListHandler, ListResult
from apps.oms.submit_body import TermsReader
from domain.instruments import Denial
from domain.order.commands import Terms
from domain.order.group import LIST_REJECTED
from domain.ports import Clock
from domain.risk.controls import Controls
from domain.values import ZERO, Side, plain


class ClassSubmits:
    """Submits requests with exits."""

    def __init__(self, hosts: Hosts, lists: ListHandler, accounts: Accounts, reader: TermsReader, clock: Clock, controls: Controls) -> None:
        self._hosts = hosts
        self._lists = lists
        self._accounts = accounts
        self._reader = reader
        self._clock = clock
        self._controls = controls

    async def place(self, wanted: OrderRequest, by: str, *, again: bool) -> AlpacaOrder:
        """Submit the orders; return the first one with its legs, as their commit left them. `again`: a known id gets its first answer.

        AlpacaRefusal, Refusal.
        """
        assert wanted.exits is not None, "an order without exits is simple"
        names = leg_names(wanted.exits)
        asked, legs = list_of(wanted.terms, wanted.exits, self._hosts.shards)
        denied = first_denial(self._reader, legs, self._clock.now_ns())
        if denied is None and wanted.exits.order_class == OCO:
            denied = await self._uncovered(legs[0])
        try:
            result = await self._lists.submit(asked, legs, denied, by=by)
        except Refusal as refusal:
            number = refusal.extra.get("leg")
            if not isinstance(number, int):
                raise in_alpaca_words(refusal) from None
            raise named_leg(untraded(refusal, wanted.asset, legs[number].side), names, number) from None
        if result.replayed and not again:
            raise AlpacaRefusal(422, MALFORMED, NOT_UNIQUE, order_id=dashed(result.lead.order_id))
        if result.group.rejected:
            raise self._rejected(result, wanted, names)
        first, *others = (submitted_order(order, wanted.asset, result.seq) for order in result.orders)
        first.legs = others
        return first

    async def _uncovered(self, exit_: Terms) -> tuple[int, Denial] | None:
        """Return the denial of exits for more than the account holds and has free; None without one. Refusal 503."""
        host = self._hosts.of(exit_.account)
        view, _ = await self._accounts.positions(exit_.account, host.head.seq)
        held = view[exit_.symbol]["quantity"] if exit_.symbol in view else ZERO
        closes = held > ZERO if exit_.side is Side.SELL else held < ZERO
        free = available_of(exit_.symbol, held, host.orders.open_of(exit_.account)) if closes else ZERO
        return None if exit_.quantity <= free else (0, Denial(REDUCE_ONLY, plain(exit_.quantity), plain(free)))

    def _rejected(self, result: ListResult, wanted: OrderRequest, names: tuple[str, ...]) -> AlpacaRefusal:
        """Return why the orders were recorded as rejected: they are listed under their ids."""
        number = next((at for at, order in enumerate(result.orders) if order.reason != LIST_REJECTED), 0)
        words = refused_order(result.orders[number], wanted.asset, result.seq, self._controls.kills)
        return named_leg(words, names, number)
