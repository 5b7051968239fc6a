"""What an operator may have done over HTTP, when the configuration allows it: the whole journal verified, beside the service."""

from typing import Any, Final

import msgspec
import structlog
from fastapi import APIRouter, Response

from apps.http.app import Exact, Refusal
from apps.oms.openapi import VERIFY_DOC
from apps.runtime.helper_process import Busy, HelperProcess, NotStarted, TookTooLong

log = structlog.get_logger()

MODULE: Final = "apps.tools.verify"
VERIFY_MAX_S: Final = 600.0


class Admin:
    """`program` is None when it is not allowed."""

    def __init__(self, program: HelperProcess | None) -> None:
        self._program = program

    async def verify(self) -> dict[str, Any]:
        """The report, whatever it says. Refusal."""
        if self._program is None:
            raise Refusal(403, "admin_disabled", "oms is not configured for it: admin.verify; or run `trade verify` beside it")
        try:
            ended = await self._program.ask()
        except Busy:
            raise Refusal(409, "verify_running", "a verification is under way") from None
        except TookTooLong:
            raise Refusal(
                503, "verify_timeout", f"it took more than {VERIFY_MAX_S:g} s: run `trade verify`, which has no such bound"
            ) from None
        except NotStarted as trouble:
            log.warning("the verification could not be made", reason=str(trouble))
            raise Refusal(503, "verify_unavailable", str(trouble), headers={"Retry-After": "1"}) from trouble
        if not ended.out:
            log.warning("the verification could not be made", code=ended.code, reason=ended.words)
            raise Refusal(503, "verify_unavailable", ended.words.rpartition("\n")[2] or "it ended", headers={"Retry-After": "1"})
        report: dict[str, Any] = msgspec.json.decode(ended.out)
        return report


def router(admin: Admin) -> APIRouter:
    routes = APIRouter(prefix="/admin")

    @routes.post("/verify", responses=VERIFY_DOC)
    async def verify() -> Response:
        """Hold orders, positions and fills against the journal. Takes as long as reading all of it; the service goes on meanwhile."""
        return Exact(await admin.verify())

    return routes
