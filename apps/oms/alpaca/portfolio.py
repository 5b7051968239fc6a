"""The state of an account at risk, read over HTTP with the caller's own key: risk's portfolio and the limits that hold for it."""

import asyncio
import ssl
from decimal import Decimal
from typing import Final, TypeVar

import httpx
import msgspec

from apps.http.alpaca_words import FORBIDDEN, RETRY_AFTER, UNAVAILABLE, AlpacaRefusal
from apps.http.passed_on import credentials_in, good_from_here
from apps.http.tls import needed_for
from apps.oms.alpaca.requests import AlpacaRequest
from domain.access.keys import KeyRing

ASK_TIMEOUT_S: Final = 2.0
T = TypeVar("T")


class RiskHolding(msgspec.Struct):
    """One symbol of an account. `mark` is in the currency of limits."""

    quantity: Decimal
    mark: Decimal | None = None

    @property
    def value(self) -> Decimal:
        return self.quantity * self.mark if self.mark is not None else Decimal(0)


class RiskPortfolio(msgspec.Struct):
    """An account as the checks see it. Margin and buying power are in margin, not in notional."""

    equity: Decimal
    margin_in_use: Decimal
    reservations: Decimal
    buying_power: Decimal
    symbols: dict[str, RiskHolding]


class RiskTerms(msgspec.Struct):
    """The limits of an account."""

    margin_requirement_pct: Decimal
    short_allowed: bool = False


_PORTFOLIO: Final = msgspec.json.Decoder(RiskPortfolio)
_TERMS: Final = msgspec.json.Decoder(RiskTerms)


class RiskReader:
    """Reads an account's portfolio and limits from risk."""

    def __init__(self, risk: httpx.AsyncClient, keys: KeyRing) -> None:
        self._risk = risk
        self._keys = keys

    @classmethod
    def at(cls, risk_url: str, keys: KeyRing, verify: ssl.SSLContext | bool = True) -> "RiskReader":
        """Return an instance for this URL. It connects on the first request; `verify` checks the certificate if the URL is https."""
        return cls(httpx.AsyncClient(base_url=risk_url, timeout=ASK_TIMEOUT_S, trust_env=False, verify=needed_for(risk_url, verify)), keys)

    async def close(self) -> None:
        await self._risk.aclose()

    async def read(self, request: AlpacaRequest) -> tuple[RiskPortfolio, RiskTerms]:
        """Return the portfolio and the limits of the caller's account. AlpacaRefusal 403, 503."""
        shown = self._credentials(request)
        portfolio, terms = await asyncio.gather(
            self._asked("/risk/portfolio", request.account, shown, _PORTFOLIO), self._asked("/risk/limits", request.account, shown, _TERMS)
        )
        return portfolio, terms

    async def suspend(self, request: AlpacaRequest, *, suspended: bool) -> None:
        """Suspend the caller's account, or take that back. AlpacaRefusal 403, 503."""
        path = f"/risk/accounts/{request.account}/{'suspend' if suspended else 'resume'}"
        try:
            answer = await self._risk.post(path, json={"reason": "suspend_trade"}, headers=self._credentials(request))
            if answer.status_code == 200:
                return
            why = f"risk returned {answer.status_code}"
        except (httpx.HTTPError, OSError) as error:
            why = _unreachable(error)
        raise AlpacaRefusal(503, UNAVAILABLE, why, headers=RETRY_AFTER, outcome="unknown")

    def _credentials(self, request: AlpacaRequest) -> dict[str, str]:
        """Return the caller's own credentials, if risk can verify them too. AlpacaRefusal 403."""
        shown = credentials_in(request.headers)
        if not shown or not good_from_here(self._keys, request.caller.key_id, self._risk.base_url.host):
            detail = "risk must be able to verify the same key: it needs a secret, and no limit to networks"
            raise AlpacaRefusal(403, FORBIDDEN, detail)
        return shown

    async def _asked(self, path: str, account: str, shown: dict[str, str], decoder: msgspec.json.Decoder[T]) -> T:
        try:
            answer = await self._risk.get(path, params={"account": account}, headers=shown)
            if answer.status_code == 200:
                return decoder.decode(answer.content)
            why = f"risk returned {answer.status_code}"
        except (httpx.HTTPError, OSError, ValueError) as error:
            why = _unreachable(error)
        raise AlpacaRefusal(503, UNAVAILABLE, why, headers=RETRY_AFTER)


def _unreachable(error: Exception) -> str:
    return f"risk is not reachable: {str(error) or type(error).__name__}"
