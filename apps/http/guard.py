"""What stands in front of every handler: Host, Origin and content type, then who calls and whether it may use the route."""

from collections.abc import Mapping, Sequence

from starlette.types import Message, Receive, Scope, Send

from apps.http.access import Access, watched
from apps.http.alpaca_guard import AlpacaGuard
from apps.http.authority import Authority
from apps.http.caller import signature_not_passed_on
from apps.http.credentials import Signed
from apps.http.messages import Disconnected, Handler, read_body, send_problem
from apps.http.problem import Refusal, not_offered
from apps.http.replay import replayed, target_of
from apps.http.route_scopes import OPEN_ROUTE, PASSED_ON
from apps.http.websocket import answerable


def guarded(app: Handler, access: Access, authority: Authority | None, alpaca: AlpacaGuard | None = None) -> Handler:
    """Put the application behind `access`, and then `authority` unless it is None: a refused request reaches none of its handlers.

    `alpaca` judges the requests of its facade in its place, if the service has one.

    Handlers find who calls in `scope["caller"]`. The connection skips the body of a refused request; only a signature needs the body first.
    A websocket carries its key in its first message: its handler asks `authority` itself.
    """

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if alpaca is not None and authority is not None and alpaca.judges(scope):
            await alpaca.admit(app, access, authority, scope, receive, send)
            return
        found, is_websocket = watched(scope), scope["type"] == "websocket"
        if is_websocket:
            send = answerable(send)
        refusal = access.refusal(scope, found)
        if refusal is not None:
            await send_problem(send, refusal)
        elif authority is None or is_websocket:
            await app(scope, receive, send)
        else:
            await admitted(app, authority, found, scope, receive, send)

    return front


async def admitted(app: Handler, authority: Authority, found: Mapping[bytes, bytes], scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application for a caller that may use the route, or answer why it may not."""
    method, path, address = scope["method"], scope["path"], authority.address(scope)
    route = authority.route(method, path)
    if route == OPEN_ROUTE:
        await app(scope, receive, send)
        return
    try:
        if authority.takes_cookies:
            scope = authority.without_cookie(scope, address)
            found = watched(scope)
        sent = authority.read(method, path, address, found)
        if isinstance(sent, Signed):
            if route[1] is not None and route[1] & PASSED_ON:
                raise signature_not_passed_on()
            body = await read_body(receive)
            authority.verify(sent, method, path, target_of(scope), address, body, route)
            receive = replayed(body, receive)
        caller, rate = authority.admit(method, path, address, sent, route)
    except Refusal as refusal:
        await send_problem(send, refusal)
        return
    except Disconnected:
        return
    scope["caller"] = caller
    answer = send if rate is None else _with_headers(send, rate.headers())
    if route[0]:
        await app(scope, receive, answer)
    else:
        await send_problem(answer, not_offered(method, authority.methods(path)))


def _with_headers(send: Send, headers: Sequence[tuple[bytes, bytes]]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return sending
