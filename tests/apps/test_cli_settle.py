"""`trade order settle`: what an operator says reaches the API as it was said, and its answer is told."""

import getpass

from tests.apps.fake_oms import FakeOms
from tests.apps.test_cli_order import ID, _logging_as_it_was, oms, server, trade

__all__ = ["_logging_as_it_was", "oms", "server"]  # its fixtures are ours
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
