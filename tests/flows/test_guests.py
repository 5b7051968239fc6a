"""A program without a password, on a whole stack: no journal grows by its requests and no account loses room."""

import json
from typing import Final

import nats

from adapters import bus
from tests.stack import LiveStack

JOURNALS: Final = ("oms.journal.0", "risk.control.all", "venue.journal.PAPER_A")
QUESTIONS: Final = ("$JS.API.INFO", "journals.STREAM.INFO.OMS_JOURNAL", "journals.STREAM.MSG.GET.OMS_JOURNAL", "risk.check.order")
ORDER: Final = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.001", "price": "45000"}


async def _ignore(_: Exception) -> None:
    """What nats-server refuses is expected here."""


async def test_a_guests_question_puts_no_answer_into_a_journal(running: LiveStack) -> None:
    with running.client() as oms:
        assert oms.post("/orders", json={**ORDER, "account": "guest-before"}).json()["status"] == "submitted"
    guest = await nats.connect(f"nats://127.0.0.1:{running.state('nats').ports['nats']}", error_cb=_ignore)
    for journal in JOURNALS:
        for question in QUESTIONS:
            await guest.publish(question, b"[]", reply=journal)
    await bus.flush(guest)
    answered = await guest.request("risk.check.order", b"[]", timeout=20)  # behind all of them
    await guest.close()
    assert answered.data == b"[]"
    with running.client() as oms:
        assert oms.post("/orders", json={**ORDER, "account": "guest-after"}).json()["status"] == "submitted"
    shown = running.trade("verify")
    assert shown.returncode == 0, shown.stdout + shown.stderr


async def test_a_guests_questions_take_no_accounts_room(running: LiveStack) -> None:
    guest = await nats.connect(f"nats://127.0.0.1:{running.state('nats').ports['nats']}", error_cb=_ignore)
    with running.client() as oms:
        for turn in range(4):
            ghosts = [{**ORDER, "account": "roomy", "quantity": "0.5", "order_id": f"ghost-{turn}-{n}"} for n in range(4)]
            answers = json.loads((await guest.request("risk.check.order", json.dumps(ghosts).encode(), timeout=20)).data)
            assert [answer["order_id"] for answer in answers] == [ghost["order_id"] for ghost in ghosts]
            answer = oms.post("/orders", json={**ORDER, "account": "roomy", "quantity": "0.05"}).json()
            assert answer["status"] == "submitted", answer
    await guest.close()
