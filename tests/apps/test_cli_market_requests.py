"""`trade market backfill`: what it shows is of the backfill that it asked for."""

from types import TracebackType
from typing import Any, Self

import pytest

from apps.cli import market_requests
from apps.cli.trouble import Trouble

BEGIN, END = "2026-11-27T12:00:00Z", "2026-11-27T13:00:00Z"
DONE = {"from": "2026-11-27T12:00:00.000000Z", "to": "2026-11-27T13:00:00.000000Z", "state": "done", "pages": 2, "trades": 50}


class Shown:
    """A gateway with one venue, and its last backfill."""

    def __init__(self, backfill: object) -> None:
        self.backfill = backfill

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def get(self, path: str) -> Self:
        assert path == "/venues"
        return self

    def object(self) -> dict[str, Any]:
        return {"KRAKEN": {"backfill": self.backfill}}


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({**DONE, "symbol": "ETHUSD"}, "The backfill has ended, and the gateway shows another one already."),
        (
            {**DONE, "symbol": "BTCUSD", "to": "2026-11-27T13:00:02.000000Z"},
            "The backfill has ended, and the gateway shows another one already.",
        ),
        (None, "The gateway has started again, which ended the backfill."),
    ],
)
def test_the_result_of_another_backfill_is_not_shown_as_this_one(shown: object, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_requests, "_market", lambda *_: {})
    monkeypatch.setattr(market_requests, "_asked", lambda *_, **__: "accepted")
    monkeypatch.setattr(market_requests, "Oms", lambda *_: Shown(shown))
    with pytest.raises(Trouble, match=said):
        market_requests.backfill("BTCUSD", "KRAKEN", BEGIN, END)


def test_a_finished_backfill_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(market_requests, "_market", lambda *_: {})
    monkeypatch.setattr(market_requests, "_asked", lambda *_, **__: "accepted")
    monkeypatch.setattr(market_requests, "Oms", lambda *_: Shown({**DONE, "symbol": "BTCUSD"}))
    market_requests.backfill("BTCUSD", "KRAKEN", BEGIN, END)
    assert capsys.readouterr().out == "KRAKEN BTCUSD: 50 trades, pages: 2\n"
