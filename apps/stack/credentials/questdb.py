"""QuestDB's users and what it refuses to all of them, as settings of its environment.

It knows one user over HTTP and two over the PostgreSQL wire. So HTTP only reads, whoever asks, and rows are written over the wire.
"""

from collections.abc import Mapping
from typing import Final

from apps.stack.credentials.users import QUESTDB_WRITER, READER

WELL_KNOWN: Final = ("admin", "quest")
"""QuestDB's own default user: for guests it only reads."""

REFUSED: Final[Mapping[str, str]] = {
    "QDB_HTTP_SECURITY_READONLY": "true",  # statements, CSV uploads and lines (ILP) that would change something
    "QDB_HTTP_SETTINGS_READONLY": "true",  # the web console's settings
    "QDB_LINE_TCP_ENABLED": "false",  # lines over TCP have no password
    "QDB_LINE_UDP_ENABLED": "false",
    "QDB_HTTP_EXPORT_CONNECTION_LIMIT": "0",  # /exp: each Parquet file that is asked for writes to a table of QuestDB's own
    "QDB_CAIRO_SQL_COPY_ROOT": "",  # COPY FROM and read_parquet(): a reader could start imports, and read files
    "QDB_CAIRO_SQL_COPY_EXPORT_ROOT": "",  # COPY TO: a reader could fill the disk
}
"""Also to the user who writes: none of it is needed."""


def environment(passwords: Mapping[str, str], *, guests: bool) -> dict[str, str]:
    """With `guests` HTTP is open to read, and the PostgreSQL wire is to be read with the password that everybody knows."""
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
