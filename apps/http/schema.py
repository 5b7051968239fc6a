"""JSON schemas made from the structs that bodies are parsed into, for OpenAPI."""

from typing import Any, Final

import msgspec

from domain.values import CLIENT_ORDER_ID, IDENTIFIER, WRITTEN

ID_PATTERN: Final = f"^{IDENTIFIER.pattern}$"
CLIENT_ORDER_ID_PATTERN: Final = f"^{CLIENT_ORDER_ID.pattern}$"
_DIGITS: Final = "A JSON number or a decimal string, read exactly: at most 18 digits before the decimal point and 12 after it"
NUMBER_FORMS: Final = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{WRITTEN.pattern}$"}]
_PRICES: Final = [{"type": "number"}, {"type": "string", "pattern": f"^-?{WRITTEN.pattern}$"}, {"type": "null"}]


def described(description: str = "", **schema: Any) -> msgspec.Meta:
    """Annotate a field with what OpenAPI says of it. Parsing does not change."""
    return msgspec.Meta(description=description or None, extra_json_schema=schema or None)


NUMBER: Final = described(f"{_DIGITS}, no sign.", oneOf=NUMBER_FORMS)
OPTIONAL_NUMBER: Final = described(f"{_DIGITS}, no sign.", oneOf=[*NUMBER_FORMS, {"type": "null"}])
PRICE: Final = described(f"{_DIGITS}. Zero or negative only if the instrument has negative_prices.", oneOf=_PRICES)
DISPLAY_QUANTITY: Final = described(
    "Of a limit order that may rest: an iceberg, of which the venue shows no more than this at a time. Less than the quantity, on the lot.",
    oneOf=[*NUMBER_FORMS, {"type": "null"}],
)
ID: Final = described(pattern=ID_PATTERN)


def schema_of(kind: type[msgspec.Struct], **more: Any) -> dict[str, Any]:
    """Return the schema of a body of `kind`, without references: enums are written out and `null` is one of the types."""
    found = msgspec.json.schema(kind)
    definitions = found["$defs"]
    whole = definitions[kind.__name__]
    properties = {name: _inlined(schema, definitions) for name, schema in whole["properties"].items()}
    return {
        "type": "object",
        "additionalProperties": whole.get("additionalProperties", True),
        **({"required": whole["required"]} if whole.get("required") else {}),
        "properties": properties,
        **more,
    }


def _inlined(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference becomes what it refers to; `anyOf` of a type and null becomes a list of types."""
    kinds = [_resolved(part, definitions) for part in schema.get("anyOf", [schema])]
    optional = {"type": "null"} in kinds
    (kind,) = [each for each in kinds if each != {"type": "null"}]
    own = {key: value for key, value in schema.items() if key not in ("anyOf", "$ref", "default")}
    merged = {**kind, **own}
    if optional:
        merged["type"] = [kind["type"], "null"]
        if "enum" in kind:
            merged["enum"] = [*kind["enum"], None]
    return merged


def _resolved(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """An enum's own name and docstring say nothing to a client."""
    if "$ref" not in part:
        return {key: value for key, value in part.items() if key != "default"}
    return {"type": "string", "enum": definitions[part["$ref"].removeprefix("#/$defs/")]["enum"]}
