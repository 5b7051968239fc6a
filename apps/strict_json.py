"""A small JSON object from a stranger: no key twice, none unknown, and numbers stay text until they are known to be short and plain."""

import json

from apps.problem import Refusal


class Number(str):
    """A JSON number as it was written."""


def malformed(detail: str, pointer: str = "") -> Refusal:
    return Refusal(400, "malformed", detail, pointer=pointer) if pointer else Refusal(400, "malformed", detail)


def read_object(body: bytes, known: tuple[str, ...]) -> dict[str, object]:
    """A JSON object without duplicate or unknown keys; numbers stay text. Refusal 400."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise malformed(f"not readable as JSON: {error}"[:200]) from None
    if not isinstance(found, dict):
        raise malformed("must be a JSON object")
    unknown = next((key for key in found if key not in known), None)
    if unknown is not None:
        raise malformed(f"{unknown[:64]!a} is not a known field")
    return found


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number")
