"""How S3 is reached: the server from TRADE_S3_URL, the keys from two files of the secrets directory or from the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from config import secrets
from config.text import ConfigError

URL_VARIABLE: Final = "TRADE_S3_URL"
ACCESS_KEY_FILE: Final = "s3_access_key"
SECRET_KEY_FILE: Final = "s3_secret_key"
KEY_VARIABLES: Final = ("TRADE_S3_ACCESS_KEY", "TRADE_S3_SECRET_KEY")


class S3Access(NamedTuple):
    """The server's URL, empty if none is named; access key and secret key, or None for a server that asks for none."""

    endpoint: str
    keys: tuple[str, str] | None


def s3_access(environ: Mapping[str, str] = os.environ, *, endpoint: str = "", directory: Path | None = None) -> S3Access:
    """Return how to reach S3. The environment goes first: TRADE_S3_URL, both keys, and TRADE_SECRETS_DIR.

    `endpoint` and `directory` are those of a stack on this machine. ConfigError: one key without the other, or a file that others can read.
    """
    keys = tuple(environ.get(variable, "") for variable in KEY_VARIABLES)
    if any(keys) and not all(keys):
        raise ConfigError(f"{' and '.join(KEY_VARIABLES)}: set both, or neither")
    named = environ.get(secrets.VARIABLE)
    found = (keys[0], keys[1]) if all(keys) else _kept_in(Path(named) if named else directory)
    return S3Access(environ.get(URL_VARIABLE) or endpoint, found)


def _kept_in(directory: Path | None) -> tuple[str, str] | None:
    if directory is None:
        return None
    files = [directory / ACCESS_KEY_FILE, directory / SECRET_KEY_FILE]
    there = [file for file in files if file.exists()]
    if not there:
        return None
    if there != files:
        raise ConfigError(f"{directory}: {ACCESS_KEY_FILE} and {SECRET_KEY_FILE} belong together, and one is missing")
    return _text(files[0]), _text(files[1])


def _text(file: Path) -> str:
    try:
        secrets.refuse_shared(file)
        text = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    if not text:
        raise ConfigError(f"{file}: is empty")
    return text
