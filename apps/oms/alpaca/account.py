"""The account as Alpaca shows it: equity, cash and buying power from risk's portfolio, and what is switched off."""

import asyncio
from decimal import Decimal
from typing import Any, Final

import msgspec

from apps.http.alpaca_words import MALFORMED, UNPROCESSABLE, AlpacaRefusal, malformed_field
from apps.http.problem import DETAIL_MAX, ECHO_MAX
from apps.oms.alpaca.ids import account_id
from apps.oms.alpaca.moments import shown_moment
from apps.oms.alpaca.portfolio import RiskPortfolio, RiskReader, RiskTerms
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, reply
from apps.oms.equity import EquityReads
from domain.access.keys import KeyRing
from domain.risk.controls import Controls
from domain.values import ZERO, divide, plain

PERCENT: Final = Decimal(100)
CURRENCY: Final = "USD"
READ_WAIT_S: Final = 1.0
READ_POLL_S: Final = 0.005


class AlpacaAccounts:
    """The handlers of `/v2/account` and its configurations."""

    def __init__(self, risk: RiskReader, keys: KeyRing, controls: Controls, equity: EquityReads) -> None:
        self._risk = risk
        self._equity = equity
        self._keys = keys
        self._controls = controls

    async def show(self, request: AlpacaRequest) -> AlpacaReply:
        """Return the account. AlpacaRefusal 503 while risk does not answer."""
        (portfolio, terms), midnight = await asyncio.gather(self._risk.read(request), self._equity.at_midnight(request.account))
        last = portfolio.equity if midnight is None else midnight
        return reply(account_view(request.account, portfolio, terms, last) | self._switches(request.account))

    async def configurations(self, request: AlpacaRequest) -> AlpacaReply:
        _, terms = await self._risk.read(request)
        return reply(configurations_view(terms, suspended=self._is_suspended(request.account)))

    async def configure(self, request: AlpacaRequest) -> AlpacaReply:
        """Suspend the account's trade, or take that back; other fields may only repeat what they are. AlpacaRefusal."""
        asked = _read(request.body)
        _, terms = await self._risk.read(request)
        shown = configurations_view(terms, suspended=self._is_suspended(request.account))
        wanted = asked.pop("suspend_trade", shown["suspend_trade"])
        if not isinstance(wanted, bool):
            raise malformed_field("suspend_trade", "must be true or false")
        for name, value in asked.items():
            if name not in shown or value != shown[name]:
                raise AlpacaRefusal(422, UNPROCESSABLE, f"{name[:ECHO_MAX]} cannot be changed here", reason="configuration_fixed")
        if wanted != shown["suspend_trade"]:
            await self._risk.suspend(request, suspended=wanted)
            await self._await_suspension(request.account, suspended=wanted)
        return reply(shown | {"suspend_trade": wanted})

    async def _await_suspension(self, account: str, *, suspended: bool) -> None:
        """Wait until this service has read the change too, for a bounded time: risk has recorded it."""
        deadline = asyncio.get_running_loop().time() + READ_WAIT_S
        while self._is_suspended(account) is not suspended and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - risk records it
            await asyncio.sleep(READ_POLL_S)

    def _is_suspended(self, account: str) -> bool:
        return account in self._controls.suspensions

    def _switches(self, account: str) -> dict[str, Any]:
        """Return what is switched off, and since when the account is known."""
        made = [key.created_at for key in self._keys.by_id.values() if key.account == account]
        return {
            "trading_blocked": self._controls.killed(account, ""),
            "account_blocked": not self._keys.may_trade(account),
            "trade_suspended_by_user": self._is_suspended(account),
            "created_at": shown_moment(min(made, default=0)),
        }


def account_view(account: str, portfolio: RiskPortfolio, terms: RiskTerms, last_equity: Decimal) -> dict[str, Any]:
    """Return the numbers of an account. Cash is equity less the value of what is held, which is negative for shorts.

    `last_equity`: at the last midnight, UTC.
    """
    long = sum((holding.value for holding in portfolio.symbols.values() if holding.quantity > ZERO), ZERO)
    short = sum((holding.value for holding in portfolio.symbols.values() if holding.quantity < ZERO), ZERO)
    rate = divide(terms.margin_requirement_pct, PERCENT)
    power = plain(divide(max(portfolio.buying_power, ZERO), rate, 2))
    equity = plain(portfolio.equity)
    return {
        "id": account_id(account),
        "account_number": account,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": CURRENCY,
        "equity": equity,
        "portfolio_value": equity,
        "last_equity": plain(last_equity),
        "cash": plain(portfolio.equity - long - short),
        "long_market_value": plain(long),
        "short_market_value": plain(short),
        "position_market_value": plain(long + short),
        "buying_power": power,
        "regt_buying_power": power,
        "non_marginable_buying_power": power,
        "daytrading_buying_power": "0",
        "multiplier": plain(divide(Decimal(1), rate, 4)),
        "initial_margin": plain(portfolio.margin_in_use),
        "maintenance_margin": plain(portfolio.margin_in_use),
        "last_maintenance_margin": plain(portfolio.margin_in_use),
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "sma": "0",
        "daytrade_count": 0,
        "pattern_day_trader": False,
        "shorting_enabled": terms.short_allowed,
        "transfers_blocked": True,
    }


def configurations_view(terms: RiskTerms, *, suspended: bool) -> dict[str, Any]:
    return {
        "dtbp_check": "entry",
        "pdt_check": "entry",
        "fractional_trading": True,
        "max_margin_multiplier": plain(divide(PERCENT, terms.margin_requirement_pct, 4)),
        "no_shorting": not terms.short_allowed,
        "ptp_no_exception_entry": False,
        "suspend_trade": suspended,
        "trade_confirm_email": "none",
    }


def _read(body: bytes) -> dict[str, Any]:
    """Return the fields of a body that are not null. AlpacaRefusal."""
    try:
        found: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except ValueError as error:
        raise AlpacaRefusal(422, MALFORMED, str(error)[:DETAIL_MAX]) from None
    return {name: value for name, value in found.items() if value is not None}
