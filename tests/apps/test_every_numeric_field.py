"""Every number in every request body: read exactly in each form that programs write, refused by its name otherwise.

The fields are taken from the structs and tables of the code, so that a new one is tried too.
"""

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from types import ModuleType
from typing import Any, NamedTuple, get_origin, get_type_hints

import msgspec
import pytest

import apps.live_gateway
import apps.oms
import apps.risk
from adapters.clock import SystemClock
from apps.http.app import Refusal
from apps.http.body import exact_number, read_model, read_struct
from apps.http.caller import LOCAL_CALLER
from apps.http.trail_body import read_trail
from apps.live_gateway.fault_endpoint import Fault, possible
from apps.oms.algo_body import AlgoBody, AlgoReader, AmendBody, ParamBounds, ParamsBody, PauseBody, read_amend
from apps.oms.list_body import LegBody, ListReader
from apps.oms.replace import ReplaceBody, read_replace
from apps.oms.settle import SettleBody, read_settle
from apps.oms.submit_body import SubmitBody, TermsReader
from apps.risk.check_body import CheckBody, EntryBody, read_order
from apps.risk.limits_body import FIELD_OF, read_limits
from domain.access.keys import KeyRing
from domain.access.scopes import EVERY_ACCOUNT
from domain.execution.order_rules import OrderRules
from domain.instruments import Instrument
from domain.order.commands import Terms
from domain.values import OrderType

FINE = Instrument(
    symbol="FINE", tick=Decimal("1e-12"), lot=Decimal("1e-12"), quantity_max=Decimal(10**18), notional_min=Decimal(0), currency="USD"
)
SPREAD = msgspec.structs.replace(FINE, negative_prices=True)
PRICES = frozenset({"price", "stop_price", "activation_price", "limit_price"})
"""Fields that may have a minus, and only of an instrument that says so."""
OF_TRAIL = {"trail_amount": "amount", "trail_percent": "percent", "limit_offset": "limit_offset", "activation_price": "activation_price"}
"""Fields of a body that an order keeps in its trail."""
ORDER = {"account": "alice", "symbol": "FINE", "side": "buy", "type": "stop_limit", "quantity": 1, "price": 1, "stop_price": 1}
LEG = {name: value for name, value in ORDER.items() if name != "account"}
TRADE = {"outcome": "filled", "who": "eve", "reason": "asked", "exec_id": "E1", "quantity": 1, "price": 1, "fee": 1}
LIMITS = {"version": 1, "who": "eve", "reason": "asked", **dict.fromkeys(FIELD_OF, 1)}


class Door(NamedTuple):
    """How a body about an instrument is read to a number by the name of its field, one good body, and its numeric fields."""

    read: Callable[[bytes, str, Instrument], Decimal]
    good: dict[str, Any]
    fields: tuple[str, ...]


def raw_fields(body: type[msgspec.Struct]) -> tuple[str, ...]:
    """The numbers of a body. A list of raw values holds bodies of their own."""
    kinds = {name: (kind, *getattr(kind, "__args__", ())) for name, kind in get_type_hints(body).items() if get_origin(kind) is not list}
    return tuple(name for name, found in kinds.items() if msgspec.Raw in found)


def limit(body: bytes, field: str) -> Decimal:
    value: Decimal = getattr(read_limits(body, "alice", {}, LOCAL_CALLER).limits, FIELD_OF[field])
    return value.scaleb(2) if field.endswith("_pct") else value


def submitted(body: bytes, field: str, instrument: Instrument) -> Decimal:
    reader = TermsReader({"FINE": instrument}, "alice", frozenset(OrderType), KeyRing().may_trade)
    return number_of(reader.read(body, None, EVERY_ACCOUNT), field)


def number_of(terms: Terms, field: str) -> Decimal:
    number: Decimal = getattr(terms.trail, OF_TRAIL[field]) if field in OF_TRAIL else getattr(terms, field)
    return number


def in_a_list(body: bytes, field: str, instrument: Instrument) -> Decimal:
    """The number of the first order of a basket. Refusals point into the list; here their pointers begin at the order."""
    orders = b",".join((body, json.dumps(LEG).encode()))
    basket = b'{"account":"alice","client_list_id":"basket","type":"none","orders":[' + orders + b"]}"
    terms = TermsReader({"FINE": instrument}, "alice", frozenset(OrderType), KeyRing().may_trade)
    try:
        _, legs = ListReader(terms).read(basket, EVERY_ACCOUNT, "")
    except Refusal as refusal:
        pointer = str(refusal.extra.get("pointer", ""))
        assert not pointer or pointer.startswith("/orders/0/")
        raise Refusal(refusal.status, refusal.code, refusal.detail, pointer=pointer.removeprefix("/orders/0") or None) from None
    return number_of(legs[0], field)


def replaced(body: bytes, field: str, instrument: Instrument) -> Decimal | None:
    number: Decimal | None = getattr(read_replace(body, negative=instrument.negative_prices), field)
    return number


def checked(body: bytes, field: str, instrument: Instrument) -> Decimal:
    """The number of a checked order. A check refuses a trail that its type of order cannot have, so a trail is read alone."""
    if field in OF_TRAIL:
        trail = read_trail(read_struct(msgspec.json.Decoder(CheckBody), body), negative=instrument.negative_prices)
        number: Decimal = getattr(trail, OF_TRAIL[field])
        return number
    return number_of(read_order(body, OrderRules({"FINE": instrument}, KeyRing().may_trade), "", 0)[0], field)


def of_an_entry(body: bytes, field: str, instrument: Instrument) -> Decimal:
    """The number of the entry of a checked exit. Refusals point into the check; here their pointers begin at the entry."""
    check = json.dumps(ORDER).encode().removesuffix(b"}") + b',"entry":' + body + b"}"
    try:
        _, entry = read_order(check, OrderRules({"FINE": instrument}, KeyRing().may_trade), "", 0)
    except Refusal as refusal:
        pointer = str(refusal.extra.get("pointer", ""))
        raise Refusal(refusal.status, refusal.code, refusal.detail, pointer=pointer.removeprefix("/entry") or None) from None
    number: Decimal = getattr(entry, field)
    return number


def of_an_algo(body: bytes, field: str, instrument: Instrument) -> Decimal:
    terms = TermsReader({"FINE": instrument}, "alice", frozenset(OrderType), KeyRing().may_trade)
    number: Decimal = getattr(AlgoReader(terms, ParamBounds(), {}, SystemClock()).read(body, EVERY_ACCOUNT), field)
    return number


def of_params(kind: type[msgspec.Struct]) -> Callable[[bytes, str, Instrument], Any]:
    """The grammar of the parameters: their ranges are looked at in test_algo_bodies.py."""
    return lambda body, field, about: exact_number(getattr(read_struct(msgspec.json.Decoder(kind), body), field), field)


def amended(body: bytes, field: str, instrument: Instrument) -> Any:
    return exact_number(getattr(read_amend(body), field), field, negative=field in PRICES and instrument.negative_prices)


def fault(body: bytes, field: str, instrument: Instrument) -> Decimal:
    number: Decimal = getattr(read_model(body, Fault), field)
    return possible(instrument, number) if field in PRICES else number


def numbers_of(body: type[msgspec.Struct]) -> tuple[str, ...]:
    """The numbers of a body that also holds raw objects."""
    return tuple(name for name in raw_fields(body) if name not in ("params", "pause_on"))


REPLACED = tuple(name for name in raw_fields(ReplaceBody) if name != "display_quantity")
CHECKED = tuple(name for name in raw_fields(CheckBody) if name not in ("display_quantity", "entry"))
"""A display quantity is refused together with the other terms of this body: see test_risk_door.py."""
DOORS: dict[Any, Door] = {
    SubmitBody: Door(submitted, ORDER, raw_fields(SubmitBody)),
    LegBody: Door(in_a_list, LEG, raw_fields(LegBody)),
    ReplaceBody: Door(replaced, dict.fromkeys(REPLACED, 1), REPLACED),  # type: ignore[arg-type]
    SettleBody: Door(
        lambda body, field, about: getattr(read_settle("o", body, LOCAL_CALLER, negative=about.negative_prices), field),
        TRADE,
        raw_fields(SettleBody),
    ),
    CheckBody: Door(checked, ORDER, CHECKED),
    EntryBody: Door(of_an_entry, {"side": "sell", "quantity": 1}, raw_fields(EntryBody)),
    AlgoBody: Door(of_an_algo, {"symbol": "FINE", "side": "buy", "quantity": 1, "strategy": "twap"}, numbers_of(AlgoBody)),
    ParamsBody: Door(of_params(ParamsBody), {}, numbers_of(ParamsBody)),
    PauseBody: Door(of_params(PauseBody), {}, numbers_of(PauseBody)),
    AmendBody: Door(amended, {}, numbers_of(AmendBody)),
    "PUT /risk/limits": Door(lambda body, field, about: limit(body, field), LIMITS, tuple(FIELD_OF)),
    Fault: Door(
        fault,
        {"fault": "fill"},
        tuple(name for name, kind in Fault.model_fields.items() if "Decimal" in str(kind.annotation)),
    ),
}
FIELDS = [(door, field) for door, it in DOORS.items() for field in it.fields]
every_field = pytest.mark.parametrize(("door", "field"), FIELDS, ids=str)

EXACT = {
    "1.234e-05": "0.00001234",
    "1e-12": "0.000000000001",
    "1E2": "100",
    "9.5e+1": "95",
    "2.50e-1": "0.25",
    "7e0": "7",
    "1e-05": "0.00001",
    "0.000000000001": "0.000000000001",
    "12.5": "12.5",
    "1": "1",
    "123.456789012345": "123.456789012345",
}
LONG = ["-0", "1" + "0" * 400 + "e-400"]
"""Refused by the grammar alone. Faults, which are for tests, are parsed by pydantic, for which these are the numbers 0 and 1."""
REFUSED = [
    *("NaN", "Infinity", "-Infinity", "-1", "-1e-5", "1e18", "1e99", "1e-13", "1.5e-12", "1e999999999", "1e-999999999", "0e999999999"),
    *("9" * 19, "9" * 400, "0." + "0" * 12 + "1", "01", "+1", ".5", "1.", "1e", "1_000", "0x10", "true", "[1]", "{}", *LONG),
]


SIGNED_REFUSED = [
    raw
    for raw in [*REFUSED, *(f"-{each}" for each in REFUSED), "- 1", "-", "--1", "1-"]
    if raw not in ("-1", "-1e-5", *LONG, *(f"-{each}" for each in LONG)) and not raw.startswith(("-true", "-[", "-{"))
]
"""What is no price either where a price may have a minus."""


def modules(package: ModuleType) -> Iterator[ModuleType]:
    for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not each.name.endswith("__main__"):
            yield importlib.import_module(each.name)


def test_every_body_with_a_number_has_a_door_here() -> None:
    structs = {
        kind
        for package in (apps.oms, apps.risk, apps.live_gateway)
        for module in modules(package)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__ and raw_fields(kind)
    }
    assert structs <= DOORS.keys()
    assert all(it.fields for it in DOORS.values())


def body_with(door: Any, field: str, raw: str) -> bytes:
    others = {name: value for name, value in DOORS[door].good.items() if (name, field) != ("quantity", "notional")}
    return json.dumps({**others, field: "@"}).replace('"@"', raw).encode()


@every_field
@pytest.mark.parametrize("quote", ["", '"'])
def test_every_form_of_a_number_is_read_to_the_last_digit(door: Any, field: str, quote: str) -> None:
    for written, means in EXACT.items():
        for about in (FINE, SPREAD):
            found = DOORS[door].read(body_with(door, field, f"{quote}{written}{quote}"), field, about)
            assert (format(found.normalize(), "f"), written) == (means, written)


@every_field
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_price_may_have_a_minus_where_its_instrument_says_so(door: Any, field: str, quote: str) -> None:
    for written, means in EXACT.items():
        body = body_with(door, field, f"{quote}-{written}{quote}")
        if field in PRICES:
            assert format(DOORS[door].read(body, field, SPREAD).normalize(), "f") == f"-{means}"
        for about in (FINE, *((SPREAD,) if field not in PRICES else ())):
            with pytest.raises(Refusal) as refused:
                DOORS[door].read(body, field, about)
            assert (refused.value.status, refused.value.code) == (400, "malformed"), written
            assert refused.value.extra.get("pointer") == f"/{field}", written


@pytest.mark.parametrize(("door", "field"), [(door, field) for door, field in FIELDS if field in PRICES], ids=str)
@pytest.mark.parametrize("written", ["0", "-0", "-0.0", "0.00", '"-0"'])
def test_zero_is_a_price_there_and_minus_zero_is_zero(door: Any, field: str, written: str) -> None:
    if door is Fault and written != "0":
        return  # a float that says 0 may have been 1e-999, and a test needs no -0
    assert str(DOORS[door].read(body_with(door, field, written), field, SPREAD)).lstrip("0.") == ""


@every_field
def test_what_is_no_number_of_ours_is_malformed_at_its_field(door: Any, field: str) -> None:
    for raw in [*(raw for raw in REFUSED if door is not Fault or raw not in LONG), *(json.dumps(each) for each in REFUSED)]:
        with pytest.raises(Refusal) as refused:
            DOORS[door].read(body_with(door, field, raw), field, FINE)
        assert (refused.value.status, refused.value.code) == (400, "malformed"), raw
        assert refused.value.extra.get("pointer") in (f"/{field}", None), raw
        assert refused.value.extra.get("pointer") or not is_json(raw), raw
    if field not in PRICES:
        return
    for raw in [*SIGNED_REFUSED, *(json.dumps(each) for each in SIGNED_REFUSED)]:
        with pytest.raises(Refusal) as refused:
            DOORS[door].read(body_with(door, field, raw), field, SPREAD)
        assert (refused.value.status, refused.value.code) == (400, "malformed"), raw


def is_json(raw: str) -> bool:
    try:
        json.loads(raw, parse_constant=lambda name: int("no"), parse_int=str)
    except ValueError:
        return False
    return True
