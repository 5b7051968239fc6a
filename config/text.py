"""Exact YAML: a number becomes int or Decimal from its own text, and a duplicate key is an error."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

NUMBER: Final = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?", re.ASCII)


class ConfigError(Exception):
    """A configuration error: place and reason, one line for each problem."""


class ExactLoader(yaml.SafeLoader):
    """A SafeLoader without floats. YAML's octal, sexagesimal and exponent forms are refused, because they are written by mistake."""

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value!r}", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _exact(loader: ExactLoader, node: Node) -> int | Decimal:
    text = str(loader.construct_scalar(node)) if isinstance(node, ScalarNode) else ""
    digits = text.lstrip("+-")
    if not NUMBER.fullmatch(text) or (len(digits) > 1 and digits[0] == "0" and digits[1] != "."):
        raise yaml.constructor.ConstructorError(None, None, f"{text[:40]!r} is not a plain decimal number", node.start_mark)
    return Decimal(text) if "." in text else int(text)


def _text(loader: ExactLoader, node: Node) -> str:
    """Keep dates as text: YAML would make a date object of 2026-01-31."""
    return str(loader.construct_scalar(node)) if isinstance(node, ScalarNode) else ""


ExactLoader.add_constructor("tag:yaml.org,2002:int", _exact)
ExactLoader.add_constructor("tag:yaml.org,2002:float", _exact)
ExactLoader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def parse(text: str) -> Any:
    """Return the value of a YAML text. Raises yaml.YAMLError if it is invalid."""
    return yaml.load(text, Loader=ExactLoader)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read the top level of a YAML file, which must be a mapping; an empty file is an empty mapping. Raises ConfigError."""
    try:
        value = parse(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{path}: {line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{path}: must be a mapping of keys to values")
    return value
