"""What a request asks behind the question mark: only names that the route knows, each of them once, and moments as people send them."""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.routing import APIRoute

from apps.http.moments import asked_moment
from apps.http.problem import ECHO_MAX, Refusal

MOMENT_FORMS: Final = "RFC 3339 with its zone, a date (midnight UTC), or an epoch number in s, ms, us or ns"


def refused(name: str, detail: str) -> Refusal:
    """400 `malformed` that points at a parameter of the query."""
    return Refusal(400, "malformed", detail, pointer=f"?{name}", within="query")


def read_query(text: bytes, known: Collection[str]) -> dict[str, str]:
    """The parameters by name. Refusal 400 for a name that is not `known` or is given twice: ignored, it would change what is done."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            listed = f"there are {', '.join(sorted(known))}" if known else "there is none here"
            raise refused(name[:ECHO_MAX], f"{name[:ECHO_MAX]!a} is not a known parameter: {listed}")
        if name in found:
            raise refused(name, f"{name} is given twice")
        found[name] = value
    return found


async def known_query(request: Request) -> None:
    """A dependency of every FastAPI route: its query has only parameters that the route declares. Refusal 400."""
    if text := request.scope["query_string"]:
        read_query(text, parameters_of(request.scope["route"]))


def parameters_of(route: APIRoute) -> frozenset[str]:
    """The names that a route declares in its signature."""
    return frozenset(field.alias for field in route.dependant.query_params)


def moment_asked(value: str | None, name: str) -> int | None:
    """Nanoseconds of a moment in a query. Refusal 400."""
    if value is None:
        return None
    try:
        return asked_moment(value)
    except ValueError as error:
        raise refused(name, f"{name} is not a moment that can be read: {error}") from None


def time_window(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """`since` (included) and `until` (excluded), so that windows side by side share nothing. Refusal 400."""
    return moment_asked(since, "since"), moment_asked(until, "until")


def word_asked(query: Mapping[str, str], name: str, words: Collection[str]) -> str | None:
    """One of some words, or None when it is not asked for. Refusal 400."""
    found = query.get(name)
    if found is not None and found not in words:
        raise refused(name, f"{name} must be one of {', '.join(words)}")
    return found
