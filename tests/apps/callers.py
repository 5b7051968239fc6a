"""Who calls, for applications that are asked without the listener, which sets it in the product."""

from starlette.types import Receive, Scope, Send

from apps.http.app import Handler
from apps.http.authority import LOCAL_CALLER, Caller
from domain.access.scopes import AccessScope, mask_of

ERIN = Caller("PKERIN22222222222222", "erin", "*", mask_of((AccessScope.TRADE, AccessScope.READ, AccessScope.OPS)))
"""A caller with a key of her own."""


def as_caller(app: Handler, caller: Caller = LOCAL_CALLER) -> Handler:
    """The application as this caller finds it."""

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        scope["caller"] = caller
        await app(scope, receive, send)

    return front
