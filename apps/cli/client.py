"""HTTP client of a service: one request, one reply; every failure is raised as a Trouble with one sentence."""

import getpass
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn, Self

import httpx

from apps.cli import show
from apps.cli.addresses import Addresses
from apps.cli.trouble import Refused, Trouble, Unreachable, WrongUsage
from apps.cli.trust import verification
from apps.http.tls import needed_for
from domain.access.scopes import OF_ALL_ACCOUNTS, AccessScope
from domain.values import plain

CONNECT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 10.0
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 2.0
PROSE_MAX: Final = 300

START = "Start it with `trade up`, or name its address: --port-offset, --data-dir or TRADE_OMS_URL."
TRUST = "Name the file of the authority that signed its certificate: TRADE_CA_FILE."
AGAIN: Final = (429, 503)
"""Statuses after which the same request may be accepted later. Repeating it with the same client_order_id is safe."""
NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)

MAKE_A_KEY: Final = "Make a key with this scope: trade key create --account A --scopes NEEDS,read; then TRADE_KEY=KEY_ID.SECRET trade ..."
MANAGE_KEYS: Final = "Unset TRADE_KEY and TRADE_KEY_FILE: the command line's own key of a stack of yours (--data-dir DIR) may do this."
REMEDIES: Final = {
    "order_not_found": "Find it: trade order list",
    "illegal_transition": "See what happened to it: trade order events ORDER_ID",
    "unknown_symbol": "The instruments are in config/instruments.yaml.",
    "client_order_id_reused": "Choose another --client-order-id, or repeat the first order exactly.",
    "limits_version_stale": "The limits were changed meanwhile: check them (trade risk limits show ACCOUNT), then repeat the command.",
    "not_killed": "List what is killed: trade risk controls",
    "not_requested": "Begin with the first step: the same command without --token.",
    "second_person_required": "Another owner must confirm it, with a key of their own: the owner of the key signs.",
    "seq_not_reached": "Use that sequence or an earlier one.",
    "unauthorized": "Name a live key: TRADE_KEY=KEY_ID.SECRET or TRADE_KEY_FILE=FILE; to use the key of a stack of yours: --data-dir DIR.",
    "scope_missing": MAKE_A_KEY,
    "scopes_forbidden": "Make two keys: who makes keys does not trade with them. The scopes: trade key create --help",
    "account_not_yours": "A key acts for its own account: leave --account out, or use a key of that account. See: trade whoami",
    "who_not_yours": "Leave --who out: the owner of the key signs. See: trade whoami",
    "account_not_found": "See what is open: trade account list; open it: trade account create ACCOUNT",
    "account_closed": "Open it again: trade account create ACCOUNT",
    "key_ended": "Make another one: trade key create",
    "no_secret": "Make another one: trade key create --public-key FILE",
    "account_exists": "It can be used as it is. See: trade account list",
    "key_not_found": "Find it: trade key list",
    "rate_limited": "Retry in SECONDS s, or allow more: trade key limit KEY_ID --rate N --burst N",
    "access_unknown": "Retry in a moment: this service does not know the keys of now, and changes nothing until it does. See: trade status",
    "search_absent": "Start it with: trade up --with search",
    "analytics_absent": "Start it with: trade up --with analytics",
    "search_invalid": "Quote a text with special characters: trade search '\"a:b\"'. The form: trade search --help",
    "query_invalid": "The tables and their columns: docs/search-and-analytics.md",
    "query_not_allowed": "Ask for the tables of this system with one SELECT: docs/search-and-analytics.md",
    "query_too_large": "Aggregate, or add LIMIT.",
    "query_too_long": "Ask for less: a shorter time, one account or symbol.",
    "internal": "The reason is in the log of oms (DATA_DIR/logs); trade status shows which services are healthy.",
    "not_found": "Another program or an older oms may run at this address. See: trade status",
    "method_not_allowed": "Another program or an older oms may run at this address. See: trade status",
}
WITHOUT_A_KEY: Final = {"second_person_required": "Another person must confirm it, under their own name: --who NAME"}
"""Remedies that differ where no key was sent, whose owner would sign."""
_KNOWN: Final = frozenset({"type", "title", "status", "detail", "code", "instance", "found", "limit", "unit", "checks", "order_id"})

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reply:
    """A response of the API. `value()` reads numbers exactly. `keyed`: a key was sent with the request."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    keyed: bool

    def value(self) -> Any:
        """Return the body as Python values, numbers as int and Decimal. Unreachable if it is not JSON: then it is not this API."""
        try:
            return json.loads(self.body, parse_float=Decimal)
        except ValueError:
            return not_ours(self.body)

    def object(self) -> dict[str, Any]:
        value = self.value()
        return value if isinstance(value, dict) else not_ours(self.body)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return a list of objects, bare or under `name`. Unreachable if the body is anything else."""
        value = self.value()
        rows = value.get(name) if isinstance(value, dict) else value
        return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else not_ours(self.body)


class Oms:
    """HTTP client of oms, or of another `service`, with the key that `addresses` has for it.

    With `raw` every response body is printed unchanged, refusals too.
    """

    def __init__(
        self, addresses: Addresses, service: str = "oms", *, raw: bool = False, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self._addresses = addresses
        self._url = url = addresses[service]
        self._service = service
        self._raw = raw
        try:
            timeout = httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S)
            # trust_env=False: a proxy from the environment must not route requests to the user's own machine
            self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False, verify=needed_for(url, verification()))
        except httpx.InvalidURL as error:
            raise WrongUsage(f"{url!r} is not an address: {error}.", "Example: TRADE_OMS_URL=http://127.0.0.1:8099") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Reply:
        return self._accepted(self._ask("GET", path, query))

    def post(self, path: str, body: Mapping[str, object]) -> Reply:
        return self._accepted(self._ask("POST", path, {}, _encoded(body)))

    def put(self, path: str, body: Mapping[str, object]) -> Reply:
        return self._accepted(self._ask("PUT", path, {}, _encoded(body)))

    def delete(self, path: str, **query: object) -> Reply:
        """Send DELETE. A repeated request cancels once, so a lost response needs no handling here."""
        return self._accepted(self._ask("DELETE", path, query))

    def patch(self, path: str, terms: Mapping[str, object]) -> Reply:
        """Send PATCH. A repeated request replaces once."""
        return self._accepted(self._ask("PATCH", path, {}, json.dumps(terms).encode()))

    def submit(self, order: Mapping[str, object], retry_for_s: float, say: Say) -> Reply:
        """Send POST /orders until a response is final or `retry_for_s` is over. The order must have its client_order_id.

        Unreachable if the outcome is unknown or nothing was sent; Refused on a final refusal or if oms stays overloaded (429).
        """
        repeat = f"Repeat the same order with --client-order-id {shlex.quote(str(order['client_order_id']))}: it cannot become two."
        return self._retried("/orders", json.dumps(order).encode(), retry_for_s, say, (repeat, "client_order_id"))

    def submit_list(self, body: bytes, client_list_id: str, retry_for_s: float, say: Say) -> Reply:
        """Send POST /order-lists as `submit` sends an order. The body must have this client_list_id."""
        repeat = f"Repeat the same list with --client-list-id {shlex.quote(client_list_id)}: it cannot become two."
        return self._retried("/order-lists", body, retry_for_s, say, (repeat, "client_list_id"))

    def submit_algo(self, body: bytes, client_algo_id: str, retry_for_s: float, say: Say) -> Reply:
        """Send POST /algos as `submit` sends an order. The body must have this client_algo_id."""
        repeat = f"Repeat the same algo with --client-algo-id {shlex.quote(client_algo_id)}: it cannot become two."
        return self._retried("/algos", body, retry_for_s, say, (repeat, "client_algo_id"))

    def _retried(self, path: str, body: bytes, retry_for_s: float, say: Say, texts: tuple[str, str]) -> Reply:
        """`texts`: how to repeat the command, and the name of the id that makes this safe."""
        deadline = time.monotonic() + retry_for_s
        pause, first = RETRY_FIRST_S, True
        while True:
            answer, reason = self._try(path, body, first)
            if answer is not None and answer.status not in AGAIN:
                return self._accepted(answer)
            pause = max(_retry_after(answer), pause)
            if time.monotonic() + pause > deadline:
                self._give_up(answer, reason, texts[0])
            say(f"{reason} Retrying with the same {texts[1]} in {pause:g} s.")
            time.sleep(pause)
            pause, first = min(pause * 2, RETRY_MAX_S), False

    def _try(self, path: str, body: bytes, first: bool) -> tuple[Reply | None, str]:
        """Return a reply, or the reason why none came. Unreachable if the first connect fails: then nothing was sent."""
        try:
            answer = self._ask("POST", path, {}, body)
        except Unreachable as trouble:
            if first and isinstance(trouble.__cause__, NOT_SENT):
                raise
            return None, str(trouble).partition("\n")[0]
        return answer, _sentence(answer) if answer.status in AGAIN else ""

    def _give_up(self, answer: Reply | None, reason: str, remedy: str) -> NoReturn:
        if self._raw and answer is not None:
            show.raw(answer.body)
        kind = Refused if answer is not None and answer.status == 429 else Unreachable
        raise kind(f"The outcome is unknown. {reason}" if kind is Unreachable else reason, remedy)

    def _ask(self, method: str, path: str, query: Mapping[str, object], body: bytes | None = None) -> Reply:
        parameters = {name: str(value) for name, value in query.items() if value is not None}
        headers = {"content-type": "application/json"} if body is not None else {}
        key = self._addresses.key_for(self._service, path)
        try:
            response = self._http.request(method, path, params=parameters, content=body, headers=headers, auth=key)
        except httpx.TimeoutException as error:
            raise Unreachable(
                f"{self._service} at {self._url} did not respond in time ({type(error).__name__}).", "Check its state: trade status"
            ) from error
        except httpx.TransportError as error:
            remedy = TRUST if "CERTIFICATE_VERIFY_FAILED" in str(error) else START
            raise Unreachable(
                f"{self._service} at {self._url} cannot be reached ({str(error) or type(error).__name__}).", remedy
            ) from error
        return Reply(response.status_code, response.content, response.headers, key is not None)

    def _accepted(self, answer: Reply) -> Reply:
        """Return the reply if its status is below 300, else raise its Trouble. With `raw`, print the body first."""
        if self._raw:
            show.raw(answer.body)
        if answer.status < 300:
            return answer
        raise refused_by(answer)


def signature(addresses: Addresses, service: str, who: str | None) -> dict[str, str]:
    """Return the field `who` of a body: the person named, else the current user; nothing if a key is sent, whose owner signs then."""
    if not who and addresses.key_for(service, "/") is not None:
        return {}
    return {"who": who or getpass.getuser()}


def _encoded(body: Mapping[str, object]) -> bytes:
    """Encode JSON with each Decimal as a string of its digits."""
    return json.dumps(body, default=plain).encode()


def not_ours(body: bytes) -> NoReturn:
    raise Unreachable(
        f"The response does not come from this system: {show.clean(body[:80].decode(errors='replace'))!r}",
        "Another program may run at this address. See: trade status",
    )


def _problem(answer: Reply) -> dict[str, Any]:
    try:
        problem = answer.value()
    except Unreachable:
        return {}
    return problem if isinstance(problem, dict) else {}


def _sentence(answer: Reply) -> str:
    """Return the problem document on one line: the detail, the code, and its further fields."""
    problem = _problem(answer)
    code = problem.get("code", f"HTTP {answer.status}")
    detail = str(problem.get("detail") or problem.get("title") or "The response is not a problem document of this system")
    others = "".join(f", {name} {value}" for name, value in problem.items() if name not in _KNOWN and not isinstance(value, dict | list))
    return f"{show.clean(detail[:PROSE_MAX]).rstrip('.')} ({show.clean(f'{code}{others}')})."


def refused_by(answer: Reply) -> Trouble:
    """Return the failure that a refusal is for the command."""
    problem = _problem(answer)
    code = str(problem.get("code", ""))
    remedy = REMEDIES.get(code) if answer.keyed else WITHOUT_A_KEY.get(code, REMEDIES.get(code))
    if answer.status in (502, 503, 504):
        return Unreachable(_sentence(answer), remedy or "Retry in a moment; trade status shows which services are not ready.")
    if answer.status == 429:
        return Refused(_sentence(answer), (remedy or "Retry in SECONDS s.").replace("SECONDS", f"{max(_retry_after(answer), 1):g}"))
    if remedy is None:
        remedy = "Correct the request and retry; nothing was recorded." if answer.status < 500 else ""
    if remedy == MAKE_A_KEY:
        remedy = _how_to_get(str(problem.get("needs", "")))
    return Refused(_sentence(answer), remedy.replace("ORDER_ID", show.clean(str(problem.get("order_id", "ORDER_ID")))))


def _how_to_get(scope: str) -> str:
    """Return how to make a request that needs this scope. Scopes of every account are in the command line's own key."""
    if scope in OF_ALL_ACCOUNTS:
        return MANAGE_KEYS
    scopes = scope if scope == AccessScope.READ else f"{show.clean(scope) or 'SCOPE'},{AccessScope.READ}"
    return MAKE_A_KEY.replace("NEEDS,read", scopes)


def _retry_after(answer: Reply | None) -> float:
    text = answer.headers.get("retry-after", "") if answer is not None else ""
    return float(text) if text.isdecimal() else 0.0


def to_stderr(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
