"""Every example of docs/orders.md is an order that oms accepts, and every type and time in force has one."""

import json
import re
from decimal import Decimal
from pathlib import Path

from apps.oms.submit_body import TermsReader
from config.catalogue import load_instruments
from domain.access.keys import KeyRing
from domain.access.scopes import EVERY_ACCOUNT
from domain.instruments import Denial
from domain.order.auction import Auction
from domain.order.commands import Terms
from domain.order.events import Candidate
from domain.values import OrderType, Side, TimeInForce
from tests.given import NOW, SECOND

PAGE = (Path(__file__).parents[2] / "docs" / "orders.md").read_text()
EXAMPLES = re.findall(r"`(\{.*?\})`", PAGE)


def quoted(symbol: str, side: Side) -> Candidate:
    return Candidate("PAPER_A", Decimal(44_999), Decimal(45_001), Decimal(2))


def next_session(symbol: str, time_in_force: TimeInForce) -> Auction | Denial:
    return Auction("PAPER_A", NOW + SECOND, NOW + 2 * SECOND)


def accepted(body: str) -> Terms:
    instruments, keys = load_instruments().instruments, KeyRing()
    reader = TermsReader(instruments, "main", frozenset(OrderType), keys.may_trade, quoted, {"BTCUSDT"}, next_session)
    terms = reader.read(body.encode(), None, EVERY_ACCOUNT)
    assert reader.denial(terms, NOW) is None, body
    return terms


def test_every_example_is_accepted_and_every_kind_has_one() -> None:
    found = [accepted(example) for example in EXAMPLES]
    assert {terms.order_type for terms in found} == set(OrderType)
    assert {terms.time_in_force for terms in found} == set(TimeInForce)
    shown = {name for example in EXAMPLES for name in json.loads(example)}
    assert shown >= {"notional", "post_only", "reduce_only", "priority", "display_quantity", "expire_at", "stop_price"}
