"""Questions to ClickHouse in SQL, read-only: one SELECT over the tables of this system, within bounds of time, rows and memory."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from adapters.clickhouse import ClickHouse
from adapters.clickhouse_schema import DATABASE, READABLE

QUERY_CHARS_MAX: Final = 10_000
QUERY_TIME_MAX_S: Final = 10
QUERY_ROWS_MAX: Final = 10_000
QUERY_BYTES_MAX: Final = 16 * 2**20
QUERY_MEMORY_MAX: Final = 256 * 2**20
QUERY_THREADS_MAX: Final = 1
ERROR_MAX: Final = 400

SETTINGS: Final = {
    "max_execution_time": QUERY_TIME_MAX_S,
    "timeout_overflow_mode": "throw",
    "max_result_rows": QUERY_ROWS_MAX,
    "max_result_bytes": QUERY_BYTES_MAX,
    "result_overflow_mode": "throw",
    "max_memory_usage": QUERY_MEMORY_MAX,
    "max_threads": QUERY_THREADS_MAX,
    "prefer_column_name_to_alias": 1,  # as in other dialects: max(n) AS n does not change what n means elsewhere
    "final": 1,  # a row that was written twice is read once
    "output_format_json_quote_decimals": 0,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 0,
}
READ_ONLY: Final = ("readonly", 1)
"""The last setting of a client: no statement may write, and no setting may change. A server gets it with each request, since its requests
share no session.
"""

HARMLESS_SOURCES: Final = frozenset(
    {
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "generateseries",
        "generate_series",
        "values",
        "view",
        "sqlstandardvalues",
        "null",
        "format",
    }
)
"""Table functions that read nothing but their arguments."""
OUTSIDE: Final = frozenset({"file", "catboostevaluate", "getserversetting", "getmacro", "getclienthttpheader"})
"""Scalar functions that read files or settings. A read-only session may call them, and table functions that read files and addresses."""

_FORBIDDEN: Final = """
SELECT lower(name) FROM system.table_functions UNION DISTINCT SELECT lower(name) FROM system.functions WHERE match(name, '^(ai|AI)[A-Z]')
"""
_CANONICAL: Final = "SELECT formatQuerySingleLine({query:String})"
_TREE: Final = "EXPLAIN AST SELECT * FROM ({})"
"""Sent as it is: a FORMAT behind it would belong to the query that is explained, and the answer of a server would have another one."""
_RESOLVED: Final = "EXPLAIN QUERY TREE {}"
_NODE: Final = re.compile(r"^ *(\w+)(?: (\S+))?")
_CALLED: Final = re.compile(r"function_name: (\w+)")
_READ: Final = re.compile(r"\btable_name: ([^,\s]+)")
_CODE: Final = re.compile(r"^(?:.*?)Code: (\d+)\. DB::Exception: (.*)$", re.DOTALL)
_POSITION: Final = re.compile(r"failed at position (\d+)")

SYNTAX: Final = 62
TOO_LARGE: Final = frozenset({158, 241, 396})
TIMED_OUT: Final = 159

_JSON: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


_TABLES: Final = frozenset({"system.one", *(f"{DATABASE}.{name}" for name in READABLE)})
"""system.one is what a SELECT without FROM reads."""
_OF_THE_QUERY: Final = "_temporary_and_external_tables."
"""Where a recursive WITH keeps its rows; a text may not name it."""


class QueryRefused(Exception):
    """A query that is not answered: why, its stable code, and for bad SQL the position in it (from 1)."""

    def __init__(self, code: str, reason: str, position: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.position = position


class QueryAnswer(msgspec.Struct, frozen=True):
    """Column names and types, and rows. Numbers are exact."""

    columns: Sequence[tuple[str, str]]
    rows: Sequence[Sequence[Any]]


class ClickHouseQueries:
    """Answers queries over the tables and views that READABLE names. The engine parses each query: no text is judged by its looks."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._reader: Any = None
        self._forbidden: frozenset[str] = OUTSIDE

    async def ask(self, sql: str) -> QueryAnswer:
        """Return the answer to one SELECT. Raises QueryRefused, Unavailable."""
        if not sql.strip() or len(sql) > QUERY_CHARS_MAX:
            raise QueryRefused("query_invalid", f"a query has 1 to {QUERY_CHARS_MAX} characters")
        answer = await self._clickhouse.run(lambda client: self._ask(client, sql))
        if isinstance(answer, QueryRefused):
            raise answer
        return answer

    async def close(self) -> None:
        if self._reader is not None:  # else it would connect, in order to close
            await self._clickhouse.run(lambda _: self._close())

    def _ask(self, client: Any, sql: str) -> QueryAnswer | QueryRefused:
        from clickhouse_connect.driver.exceptions import DatabaseError

        try:
            if self._reader is None:
                self._reader = self._opened(client)
            query = self._reader.query(_CANONICAL, parameters={"query": sql}).result_rows[0][0]
            if reason := self._judged(query):
                return QueryRefused("query_not_allowed", reason)
            found = _JSON.decode(self._reader.raw_query(query, fmt="JSONCompact"))
        except DatabaseError as error:
            self._close()  # what the failed query had put out would be read as the next answer
            return _refused(str(error))
        return QueryAnswer([(each["name"], each["type"]) for each in found["meta"]], found["data"])

    def _opened(self, client: Any) -> Any:
        names = {name for (name,) in client.query(_FORBIDDEN).result_rows}
        self._forbidden = frozenset(names - HARMLESS_SOURCES) | OUTSIDE
        reader = self._clickhouse.client(DATABASE, **SETTINGS)
        reader.set_client_setting(*READ_ONLY)
        return reader

    def _close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _judged(self, query: str) -> str:
        """Return why a query may not run; empty if it may. As a subquery only a SELECT parses, without INTO OUTFILE and FORMAT."""
        from clickhouse_connect.driver.exceptions import DatabaseError

        try:
            tree = self._reader.raw_query(_TREE.format(query)).decode().split("\n")
        except DatabaseError as error:
            if f"Code: {SYNTAX}." not in str(error):
                raise
            return "only one SELECT is answered here, without INTO OUTFILE and FORMAT"
        return next((reason for line in tree if (reason := self._node(line))), "") or self._resolved(query)

    def _resolved(self, query: str) -> str:
        """Judge the functions and tables that the engine resolves, by whatever name or form the text has them."""
        tree = [line for (line,) in self._reader.query(_RESOLVED.format(query)).result_rows]
        called = (name for line in tree for name in _CALLED.findall(line) if name.lower() in self._forbidden)
        read = (name for line in tree for name in _READ.findall(line) if name not in _TABLES and not name.startswith(_OF_THE_QUERY))
        return next(map(_not_allowed, called), "") or next(map(_unknown, read), "")

    def _node(self, line: str) -> str:
        found = _NODE.match(line)
        kind, name = (found[1], found[2] or "") if found else ("", "")
        if kind == "Set":
            return "SETTINGS are fixed here"
        if kind == "ColumnsApplyTransformer":
            return "APPLY is not allowed"  # it calls a function that the syntax tree does not name
        if kind in ("Function", "Identifier") and name.lower() in self._forbidden:  # an identifier may be a function for arrayMap
            return _not_allowed(name)
        if (kind == "TableIdentifier" and _elsewhere(name)) or (kind == "Identifier" and _foreign(name)):
            return _unknown(name)
        return ""


def _not_allowed(function: str) -> str:
    return f"the function {function} is not allowed: a query reads the tables of this system alone"


def _unknown(table: str) -> str:
    return f"{table} is not a table of this system: known are {', '.join(sorted(READABLE))}"


def _elsewhere(table: str) -> bool:
    """Return whether a table's name has a database that is not ours. It is refused before the engine reads it to resolve a subquery."""
    database, dot, _ = table.partition(".")
    return bool(dot) and database != DATABASE


def _foreign(name: str) -> bool:
    """Return whether an identifier, which may be a column of a table's alias, names a database that is not ours."""
    first, dot, _ = name.partition(".")
    return bool(dot) and first.lower() in ("default", "system", "information_schema", "_temporary_and_external_tables")


def _refused(text: str) -> QueryRefused:
    """Return the refusal that an error of the engine is."""
    found = _CODE.match(text)
    code, reason = (int(found[1]), found[2]) if found else (0, text)
    reason = reason.partition("In scope ")[0].partition(". Expected one of")[0].partition(" (version ")[0].strip(" :")[:ERROR_MAX]
    if code in TOO_LARGE:
        return QueryRefused("query_too_large", f"the answer is beyond {QUERY_ROWS_MAX} rows or the query's memory; add LIMIT: {reason}")
    if code == TIMED_OUT:
        return QueryRefused("query_too_long", f"the query took more than {QUERY_TIME_MAX_S} s")
    place = _POSITION.search(reason)
    return QueryRefused("query_invalid", reason, int(place[1]) if place and code == SYNTAX else None)
