"""Admin endpoints, if the configuration enables them: verification of the whole journal by a helper process."""

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
    """Runs the verification program; `program` is None while it is disabled."""

    def __init__(self, program: HelperProcess | None) -> None:
        self._program = program

    async def verify(self) -> dict[str, Any]:
        """Return the report, whether it passed or not. Refusal 403, 409, 503."""
        if self._program is None:
            raise Refusal(403, "admin_disabled", "admin.verify is not enabled; enable it, or run `trade verify`")
        try:
            ended = await self._program.ask()
        except Busy:
            raise Refusal(409, "verify_running", "a verification is already running") from None
        except TookTooLong:
            raise Refusal(
                503, "verify_timeout", f"the verification took more than {VERIFY_MAX_S:g} s; run `trade verify`, which has no time limit"
            ) from None
        except NotStarted as trouble:
            log.warning("verification failed to run", reason=str(trouble))
            raise Refusal(503, "verify_unavailable", str(trouble), headers={"Retry-After": "1"}) from trouble
        if not ended.out:
            log.warning("verification failed to run", code=ended.code, reason=ended.words)
            raise Refusal(503, "verify_unavailable", ended.reason, headers={"Retry-After": "1"})
        report: dict[str, Any] = msgspec.json.decode(ended.out)
        return report


def router(admin: Admin) -> APIRouter:
    routes = APIRouter(prefix="/admin")

    @routes.post("/verify", responses=VERIFY_DOC)
    async def verify() -> Response:
        """Verify orders, positions and fills against the journal. This reads the whole journal; the service continues meanwhile."""
        return Exact(await admin.verify())

    return routes
