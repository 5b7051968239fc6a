"""Whatever arrives as a body is read or refused, briefly, and never anything else."""

import json
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from apps.http.app import Refusal
from apps.http.problem import DETAIL_MAX
from domain.order.commands import Terms
from domain.values import CLIENT_ORDER_ID, IDENTIFIER, SYMBOL
from tests.apps.submits import ALL_FIELDS, GOOD, INSTRUMENTS, malformed_at, read, refusal, text

REFUSAL_MAX = 1000

ANY = st.text(st.characters(), max_size=200)
"""Every code point, lone surrogates included."""


def outcome(body: bytes, key: str | None) -> Terms | Refusal:
    try:
        return read(body, key)
    except Refusal as refused:
        return refused


def survives(body: bytes, key: str | None = None) -> None:
    """Terms whose names are safe everywhere, or a refusal that can be sent and is short."""
    terms = outcome(body, key)
    if isinstance(terms, Refusal):
        assert (terms.status, terms.code == "malformed") in ((400, True), (422, False))
        problem = terms.body()
        assert json.loads(problem)["status"] == terms.status
        assert len(terms.detail) <= DETAIL_MAX
        assert len(problem) <= REFUSAL_MAX
        return
    assert IDENTIFIER.fullmatch(terms.account)
    assert CLIENT_ORDER_ID.fullmatch(terms.client_order_id)
    assert SYMBOL.fullmatch(terms.symbol)
    assert terms.symbol in INSTRUMENTS


@pytest.mark.parametrize("field", [*ALL_FIELDS, "other"])
def test_any_text_in_any_field_is_read_or_refused(field: str) -> None:  # FAILURES 58
    @settings(max_examples=150, deadline=None)
    @given(ANY, st.booleans())
    @example("\ud800", True)
    @example("\udc00\ud800", False)
    @example("\x00", False)
    @example("\u202e", False)
    @example("x" * 60_000, False)
    def scene(value: str, raw: bool) -> None:
        survives(json.dumps({**GOOD, field: value}, ensure_ascii=not raw).encode("utf-8", "surrogatepass"))

    scene()


@settings(max_examples=300)
@given(ANY)
def test_any_idempotency_key_is_read_or_refused(key: str) -> None:
    survives(text(client_order_id=...), key)


@settings(max_examples=300)
@given(ANY)
def test_any_name_of_a_field_is_refused(name: str) -> None:
    assume(name not in ALL_FIELDS)
    found = refusal(text(**{name: 1}))
    assert (found.status, len(found.body()) <= REFUSAL_MAX) == (400, True)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(body: bytes) -> None:
    malformed_at(body)


@settings(max_examples=500)
@given(st.integers(0, len(text()) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_good_body_with_bytes_changed_is_read_or_refused(place: int, put: bytes, cut: int) -> None:
    survives(text()[:place] + put + text()[place + cut :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(ANY, each, max_size=3),
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(ALL_FIELDS), JSON, max_size=4))
def test_any_json_in_the_fields_is_read_or_refused(changes: dict[str, Any]) -> None:
    survives(text(**changes))
