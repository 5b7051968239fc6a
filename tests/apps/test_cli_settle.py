"""`trade order settle`: what an operator says reaches the API as it was said, and its answer is told."""

import getpass

from tests.apps.fake_oms import FakeOms
from tests.apps.test_cli_order import ID, oms, trade

__all__ = ["oms"]  # its fixture is ours
REASON = "the desk has no such order"


def test_it_says_the_outcome_who_and_why(oms: FakeOms) -> None:
    oms.says("POST", f"/orders/{ID}/settle", {"order_id": ID, "status": "rejected", "reason": "never_arrived", "source": "operator"})
    answer = trade(oms, "order", "settle", ID, "--outcome", "never_arrived", "--reason", f"'{REASON}'")
    assert answer.exit_code == 0, answer.stderr
    assert "rejected" in answer.stdout
    assert oms.asked[-1].json == {"outcome": "never_arrived", "who": getpass.getuser(), "reason": REASON}


def test_a_trade_is_sent_digit_for_digit(oms: FakeOms) -> None:
    oms.says("POST", f"/orders/{ID}/settle", {"order_id": ID, "status": "filled"})
    numbers = ("--quantity", "0.10", "--price", "45000.00", "--fee", "0.000000000001", "--exec-id", "X-1", "--who", "ann")
    assert trade(oms, "order", "settle", ID, "--outcome", "filled", "--reason", f"'{REASON}'", *numbers).exit_code == 0
    said = oms.asked[-1].json
    assert (said["quantity"], said["price"], said["fee"], said["exec_id"], said["who"]) == (
        "0.10",
        "45000.00",
        "0.000000000001",
        "X-1",
        "ann",
    )


def test_an_order_that_is_not_in_doubt_is_refused_and_an_outcome_that_there_is_not_is_wrong_usage(oms: FakeOms) -> None:
    oms.refuses("POST", f"/orders/{ID}/settle", 409, "illegal_transition", "only an order in doubt can be settled", state="filled")
    refused = trade(oms, "order", "settle", ID, "--outcome", "cancelled", "--reason", f"'{REASON}'")
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (
        1,
        "only an order in doubt can be settled (illegal_transition, state filled).",
    )
    assert trade(oms, "order", "settle", ID, "--outcome", "lost", "--reason", f"'{REASON}'").exit_code == 2


def test_where_a_second_person_is_required_the_first_one_reads_what_that_person_runs(oms: FakeOms) -> None:
    path, until = f"/orders/{ID}/settle", "2026-11-22T20:13:34Z"
    oms.says("POST", path, {"order_id": ID, "token": "c0ffee01", "expires_at": until, "who": "ann"}, status=202)
    words = ("--outcome", "filled", "--quantity", "0.10", "--price", "45000")
    first = trade(oms, "order", "settle", ID, *words, "--reason", f"'{REASON}'", "--who", "ann")
    assert (first.exit_code, first.stdout.splitlines()) == (
        0,
        [
            f"Requested: filled. Nothing is settled yet; a second person must confirm before {until}:",
            f"trade order settle {ID} {' '.join(words)} --token c0ffee01 --reason ... --who ...",
        ],
    )
    assert "token" not in oms.asked[-1].json
    oms.answers.clear()
    oms.says("POST", path, {"order_id": ID, "status": "filled"})
    second = trade(oms, "order", "settle", ID, *words, "--token", "c0ffee01", "--reason", f"'{REASON}'", "--who", "bea")
    assert (second.exit_code, oms.asked[-1].json["token"], oms.asked[-1].json["who"]) == (0, "c0ffee01", "bea")
