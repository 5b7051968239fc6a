"""The users of the servers, and their files."""

from typing import Final

from apps.stack.topology import UNIT, UNITED

DESK: Final = "desk"
SERVICES: Final = ("oms", "risk", "exeq", "live-gateway", "projector", DESK)
GATEWAY: Final = "gateway"
NORMALIZER: Final = "normalizer"
SINK_TICKS: Final = "sink-ticks"
SINK_ALT: Final = "sink-alt"
MARKET_SERVICES: Final = (GATEWAY, NORMALIZER, SINK_TICKS, SINK_ALT)
"""Services that run only where real quotes or archives are wanted."""
OPERATOR: Final = "operator"
"""The user of the `trade` command: reads everything, repairs projections, makes backups. Cannot write a journal."""
VENUE: Final = "venue"
"""A third-party gateway (`session: plain`): takes orders, reports fills, publishes quotes."""
READER: Final = "reader"
"""Other programs: subscribe to announcements, read projections."""
ADMIN: Final = "admin"
"""All rights, for emergencies. No program of this system uses it."""

# A unit has one connection with its own user. oms and risk write their journals with their own writers, in a unit too.
NATS_USERS: Final = (*SERVICES, UNIT, *MARKET_SERVICES, VENUE, OPERATOR, READER, ADMIN)
NATS_WRITERS: Final = {"oms": "oms-journal", "risk": "risk-journal", "live-gateway": "live-gateway-journal"}
"""Service -> the user that only writes its journal (apps.stack.credentials.nats)."""
MARKET_USERS: Final = (*MARKET_SERVICES, OPERATOR)
"""Users of the market's NATS server (apps.stack.credentials.market)."""
VALKEY_USERS: Final = ("oms", "risk", "projector", OPERATOR, READER, ADMIN)
QUESTDB_WRITER: Final = "trade"

QUESTDB_ROLES: Final = {
    "projector": QUESTDB_WRITER,
    "live-gateway": QUESTDB_WRITER,
    SINK_TICKS: QUESTDB_WRITER,
    "oms": READER,
    "risk": READER,
    OPERATOR: QUESTDB_WRITER,
    READER: READER,
    ADMIN: QUESTDB_WRITER,
}
"""Program -> its user on QuestDB, which has one user that writes and one that reads."""

CLIENTS: Final = (*SERVICES, UNIT, *MARKET_SERVICES, VENUE, OPERATOR, READER, ADMIN)
"""Programs with a file `<name>.yaml` that has all their passwords."""

NATS_FILE: Final = "nats-users.conf"
MARKET_NATS_FILE: Final = "market-nats-users.conf"
VALKEY_FILE: Final = "valkey.acl"
QUESTDB_FILE: Final = "questdb.env"
VENUE_KEYS: Final = "venue-keys"
VENUE_KEYS_FILE: Final = f"{VENUE_KEYS}.yaml"
"""Written by a person: venue -> [key, secret] of an account there. It is copied into the file of the gateway."""
GRAFANA_FILE: Final = "grafana.password"
GRAFANA_QUESTDB_FILE: Final = "grafana-questdb.password"
S3_ACCESS_KEY_FILE: Final = "s3_access_key"
S3_SECRET_KEY_FILE: Final = "s3_secret_key"
S3_FILES: Final = (S3_ACCESS_KEY_FILE, S3_SECRET_KEY_FILE)
S3_IDENTITIES_FILE: Final = "seaweedfs.json"
"""The identities of SeaweedFS in a container."""
CLICKHOUSE_FILE: Final = "clickhouse.env"
"""The user of ClickHouse in a container."""
CLI_KEY_FILE: Final = "cli.key"
"""The access key of the `trade` command: one line, KEY_ID.SECRET. Its scopes are admin, risk, ops and audit; it cannot trade."""

CONTAINER_UIDS: Final = {
    NATS_FILE: 10222,
    MARKET_NATS_FILE: 10223,
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
    "desk.yaml": 10110,
    "gateway.yaml": 10080,
    "normalizer.yaml": 10081,
    "sink-ticks.yaml": 10111,
    "sink-alt.yaml": 10112,
    S3_ACCESS_KEY_FILE: 10000,
    S3_SECRET_KEY_FILE: 10000,
    S3_IDENTITIES_FILE: 10333,
    CLICKHOUSE_FILE: 101,
    "venue.yaml": 10000,
    "operator.yaml": 10000,
    CLI_KEY_FILE: 10000,
    "reader.yaml": 10000,
}
"""File -> user id that reads it in containers, where each program runs as its own user. Other files belong to root.

A file has one owner. What a second user reads as well is in COPIES."""

COPIES: Final = {
    UNIT: tuple(f"{name}.yaml" for name in (*UNITED, UNIT)),
    SINK_TICKS: (f"{SINK_TICKS}.yaml", *S3_FILES),
    SINK_ALT: (f"{SINK_ALT}.yaml", *S3_FILES),
}
"""In containers: program -> the files in its own directory, which belong to its user."""
