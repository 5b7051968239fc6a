"""desk's page, sessions and gateway on a real listener, in front of risk's real sessions and of stand-ins for the other services."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from starlette.types import Receive, Scope, Send

from apps.desk.gateway import Gateway
from apps.desk.pages import Pages
from apps.desk.peer import Peer
from apps.desk.session import SessionEndpoint
from apps.http.access import Access
from apps.http.app import Handler, application, serve
from apps.http.authority import Authority, KeysKnown
from apps.http.caller import caller_of
from apps.http.credentials import digest, new_key_id, new_secret
from apps.http.messages import read_body, send_json
from apps.http.route_scopes import TABLES
from apps.runtime.chassis import cancelled
from config.access_mode import Mode
from domain.access.events import AccountOpened, KeyCreated
from tests.apps import risk_house

LOCAL: Final = "127.0.0.1"
STAND_INS: Final = ("oms", "exeq", "live-gateway")
LISTED: Final = ("http://listed.example",)
"""Origins that desk's configuration permits."""
ORDER: Final = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.1", "price": "45000", "client_order_id": "c1"}
PAGE: Final = {"X-Trade-Desk": "1"}
"""What the page sends with a change, besides its Origin."""


class Known(KeysKnown):
    """The keys are always read to their end."""

    def within(self, age_ns: int) -> bool:
        return True


class StandIn:
    """A service that tells what it was asked, or does what a test says."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.does: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(
            {
                "method": scope["method"],
                "path": scope["path"],
                "raw_path": scope["raw_path"].decode(),
                "query": scope["query_string"].decode(),
                "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
                "body": (await read_body(receive)).decode(),
                "owner": caller_of(scope).owner if "caller" in scope else "",
            }
        )
        if self.does is not None:
            await self.does(scope, receive, send)
        else:
            await send_json(send, 200, json.dumps(self.asked[-1]).encode(), [(b"as-of-seq", b"7"), (b"set-cookie", b"a=b")])


class DeskHouse:
    """Everything of one scene. `keys` are those of every service, which read them at once."""

    def __init__(self, mode: Mode) -> None:
        self.mode: Mode = mode
        self.risk = risk_house.House()
        self.keys = self.risk.keys
        self.services = {name: StandIn() for name in STAND_INS}
        self.oms = self.services["oms"]
        self.url = ""
        self.port = 0
        self.ports: dict[str, int] = {}
        self.peers: dict[str, Peer] = {}
        self.gateway: Gateway

    def authority(self, service: str) -> Authority:
        clock = self.risk.clock
        return Authority(self.mode, self.keys, TABLES[service], clock, Known(clock), takes_cookies=service == "desk")

    def key(self, owner: str = "erin", *scopes: str, account: str = "alice", **more: Any) -> str:
        """Make a key and return it as its owner would type it."""
        key_id, secret, version = new_key_id(), new_secret(), self.keys.version
        self.keys.apply(AccountOpened(version=version + 1, at=1, who="operator", account=account))
        own: dict[str, Any] = {"digest": digest(secret.encode()).hex(), "rate": 1000, "burst": 1000} | more
        wanted = scopes or ("trade", "read")
        created = KeyCreated(version=version + 2, at=2, who="operator", key_id=key_id, owner=owner, account=account, scopes=wanted, **own)
        self.keys.apply(created)
        return f"{key_id}.{secret}"

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=30, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def page(self) -> httpx.AsyncClient:
        """A client that asks as the page in a browser does."""
        return self.client(origin=self.url, sec_fetch_site="same-origin", **PAGE)


@asynccontextmanager
async def desk_house(mode: Mode = "keys", *, secure: bool = False) -> AsyncIterator[DeskHouse]:
    house = DeskHouse(mode)
    following = asyncio.create_task(house.risk.access.run())
    apps: dict[str, Handler] = {**house.services, "risk": application("risk", house.risk.access_door.router())}
    listeners = [await serve(app, LOCAL, 0, Access(), house.authority(name), drain_sec=0.5) for name, app in apps.items()]
    house.ports = {name: listener.port for name, listener in zip(apps, listeners, strict=True)}
    house.peers = {name: Peer(name, f"http://{LOCAL}:{port}", True) for name, port in house.ports.items()}
    authority = house.authority("desk")
    house.gateway = Gateway(house.peers, authority)
    session = SessionEndpoint(house.peers["risk"], authority, house.risk.clock, secure=secure)
    app = application("desk", session.router(), house.gateway.router(), Pages().router())
    desk = await serve(app, LOCAL, 0, Access(origins=LISTED), authority, drain_sec=0.5)
    house.port, house.url = desk.port, f"http://{LOCAL}:{desk.port}"
    try:
        yield house
    finally:
        for peer in house.peers.values():
            await peer.close()
        await asyncio.gather(*(listener.stop() for listener in (desk, *listeners)))
        await cancelled(following)


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def raw(house: DeskHouse, head: str) -> tuple[int, str]:
    """Send a head as it is, which no client library would, and return the status and the code of the answer."""
    reader, writer = await asyncio.open_connection(LOCAL, house.port)
    writer.write(head.replace("\n", "\r\n").encode("latin-1") + b"\r\nconnection: close\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    body = answer.partition("\r\n\r\n")[2]
    return int(answer.split(" ")[1]), json.loads(body).get("code", "") if body else ""
