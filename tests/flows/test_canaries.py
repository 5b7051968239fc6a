"""No password is anywhere but in the files made for it."""

import httpx
import msgspec

from apps.stack.credentials import keys
from apps.stack.services import SECRETS
from tests.stack import SERVICES, LiveStack


def test_no_password_is_logged_or_answered(running: LiveStack) -> None:
    # FAILURES 72
    running.trade("status")
    kept = msgspec.json.decode((running.data_dir / SECRETS / keys.KEYS_FILE).read_bytes(), type=keys.StackSecrets)
    canaries = [password for server in (kept.nats, kept.valkey, kept.questdb, kept.grafana, kept.cli) for password in server.values()]
    said = {str(file): file.read_text(errors="replace") for file in (running.data_dir / "logs").iterdir()}
    said |= {"terminal": running.said(), "stack.json": (running.data_dir / "stack.json").read_text()}
    said |= {"status": running.trade("status", "--json").stdout, "verify": running.trade("verify").stdout}
    for name in SERVICES:
        for page in ("health", "ready", "stats", "openapi.json"):
            said[f"{name} {page}"] = httpx.get(f"{running.url(name)}/{page}").text
        said[f"{name} metrics"] = running.metrics_page(name)
    assert len(canaries) > 10
    assert len(said) > 25
    assert [(where, canary[:4]) for where, text in said.items() for canary in canaries if canary in text] == []
