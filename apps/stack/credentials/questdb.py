"""QuestDB's users and the features disabled for all of them, as environment variables.

QuestDB has one user over HTTP and two over the PostgreSQL wire. So HTTP is read-only for every user, and rows are written over the wire.
"""

from collections.abc import Mapping
from typing import Final

from apps.stack.credentials.users import QUESTDB_WRITER, READER

WELL_KNOWN: Final = ("admin", "quest")
"""QuestDB's default user and password, read-only here, for guests."""

REFUSED: Final[Mapping[str, str]] = {
    "QDB_HTTP_SECURITY_READONLY": "true",  # no statements, CSV uploads or lines (ILP) that change data
    "QDB_HTTP_SETTINGS_READONLY": "true",  # the web console's settings
    "QDB_LINE_TCP_ENABLED": "false",  # lines over TCP have no password
    "QDB_LINE_UDP_ENABLED": "false",
    "QDB_HTTP_EXPORT_CONNECTION_LIMIT": "0",  # /exp: each requested Parquet file writes to a table of QuestDB
    "QDB_CAIRO_SQL_COPY_ROOT": "",  # COPY FROM and read_parquet(): a reader could start imports, and read files
    "QDB_CAIRO_SQL_COPY_EXPORT_ROOT": "",  # COPY TO: a reader could fill the disk
}
"""Disabled for the writing user too, because none of it is needed."""


def environment(passwords: Mapping[str, str], *, guests: bool) -> dict[str, str]:
    """Return QuestDB's environment. With `guests`, HTTP can be read without a password and the PostgreSQL wire with the default one."""
    reader, reading = WELL_KNOWN if guests else (READER, passwords[READER])
    http = {} if guests else {"QDB_HTTP_USER": READER, "QDB_HTTP_PASSWORD": passwords[READER]}
    return {
        **http,
        **REFUSED,
        "QDB_HTTP_HEALTH_CHECK_AUTHENTICATION_REQUIRED": "false",
        "QDB_PG_USER": QUESTDB_WRITER,
        "QDB_PG_PASSWORD": passwords[QUESTDB_WRITER],
        "QDB_PG_READONLY_USER_ENABLED": "true",
        "QDB_PG_READONLY_USER": reader,
        "QDB_PG_READONLY_PASSWORD": reading,
    }
