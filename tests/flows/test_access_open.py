"""The open mode: programs of this machine need no key, but a request with a key is judged by it alone, and none of them makes keys."""

import httpx
import pytest

from tests.flows.doors import sound
from tests.stack import SERVICES, LiveStack

KEY: dict[str, object] = {"account": "open-door", "scopes": ["trade"]}


@pytest.mark.parametrize("service", SERVICES)
def test_a_wrong_key_opens_nothing_that_is_open_without_one(running: LiveStack, service: str) -> None:
    own = httpx.HTTPTransport(local_address="127.0.5.1")
    with httpx.Client(base_url=running.url(service), transport=own, timeout=30) as client:
        assert client.get("/access/me").json()["key_id"] == "local"
        for wrong in ({"authorization": "Bearer x.y"}, {"apca-api-key-id": "x"}, {"trade-key": "x"}, {"authorization": ""}):
            answer = client.get("/access/me", headers=wrong)
            sound(answer)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_a_program_without_a_key_makes_none(running: LiveStack) -> None:
    for path in ("/access/keys", "/access/keys%0A", "//access/keys", "/access/keys/"):
        answer = httpx.post(running.url("risk") + path, json=KEY, timeout=30)
        assert answer.status_code in (403, 404), (path, answer.text)
