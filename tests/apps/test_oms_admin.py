"""`POST /admin/verify`: a report when it is allowed and could be made, else the reason with a stable code."""

from typing import Any

import httpx
import pytest

from adapters.codec import encode
from apps.http.app import application
from apps.oms.admin import Admin, router
from apps.runtime.helper_process import Busy, Ended, TookTooLong
from apps.tools.verify.report import CheckLine, report_of
from config.loading import load_oms
from tests.apps.callers import as_caller
from tests.apps.test_past import Program


async def asked(admin: Admin) -> httpx.Response:
    served = application("oms", router(admin))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=as_caller(served)), base_url="http://oms") as http:
        return await http.post("/admin/verify")


async def test_it_is_off_unless_the_configuration_says_otherwise() -> None:
    assert load_oms(environ={}).admin.verify == "disabled"
    answer = await asked(Admin(None))
    assert (answer.status_code, answer.json()["code"]) == (403, "admin_disabled")


@pytest.mark.parametrize(("outcome", "code", "ok"), [("ok", 0, True), ("different", 1, False)])
async def test_a_report_is_an_answer_whatever_it_says(outcome: Any, code: int, ok: bool) -> None:
    report = report_of([CheckLine("journal", outcome, {"commits": 3}, "" if ok else "a hole")], 3)
    program: Any = Program(Ended(code, encode(report), ""))
    answer = await asked(Admin(program))
    assert answer.status_code == 200
    said = answer.json()
    assert (said["ok"], said["as_of_seq"], said["first_difference"]) == (ok, 3, None if ok else "journal: a hole")
    assert said["checks"][0]["counts"] == {"commits": 3}


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        (Busy(), 409, "verify_running"),
        (TookTooLong(), 503, "verify_timeout"),
        (Ended(3, b"", "the journal does not answer"), 503, "verify_unavailable"),
        (Ended(-9, b"", ""), 503, "verify_unavailable"),
    ],
)
async def test_no_report_is_a_reason(end: Ended | Exception, status: int, code: str) -> None:
    program: Any = Program(end)
    answer = await asked(Admin(program))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
