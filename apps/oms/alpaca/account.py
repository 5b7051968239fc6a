"""The account as Alpaca shows it: equity, cash and buying power from risk's portfolio, and what is switched off."""

from decimal import Decimal
from typing import Any, Final

from apps.oms.alpaca.ids import account_id
from apps.oms.alpaca.moments import shown_moment
from apps.oms.alpaca.portfolio import RiskPortfolio, RiskReader, RiskTerms
from apps.oms.alpaca.requests import AlpacaReply, AlpacaRequest, reply
from domain.access.keys import KeyRing
from domain.risk.controls import Controls
from domain.values import ZERO, divide, plain

PERCENT: Final = Decimal(100)
CURRENCY: Final = "USD"


class AlpacaAccounts:
    """The handlers of `/v2/account` and its configurations."""

    def __init__(self, risk: RiskReader, keys: KeyRing, controls: Controls) -> None:
        self._risk = risk
        self._keys = keys
        self._controls = controls

    async def show(self, request: AlpacaRequest) -> AlpacaReply:
        """Return the account. AlpacaRefusal 503 while risk does not answer."""
        portfolio, terms = await self._risk.read(request)
        return reply(account_view(request.account, portfolio, terms) | self._switches(request.account))

    async def configurations(self, request: AlpacaRequest) -> AlpacaReply:
        _, terms = await self._risk.read(request)
        return reply(configurations_view(terms))

    def _switches(self, account: str) -> dict[str, Any]:
        """Return what is switched off, and since when the account is known."""
        made = [key.created_at for key in self._keys.by_id.values() if key.account == account]
        return {
            "trading_blocked": self._controls.killed(account, ""),
            "account_blocked": not self._keys.may_trade(account),
            "trade_suspended_by_user": False,
            "created_at": shown_moment(min(made, default=0)),
        }


def account_view(account: str, portfolio: RiskPortfolio, terms: RiskTerms) -> dict[str, Any]:
    """Return the numbers of an account. Cash is equity less the value of what is held, which is negative for shorts."""
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
        "last_equity": equity,
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


def configurations_view(terms: RiskTerms) -> dict[str, Any]:
    return {
        "dtbp_check": "entry",
        "pdt_check": "entry",
        "fractional_trading": True,
        "max_margin_multiplier": plain(divide(PERCENT, terms.margin_requirement_pct, 4)),
        "no_shorting": not terms.short_allowed,
        "ptp_no_exception_entry": False,
        "suspend_trade": False,
        "trade_confirm_email": "none",
    }
