"""The exposure as a fold of the journal: the same events give the same sums, whatever was reserved before."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from msgspec import structs

from domain.instruments import Instrument
from domain.market.listings import Listings
from domain.order import events as e
from domain.order.group import ALTERNATIVE_ROLES, UNCOUNTED_ROLES, Role
from domain.order.lifecycle import CLOSED, State
from domain.risk.exposure import Exposure, Open
from domain.risk.list_growth import ListGrowth
from domain.risk.parent_claims import ParentClaims
from domain.risk.snapshot import HeldRow, RiskState, accounts_of, pooled_of, restore
from domain.values import ZERO, divide, signed

EARLIER_KEPT_MAX: Final = 100_000
"""How many trades at earlier rates are kept, the newest. The bust of an older one counts at today's rate."""

Trade = tuple[str, str]
"""The venue, and the trade's id there."""


class UnknownInstrument(LookupError):
    """The journal names a symbol that no catalogue ever had: its currency is unknown."""


class RiskFold:
    """Moves an order's stake: reserved, open, position, gone. Closed orders are forgotten; late trades still move positions.

    A trade counts at the currency rate of its time, and so does its bust, which takes back what the trade booked; open orders and holdings
    count at today's rate. Rates change only between two starts, after which the journal is read from its beginning, so it is enough to
    remember the trades at other rates than today's.
    """

    def __init__(self, exposure: Exposure, listings: Listings, instruments: Mapping[str, Instrument]) -> None:
        self.exposure = exposure
        self._listings = listings
        self.seq = 0
        self._submitted: dict[str, e.OrderSubmitted] = {}
        self._earlier: dict[Trade, Decimal] = {}
        self._held: dict[str, HeldRow] = {}
        """Legs that wait to be released. They only close what their entry opens, so they count nothing before it trades."""
        self._legs: dict[str, list[str]] = {}
        """Those legs, by their entry."""
        self._claims = ParentClaims(exposure, self._rate)
        self._entry: e.OrderSubmitted | None = None
        """The newest entry: its legs follow in the same commit."""
        self._growth = ListGrowth(exposure, instruments)

    def holds_back(self, order_id: str) -> bool:
        """Return whether the order is a leg that waits to be released."""
        return order_id in self._held

    def has_parent(self, algo_id: str) -> bool:
        """Return whether a parent may make children."""
        return self._claims.has(algo_id)

    def state(self) -> RiskState:
        """Return the state from the journal alone: equal after the same events, whatever was reserved and whatever the prices are."""
        rates = dict(self.exposure.marks.rates)
        earlier = tuple((*trade, rate) for trade, rate in self._earlier.items())
        return RiskState(
            self.seq,
            rates,
            accounts_of(self.exposure),
            tuple(self._submitted.values()),
            earlier,
            tuple(self._held.values()),
            pooled_of(self.exposure),
            self._growth.state(),
            *self._claims.state(),
        )

    def restore(self, state: RiskState) -> None:
        """Continue from a state, in an empty fold. Raises ValueError, with nothing changed, if the catalogue's rates differ by now."""
        rates = self.exposure.marks.rates
        changed = sorted(symbol for symbol, rate in state.rates.items() if rates.get(symbol) != rate)
        if changed:
            raise ValueError(f"the catalogue rate of {changed[0]} is {rates.get(changed[0])}, not {state.rates[changed[0]]}")
        self.seq = state.seq
        self._submitted = {event.order_id: event for event in state.submitted}
        self._earlier = {(venue, exec_id): rate for venue, exec_id, rate in state.earlier}
        for row in state.held:
            self._hold(row)
        restore(self.exposure, state.accounts, state.pooled)
        self._growth.restore(state.growing)
        self._claims.restore(state.parents, state.children)

    def apply(self, event: e.OrderEvent, seq: int) -> None:
        self.seq = seq
        order_id = event.order_id
        if isinstance(event, e.OrderSubmitted):
            self._submitted[order_id] = event
            if event.group_id:
                self._growth.apply(event)
        elif isinstance(event, e.OrderRiskChecked):
            self._opened(event)
        elif isinstance(event, e.OrderFilled):
            self._traded(event, event.quantity, event.fee)
        elif isinstance(event, e.TradeBusted):
            self._traded(event, -event.quantity, -event.fee)
        elif isinstance(event, e.ReplaceRequested | e.OrderReplaced | e.ReplaceRejected):
            self._restated(event)
        elif isinstance(event, e.OrderQueued) and (row := self._let_go(order_id)) is not None:
            self._open(row.terms, row.price)
        if self.exposure.pools:
            self.exposure.doubted(order_id, doubtful=event.status is State.IN_DOUBT)
        if event.status in CLOSED:
            self._submitted.pop(order_id, None)
            self._let_go(order_id)
            self.exposure.closed(order_id)
        if order_id in self._growth.lead_of or self._growth.new:
            self._growth.apply(event)
        self._claims.apply(event)

    def _opened(self, event: e.OrderRiskChecked) -> None:
        terms = self._submitted.pop(event.order_id)
        price = event.reference if event.reference is not None else terms.price
        assert price is not None, f"order {event.order_id} passed risk without a price to value it at"
        usd = abs(price) * self._rate(terms.symbol)
        if terms.role in UNCOUNTED_ROLES:
            self._hold(self._waiting(terms, usd))
            return
        if terms.role == Role.ENTRY:
            self._entry = terms
        self._open(terms, usd)

    def _open(self, terms: e.OrderSubmitted, usd: Decimal) -> None:
        pool = terms.group_id if terms.role in ALTERNATIVE_ROLES else ""
        self.exposure.opened(terms.order_id, Open(terms.account, terms.symbol, terms.side, terms.quantity, usd, pool))

    def _waiting(self, leg: e.OrderSubmitted, usd: Decimal) -> HeldRow:
        """Build the row of a leg. One without its entry takes the place of an ended leg: it is queued in the same commit."""
        entry = self._entry
        if entry is None or entry.group_id != leg.group_id:
            return HeldRow(leg, usd, "", leg.quantity, ZERO)
        return HeldRow(leg, usd, entry.order_id, leg.quantity, entry.quantity)

    def _hold(self, row: HeldRow) -> None:
        self._held[row.terms.order_id] = row
        self._legs.setdefault(row.entry, []).append(row.terms.order_id)

    def _let_go(self, order_id: str) -> HeldRow | None:
        row = self._held.pop(order_id, None)
        if row is not None:
            self._legs[row.entry].remove(order_id)
            if not self._legs[row.entry]:
                del self._legs[row.entry]
        return row

    def _entry_traded(self, legs: Sequence[str], quantity: Decimal) -> None:
        """Count the legs that wait for what their entry has traded: another order may not close it as well."""
        for order_id in legs:
            row = self._held[order_id]
            row = self._held[order_id] = structs.replace(row, traded=row.traded + quantity)
            self._count(row)

    def _count(self, row: HeldRow) -> None:
        counts = divide(row.asked * row.traded, row.whole) if row.terms.role == Role.CLOSING else row.traded
        self._open(structs.replace(row.terms, quantity=max(counts, ZERO)), row.price)

    def _restated(self, event: e.ReplaceRequested | e.OrderReplaced | e.ReplaceRejected) -> None:
        """Restate the order. Until its venue has answered, it counts at the worse of its old and its new terms."""
        self.exposure.release(event.replace_id)
        open_ = self.exposure.orders.get(event.order_id)
        if (row := self._held.get(event.order_id)) is not None:
            usd = row.price if event.reference is None else abs(event.reference) * self._rate(row.terms.symbol)
            terms = structs.replace(row.terms, quantity=event.leaves_quantity)
            row = self._held[event.order_id] = structs.replace(row, terms=terms, price=usd)
            if open_ is not None:
                self._count(row)
            return
        if open_ is not None:
            price = None if event.reference is None else abs(event.reference) * self._rate(open_.symbol)
            asked = isinstance(event, e.ReplaceRequested)
            self.exposure.restated(event.order_id, event.leaves_quantity, price, worst=asked)

    def _traded(self, event: e.OrderFilled | e.TradeBusted, quantity: Decimal, fee: Decimal) -> None:
        """Book a trade. `quantity` and `fee` are negative for a bust: the position moves back, and the order may trade that much again."""
        rate, exposure = self._rate(event.symbol), self.exposure
        then = self._then(event, rate)
        account = exposure.account(event.account)
        moved = signed(event.side, quantity)
        account.trade(event.symbol, moved, (moved * event.price + fee) * then, event.price * rate, exposure.marks)
        if (legs := self._legs.get(event.order_id)) is not None:
            self._entry_traded(legs, quantity)
        open_ = exposure.orders.get(event.order_id)
        if event.status in CLOSED:
            return
        if open_ is not None:
            exposure.resized(event.order_id, max(open_.quantity - quantity, ZERO))
        elif quantity < ZERO:
            # A bust reopened a forgotten order: only its trade's own price is known.
            exposure.opened(event.order_id, Open(event.account, event.symbol, event.side, -quantity, abs(event.price) * rate))

    def _then(self, event: e.OrderFilled | e.TradeBusted, rate: Decimal) -> Decimal:
        """Return the rate at which the trade was booked, also for its bust. `rate` is today's."""
        trade = event.venue, event.exec_id
        if isinstance(event, e.TradeBusted):
            return self._earlier.pop(trade, rate)
        then = self._listings.rate(event.symbol, event.at) or rate
        if then != rate:
            self._earlier[trade] = then
            if len(self._earlier) > EARLIER_KEPT_MAX:
                del self._earlier[next(iter(self._earlier))]
        return then

    def _rate(self, symbol: str) -> Decimal:
        rate = self.exposure.marks.rates.get(symbol)
        if rate is None:
            raise UnknownInstrument(f"the journal names {symbol}, which is in no catalogue: list it in instruments.yaml under delisted")
        return rate
