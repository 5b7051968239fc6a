"""The strict reader of query strings: only parameters that the route declares, each once, and moments in the usual forms."""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute

from apps.http.moments import asked_moment
from apps.http.problem import ECHO_MAX, Refusal

MOMENT_FORMS: Final = "RFC 3339 with its zone, a date (midnight UTC), or an epoch number in s, ms, us or ns"


def refused(name: str, detail: str) -> Refusal:
    """Return Refusal 400 `malformed` that points at a query parameter."""
    return Refusal(400, "malformed", detail, pointer=f"?{name}", within="query")


def read_query(text: bytes, known: Collection[str], repeatable: Collection[str] = ()) -> dict[str, str]:
    """Return the parameters by name. Refusal 400 for an unknown or repeated name: ignoring it would change what the request does.

    Of a name in `repeatable` the last value is returned.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            listed = f"known are {', '.join(sorted(known))}" if known else "this address takes none"
            raise refused(name[:ECHO_MAX], f"{name[:ECHO_MAX]!a} is not a known parameter: {listed}")
        if name in found and name not in repeatable:
            raise refused(name, f"{name} is given twice")
        found[name] = value
    return found


async def known_query(request: Request) -> None:
    """Refuse query parameters that a FastAPI route does not declare; a dependency of every route. Refusal 400."""
    if text := request.scope["query_string"]:
        route = request.scope["route"]
        read_query(text, parameters_of(route), repeatable_of(route))


def parameters_of(route: APIRoute) -> frozenset[str]:
    """Return the query parameters that a route declares in its signature."""
    return frozenset(field.alias for field in route.dependant.query_params)


def repeatable_of(route: APIRoute) -> frozenset[str]:
    """Return the query parameters of a route that take several values."""
    return frozenset(field.alias for field in route.dependant.query_params if field.field_info.annotation == list[str] | None)


def moment_asked(value: str | None, name: str) -> int | None:
    """Return the nanoseconds of a moment in a query. Refusal 400."""
    if value is None:
        return None
    try:
        return asked_moment(value)
    except ValueError as error:
        raise refused(name, f"{name} is not a readable moment: {error}") from None


def time_window(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """Read `since` (inclusive) and `until` (exclusive), so that adjacent windows do not overlap. Refusal 400."""
    return moment_asked(since, "since"), moment_asked(until, "until")


def word_asked(query: Mapping[str, str], name: str, words: Collection[str]) -> str | None:
    """Return the value of a parameter, which must be one of `words`, or None if absent. Refusal 400."""
    found = query.get(name)
    if found is not None and found not in words:
        raise refused(name, f"{name} must be one of {', '.join(words)}")
    return found
