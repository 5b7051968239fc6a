"""QuestDB knows one user who writes and one who reads; both come as settings of its environment."""

from collections.abc import Mapping
from typing import Final

from apps.secrets.users import QUESTDB_WRITER, READER

WELL_KNOWN: Final = ("admin", "quest")
"""QuestDB's own default user: for guests it only reads."""


def environment(passwords: Mapping[str, str], *, guests: bool) -> dict[str, str]:
    """With `guests` HTTP is open, and the PostgreSQL wire is to be read with the password that everybody knows."""
    writer = passwords[QUESTDB_WRITER]
    reader, reading = WELL_KNOWN if guests else (READER, passwords[READER])
    http = {} if guests else {"QDB_HTTP_USER": QUESTDB_WRITER, "QDB_HTTP_PASSWORD": writer}
    return {
        **http,
        "QDB_HTTP_HEALTH_CHECK_AUTHENTICATION_REQUIRED": "false",
        "QDB_PG_USER": QUESTDB_WRITER,
        "QDB_PG_PASSWORD": writer,
        "QDB_PG_READONLY_USER_ENABLED": "true",
        "QDB_PG_READONLY_USER": reader,
        "QDB_PG_READONLY_PASSWORD": reading,
    }
