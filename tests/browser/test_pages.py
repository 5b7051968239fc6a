"""Pages in a real browser on the machine of an open stack: those of other sites can neither trade, kill nor read; our own page can.

tests/flows/test_foreign_pages.py sends what a browser would send to every route. Here the browser itself decides what it sends.
"""

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from tests.browser.chromium import PROGRAM, Browser, Page
from tests.browser.foreign_site import ForeignSite
from tests.flows.doors import recorded
from tests.stack import LiveStack

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make browser-test, which installs it")

NAME: Final = "evil.example"
ELSEWHERE: Final = "127.0.0.3"
"""An address of this machine on which nothing of ours listens, and which tests/stack.py does not reserve."""

ARRIVES_S: Final = 30.0
POLL_S: Final = 0.02

ORDER: Final = {"account": "page", "symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "45500"}
KILL: Final = {"scope": "all", "reason": "page"}

HELPERS: Final = """
  const posted = (path, type, body) => ({method: 'POST', headers: {'content-type': type}, body: JSON.stringify(body)});
  const element = (tag, fields) => Object.assign(document.createElement(tag), fields);
  const shown = (made) => new Promise(done => {
    made.onload = () => done(made.contentDocument ? made.contentDocument.body.innerText : made.tagName === 'IFRAME' ? '' : 'loaded');
    made.onerror = () => done('');
    document.body.append(made);
  });
  const sent = (enctype, path, fields) => {
    const frame = element('iframe', {name: 'frame' + Math.random()});
    const form = element('form', {method: 'POST', action: path, enctype: enctype, target: frame.name});
    for (const [name, value] of Object.entries(fields)) form.append(element('input', {type: 'hidden', name: name, value: value}));
    document.body.append(form);
    const answered = shown(frame);
    form.submit();
    return answered;
  };
  const opened = (socket) => new Promise(done => { socket.onopen = () => done('open'); socket.onerror = () => done(''); });
  const text = (answer) => answer.text();
"""
ATTACKS: Final = {
    "an order as plain text, unseen": ("oms", "fetch(at + '/orders', {...posted('', 'text/plain', order), mode: 'no-cors'}).then(text)"),
    "an order as a form, unseen": (
        "oms",
        "fetch(at + '/orders', {...posted('', 'application/x-www-form-urlencoded', order), mode: 'no-cors'}).then(text)",
    ),
    "an order in JSON": ("oms", "fetch(at + '/orders', posted('', 'application/json', order)).then(text)"),
    "an order by a form": ("oms", "sent('application/x-www-form-urlencoded', at + '/orders', order)"),
    "an order by a form whose text is JSON": (
        "oms",
        "sent('text/plain', at + '/orders', {[JSON.stringify(order).slice(0, -1) + ',\"client_order_id\":\"']: '\"}'})",
    ),
    "an order as a beacon": ("oms", "Promise.resolve(navigator.sendBeacon(at + '/orders', JSON.stringify(order))).then(() => '')"),
    "a cancel of everything": ("oms", "fetch(at + '/orders?account=page', {method: 'DELETE'}).then(text)"),
    "a kill as plain text, unseen": (
        "risk",
        "fetch(at + '/risk/kill', {...posted('', 'text/plain', kill), mode: 'no-cors'}).then(text)",
    ),
    "a kill at exeq by a form": ("exeq", "sent('text/plain', at + '/kill', {[JSON.stringify(kill).slice(0, -1) + ',\"who\":\"']: '\"}'})"),
    "positions": ("oms", "fetch(at + '/positions/page').then(text)"),
    "positions, unseen": ("oms", "fetch(at + '/positions/page', {mode: 'no-cors'}).then(text)"),
    "positions as a picture": ("oms", "shown(element('img', {src: at + '/positions/page'}))"),
    "positions as a script": ("oms", "shown(element('script', {src: at + '/positions/page'}))"),
    "positions in a frame": ("oms", "shown(element('iframe', {src: at + '/positions/page'}))"),
    "a web socket": (
        "oms",
        "opened(new WebSocket(at.replace('http', 'ws') + '/orders'))",
    ),
}
"""By what the page tries: the service, and a script whose value is what the page could read."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    started = LiveStack(tmp_path_factory.mktemp("browser") / "data", "--fills", "sqlite").start()
    yield started
    started.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium"), {NAME: ELSEWHERE}) as opened:
        yield opened


def refusals(stack: LiveStack, service: str) -> int:
    """How many requests the service has refused for the page that sent them."""
    found = re.search(r'http_requests_refused_total\{code="origin_refused"\} (\d+)', stack.metrics_page(service))
    assert found
    return int(found[1])


def await_refusal(stack: LiveStack, service: str, before: int) -> bool:
    """Return whether the service refuses a request for its page: a beacon is sent after the script that asked for it has ended."""
    deadline = time.monotonic() + ARRIVES_S
    while (now := refusals(stack, service)) == before and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return now > before


def changeable(stack: LiveStack) -> list[Any]:
    """Everything that the pages try to change."""
    views = (f"{stack.url('risk')}/risk/controls", f"{stack.url('exeq')}/kill")
    return [recorded(stack), *(httpx.get(view, timeout=10).json() for view in views)]


def tried(page: Page, script: str, at: str) -> str | None:
    """Return what the page could read; None if the browser refused the request or its answer."""
    constants = f"const at = {json.dumps(at)}, order = {json.dumps(ORDER)}, kill = {json.dumps(KILL)};"
    read: str | None = page.evaluate(f"(async () => {{ {constants} {HELPERS} try {{ return await {script} }} catch {{ return null }} }})()")
    return read


@pytest.mark.parametrize("by", ["name", "address"])
def test_a_page_of_another_site_changes_nothing_and_reads_nothing(stack: LiveStack, browser: Browser, by: str) -> None:
    """The same page, by a name of its own and as another port of this machine. Each request has arrived and was refused."""
    before = changeable(stack)
    with ForeignSite(ELSEWHERE if by == "name" else "127.0.0.1") as site:
        page = browser.page(f"http://{NAME if by == 'name' else '127.0.0.1'}:{site.port}/")
        for attack, (service, script) in ATTACKS.items():
            refused = refusals(stack, service)
            read = tried(page, script, stack.url(service))
            assert not read, (attack, read)
            assert await_refusal(stack, service, refused), attack
    assert changeable(stack) == before


def test_a_page_whose_name_was_rebound_to_this_machine_is_refused_by_its_name(stack: LiveStack, browser: Browser) -> None:
    """The browser then takes the service for the page's own site: it sends JSON without asking first, and shows the answers to the page."""
    port = urlsplit(stack.url("oms")).port
    assert port is not None
    before = changeable(stack)
    with ForeignSite(ELSEWHERE, port) as site:
        page = browser.page(f"http://{NAME}:{port}/")
        site.rebind(port)
        for script in (
            "fetch('/positions/page').then(text)",
            "fetch('/orders?account=page').then(text)",
            "fetch('/orders', posted('', 'application/json', order)).then(text)",
            "fetch('/orders', posted('', 'text/plain', order)).then(text)",
            "fetch('/orders?account=page', {method: 'DELETE'}).then(text)",
        ):
            read = json.loads(tried(page, script, "") or "{}")
            assert (read.get("status"), read.get("code")) == (421, "host_unknown"), (script, read)
    assert changeable(stack) == before


def test_our_own_page_may_trade_and_read(stack: LiveStack, browser: Browser) -> None:
    """Or the tests above would prove nothing: the same scripts, on the page that oms serves itself."""
    page = browser.page(f"{stack.url('oms')}/docs")
    answer = json.loads(tried(page, "fetch('/orders', posted('', 'application/json', order)).then(text)", "") or "{}")
    assert answer["status"] == "submitted", answer
    read = json.loads(tried(page, f"fetch('/orders/{answer['order_id']}').then(text)", "") or "{}")
    assert read["account"] == "page"
