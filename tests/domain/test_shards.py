"""Shards: an account is in one of them, and the ids of its orders and lists name it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.shards import ONE_SHARD, SHARDS_MAX, Shards
from domain.values import order_id_of, shard_of

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=32)
SEVERAL = st.integers(2, SHARDS_MAX).map(Shards)


@given(NAMES, NAMES)
def test_with_one_shard_an_id_is_what_it_always_was(account: str, name: str) -> None:
    assert ONE_SHARD.order_id(account, name) == order_id_of(account, name)
    assert (ONE_SHARD.of(account), ONE_SHARD.of_id(order_id_of(account, name))) == (0, 0)


@given(SEVERAL, NAMES, NAMES)
def test_with_several_the_first_two_digits_of_an_id_are_the_shard_of_its_account(shards: Shards, account: str, name: str) -> None:
    order_id = shards.order_id(account, name)
    assert shards.of_id(order_id) == shards.of(account) == shard_of(account, shards.count) == int(order_id[:2], 16)
    assert (order_id[2:], len(order_id)) == (order_id_of(account, name)[2:], 32)


@pytest.mark.parametrize("id_", ["", "0", "zz00", "04aa", "ff", "+1aa", " 1aa", "0Aaa", "1_", "٠١"])
def test_an_id_that_names_no_shard_is_of_none(id_: str) -> None:
    assert Shards(4).of_id(id_) is None
