"""The value types of keys, the base of all sections, and readable texts for the errors of pydantic."""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from config.text import ConfigError

M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """The base of all sections. Strict: no coercion, no unknown key, no change after loading."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number")
    return Decimal(value)


def _speed(value: object) -> object:
    if value in ("max", "stepped"):
        return value
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 < value <= 1_000_000:
        raise ValueError('must be a number above 0, "max" or "stepped"')
    return Decimal(value)


def _float(value: object) -> float:
    return float(_decimal(value))


def _bound_url(*schemes: str) -> Callable[[object], str]:
    address = re.compile(rf"({'|'.join(schemes)})://[!-~]+", re.ASCII)

    def check(value: object) -> str:
        if not isinstance(value, str) or not address.fullmatch(value):
            raise ValueError(f"must be an address that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return check


Exact = Annotated[Decimal, BeforeValidator(_decimal)]
Money = Annotated[Exact, Field(ge=0, le=Decimal(10) ** 15)]
Percent = Annotated[Exact, Field(ge=0, le=100)]
Positive = Annotated[Exact, Field(gt=0, le=Decimal(10) ** 15)]

Speed = Annotated[Decimal | Literal["max", "stepped"], BeforeValidator(_speed)]

# Durations are floats: they are passed to timers, never used for money.
Seconds = Annotated[float, BeforeValidator(_float), Field(gt=0, le=86_400)]
Millis = Annotated[float, BeforeValidator(_float), Field(gt=0, le=86_400_000)]
Wait = Annotated[float, BeforeValidator(_float), Field(ge=0, le=1000)]
"""How long a hop gathers messages, in milliseconds; 0 sends at once."""

Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Bytes = Annotated[int, Field(ge=1, le=2**50)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

NatsUrl = Annotated[str, BeforeValidator(_bound_url("nats", "tls"))]
ValkeyUrl = Annotated[str, BeforeValidator(_bound_url("redis", "rediss", "valkey", "valkeys"))]
HttpUrl = Annotated[str, BeforeValidator(_bound_url("http", "https"))]
WsUrl = Annotated[str, BeforeValidator(_bound_url("ws", "wss"))]
PgUrl = Annotated[str, BeforeValidator(_bound_url("postgresql", "postgres"))]


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _path(value: object) -> object:
    return Path(value) if isinstance(value, str) and value else value


def _network(value: object) -> object:
    try:
        return ipaddress.ip_network(str(value))
    except ValueError:
        raise ValueError("must be an address or a network without host bits, for example 10.0.0.0/8") from None


def _shaped(pattern: re.Pattern[str], words: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise ValueError(words)
        return value

    return check


_HOST: Final = r"(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])"
Host = Annotated[
    str, BeforeValidator(_shaped(re.compile(_HOST, re.ASCII), "must be a name or an address without a port, IPv6 in brackets"))
]
Origin = Annotated[
    str, BeforeValidator(_shaped(re.compile(rf"https?://{_HOST}(?::\d{{1,5}})?", re.ASCII), "must be scheme://host or scheme://host:port"))
]

AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Network = Annotated[AnyNetwork, BeforeValidator(_network)]

Hosts = Annotated[tuple[Host, ...], BeforeValidator(_listed)]
Origins = Annotated[tuple[Origin, ...], BeforeValidator(_listed)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_listed)]
Names = Annotated[tuple[Identifier, ...], BeforeValidator(_listed)]
Listed = BeforeValidator(_listed)
OptionalPath = Annotated[Path | None, BeforeValidator(_path)]
NamedPath = Annotated[Path, BeforeValidator(_path)]


WORDS: Final = {
    "missing": "is missing",
    "string_pattern_mismatch": "may have letters, digits, - and _ only, 64 at most",
    "model_type": "must be a mapping of keys to values",
    "is_instance_of": "must be a path",
    "tuple_type": "must be a list",
}


def validated(model: type[M], raw: Mapping[str, Any], source: Callable[[str], str]) -> M:
    """Return the model that `raw` describes, or raise a ConfigError with one line for each problem.

    `source` names what set a dotted key.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = [(_key(found), _words(model, found)) for found in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{source(key)}: {key}: {words}" for key, words in problems)) from error


def _key(found: ErrorDetails) -> str:
    """Return the dotted key. pydantic also names the member of a union (a tag in parentheses), which is in no file."""
    return ".".join(str(part) for part in found["loc"] if not str(part).startswith("("))


def _words(model: type[BaseModel], found: ErrorDetails) -> str:
    kind, value = found["type"], found["input"]
    if kind == "extra_forbidden":
        return "is not a known key" + _suggestion(model, found["loc"])
    if kind == "value_error":
        reason = str(found["ctx"]["error"])
    else:
        reason = WORDS.get(kind) or found["msg"].replace("Input should be", "must be")
    # An address may carry a password, and a whole section is too long to show.
    is_address = found["loc"][-1:] and str(found["loc"][-1]).endswith("url")
    return f"{reason}, found {_shown(value)}" if isinstance(value, int | Decimal | str) and not is_address else reason


def _shown(value: object) -> str:
    text = "true" if value is True else "false" if value is False else ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return a hint with the closest known key of the section that has the unknown one."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return ""
        model = field.annotation
    close = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else ""
