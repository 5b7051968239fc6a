"""The access log: what happened to keys stays visible, however many requests are refused."""

from apps.http.audit import AuditEntry
from apps.risk.access_log_view import log_view
from domain.access.events import KeyCreated, KeyRevoked

CREATED = KeyCreated(
    version=1, at=1, who="operator", key_id="PK1", owner="erin", account="alice", scopes=("read",), digest="ab", rate=1, burst=2, token="t"
)
REVOKED = KeyRevoked(version=2, at=5, who="operator", key_id="PK1", reason="leaked")
REFUSALS = [AuditEntry(at, "Refused", "", "unauthorized", "127.0.0.1", "GET /orders") for at in range(2, 30)]


def test_rows_are_newest_first_with_their_service_and_without_secrets() -> None:
    rows = log_view([CREATED, REVOKED], {"oms": REFUSALS[:2]}, 10)
    assert [row["type"] for row in rows] == ["KeyRevoked", "Refused", "Refused", "KeyCreated"]
    assert rows[1]["service"] == "oms"
    assert not {"digest", "token"} & set(rows[-1])


def test_refusals_cannot_hide_what_happened_to_keys() -> None:
    rows = log_view([CREATED, REVOKED], {"oms": REFUSALS[:14], "risk": REFUSALS[14:]}, 4)
    assert [row["type"] for row in rows] == ["Refused", "Refused", "KeyRevoked", "KeyCreated"]
    assert len(log_view([CREATED, REVOKED], {"oms": REFUSALS}, 1)) == 1
