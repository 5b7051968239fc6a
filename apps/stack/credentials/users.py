"""The users of the servers, and where their files are."""

from typing import Final

from apps.stack.topology import UNIT

SERVICES: Final = ("oms", "risk", "exeq", "live-gateway", "projector")
OPERATOR: Final = "operator"
"""Who types `trade`: reads everything, puts projections right, keeps backups. Cannot write a journal."""
VENUE: Final = "venue"
"""A gateway that is not ours (`session: plain`): takes orders, reports fills, shows quotes."""
READER: Final = "reader"
"""Other programs: hear what is announced, read what is projected."""
ADMIN: Final = "admin"
"""Everything. For emergencies; no program of ours uses it."""

# A unit speaks over one connection as a user of its own. oms and risk write their journals as their own writers, in a unit too.
NATS_USERS: Final = (*SERVICES, UNIT, VENUE, OPERATOR, READER, ADMIN)
NATS_WRITERS: Final = {"oms": "oms-journal", "risk": "risk-journal", "live-gateway": "live-gateway-journal"}
"""Service -> the user with which it writes its journal, and does nothing else (apps.stack.credentials.nats)."""
VALKEY_USERS: Final = ("oms", "risk", "projector", OPERATOR, READER, ADMIN)
QUESTDB_WRITER: Final = "trade"

QUESTDB_ROLES: Final = {
    "projector": QUESTDB_WRITER,
    "live-gateway": QUESTDB_WRITER,
    "oms": READER,
    "risk": READER,
    OPERATOR: QUESTDB_WRITER,
    READER: READER,
    ADMIN: QUESTDB_WRITER,
}
"""Who comes to QuestDB as whom: it knows one user who writes and one who reads."""

CLIENTS: Final = (*SERVICES, UNIT, VENUE, OPERATOR, READER, ADMIN)
"""Each has a file `<name>.yaml` with all that it needs."""

NATS_FILE: Final = "nats-users.conf"
VALKEY_FILE: Final = "valkey.acl"
QUESTDB_FILE: Final = "questdb.env"
GRAFANA_FILE: Final = "grafana.password"
GRAFANA_QUESTDB_FILE: Final = "grafana-questdb.password"

CONTAINER_UIDS: Final = {
    NATS_FILE: 10222,
    VALKEY_FILE: 999,
    QUESTDB_FILE: 10001,
    GRAFANA_FILE: 472,
    GRAFANA_QUESTDB_FILE: 472,
    "oms.yaml": 10099,
    "risk.yaml": 10103,
    "exeq.yaml": 10095,
    "unit.yaml": 10100,
    "live-gateway.yaml": 10105,
    "projector.yaml": 10107,
    "venue.yaml": 10000,
    "operator.yaml": 10000,
    "reader.yaml": 10000,
}
"""Who reads which file in containers, where each runs as a user of its own. What is not here stays with root.

A unit's copies of its services' files are in a directory `unit` (apps.stack.credentials.keys)."""
