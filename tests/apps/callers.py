"""Who calls, for applications that are asked without the listener, which sets it in the product."""

from typing import Final

from starlette.types import Receive, Scope, Send

from apps.http.app import Handler
from apps.http.caller import LOCAL_CALLER, Caller
from domain.access.scopes import AccessScope, mask_of

ERIN = Caller("PKERIN22222222222222", "erin", "*", mask_of((AccessScope.TRADE, AccessScope.READ, AccessScope.OPS)))
"""A caller with a key of her own."""
_WHOLE: Final = mask_of((AccessScope.ADMIN, AccessScope.RISK, AccessScope.OPS, AccessScope.AUDIT))
ANN: Final = Caller("PKANN222222222222222", "ann", "*", _WHOLE)
ANN_AGAIN: Final = Caller("PKANN333333333333333", "Ann", "*", _WHOLE)
"""Another key of the same owner."""
BEA: Final = Caller("PKBEA222222222222222", "bea", "*", _WHOLE)


def as_caller(app: Handler, caller: Caller = LOCAL_CALLER) -> Handler:
    """The application as this caller finds it."""

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        scope["caller"] = caller
        await app(scope, receive, send)

    return front
