"""A small JSON object from a stranger: no key twice, none unknown, no half of a surrogate pair.

Numbers stay text until they are known to be short and plain.
"""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from apps.problem import Refusal

M = TypeVar("M", bound=BaseModel)


class Number(str):
    """A JSON number as it was written."""


def malformed(detail: str, pointer: str = "") -> Refusal:
    return Refusal(400, "malformed", detail, pointer=pointer) if pointer else Refusal(400, "malformed", detail)


def read_object(body: bytes, known: tuple[str, ...]) -> dict[str, object]:
    """A JSON object without duplicate or unknown keys; numbers stay text. Refusal 400."""
    found = _read(body)
    unknown = next((key for key in found if key not in known), None)
    if unknown is not None:
        raise malformed(f"{unknown[:64]!a} is not a known field")
    return found


def read_model(body: bytes, model: type[M]) -> M:
    """A JSON object as `model` describes it, without duplicate keys. Refusal 400 with a pointer to the first field that is wrong."""
    _read(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        pointer = "".join(f"/{str(part)[:64].replace('~', '~0').replace('/', '~1')}" for part in found["loc"])
        raise malformed(found["msg"][:200], pointer) from None


def model_doc(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a request that `read_model` reads."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _read(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body.decode(), object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_no_constant)
        if b"\\u" in body:
            _encodable(found)
    except (ValueError, RecursionError) as error:
        raise malformed(f"not readable as JSON: {error}"[:200]) from None
    if not isinstance(found, dict):
        raise malformed("must be a JSON object")
    return found


def _encodable(found: object) -> None:
    """ValueError for one half of a surrogate pair: an escape can spell it, and no answer could repeat it."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("one half of a surrogate pair stands alone") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a number")
