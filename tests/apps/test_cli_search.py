"""`trade search` and `trade query`: what is asked, what a person reads, and what an absent part is called."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from apps.cli.main import app
from tests.apps.fake_oms import FakeOms

ORDER: dict[str, Any] = {
    "order_id": "O1",
    "created_at": "2026-11-30T10:00:00.000000001Z",
    "account": "alice",
    "symbol": "BTCUSDT",
    "side": "buy",
    "type": "limit",
    "quantity": 1,
    "price": 45000,
    "status": "rejected",
    "cum_quantity": 0,
    "average_price": None,
}


def trade(door: FakeOms, *words: str) -> Result:
    return CliRunner(env={"TRADE_MARKET_SINK_ALT_URL": door.url}).invoke(app, words)


def test_orders_are_found_by_their_words_and_printed_as_a_list(door: FakeOms) -> None:
    door.says("GET", "/search", {"orders": [ORDER], "found": 1, "complete": True})
    found = trade(door, "search", "alice", "BTCUSDT rejected", "--limit", "5")
    assert found.exit_code == 0
    assert "O1" in found.stdout
    assert "2026-11-30T10:00:00.000000001Z" in found.stdout
    assert (door.asked[0].path, door.asked[0].query) == ("/search", {"q": "alice BTCUSDT rejected", "limit": "5"})


def test_the_answer_to_a_query_is_a_table_or_the_bytes_of_the_service(door: FakeOms) -> None:
    columns = [{"name": "account", "type": "String"}, {"name": "bought", "type": "Decimal(38, 12)"}]
    door.says("POST", "/query", {"columns": columns, "rows": [["alice", 1e-12], ["bob", None]]})
    found = trade(door, "query", "SELECT account, sum(quantity) AS bought FROM fills GROUP BY account")
    assert found.exit_code == 0
    assert [line.split() for line in found.stdout.splitlines()] == [["account", "bought"], ["alice", "0.000000000001"], ["bob", "-"]]
    assert door.asked[0].json == {"sql": "SELECT account, sum(quantity) AS bought FROM fills GROUP BY account"}
    assert trade(door, "query", "SELECT 1", "--json").stdout.startswith('{"columns":')


def test_bad_sql_is_one_sentence_with_the_position(door: FakeOms) -> None:
    door.refuses("POST", "/query", 400, "query_invalid", "Syntax error: failed at position 21", position=21)
    found = trade(door, "query", "SELECT count() FORM orders")
    assert found.exit_code == 1
    assert "position 21" in found.stderr


@pytest.mark.parametrize(("words", "part"), [(("search", "alice"), "search"), (("query", "SELECT 1"), "analytics")])
def test_an_absent_part_is_reported_with_how_to_start_it(
    door: FakeOms, words: tuple[str, ...], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.refuses("GET", "/search", 501, "search_absent", "sink-alt runs without search")
    door.refuses("POST", "/query", 501, "analytics_absent", "sink-alt runs without analytics")
    found = trade(door, *words)
    assert found.exit_code == 1
    assert found.stderr.splitlines() == [f"sink-alt runs without {part} ({part}_absent).", f"Start it with: trade up --with {part}"]
    monkeypatch.chdir(tmp_path)
    without = CliRunner().invoke(app, words)
    assert without.exit_code == 3
    assert without.stderr.splitlines() == [f"This stack runs without {part}.", f"Start it with: trade up --with {part}"]


def test_an_empty_query_is_not_sent(door: FakeOms) -> None:
    assert (trade(door, "query", "  ").exit_code, door.asked) == (2, [])
