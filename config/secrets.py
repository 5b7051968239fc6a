"""The passwords of a service, from a separate file. They are put into its addresses, and the command line's key into `access`."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel

from config.text import ConfigError, read_mapping

VARIABLE: Final = "TRADE_SECRETS_DIR"
"""A directory with `<service>.yaml`: a user and a password for each address."""
CLI_KEY: Final = "access.cli_key"
"""The only pair that is no user and password: the key id of the command line and the SHA-256 of its secret, in hex."""

M = TypeVar("M", bound=BaseModel)
Credentials = Mapping[str, tuple[str, str]]
"""Maps the dotted key of an address to user and password, and CLI_KEY to key id and digest."""


def read(name: str, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Read a service's credentials; none if no directory is set.

    Raises ConfigError if the file is missing, unreadable, or open to others.
    """
    directory = environ.get(VARIABLE)
    if not directory:
        return {}
    file = Path(directory) / f"{name}.yaml"
    try:
        refuse_shared(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; {VARIABLE} names it, `trade secrets init` creates it") from error
    try:
        pairs = read_mapping(file)
    except ConfigError as error:
        if isinstance(error.__cause__, OSError):
            raise
        raise ConfigError(f"{file}: must have only lines such as NAME: ['user', 'password']") from None  # the error may quote a password
    found = {}
    for key, pair in pairs.items():
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise ConfigError(f"{file}: {key}: must be a user and a password")  # never shows the value: it may be a password
        found[key] = (pair[0], pair[1])
    return found


def refuse_shared(file: Path) -> None:
    """Raise ConfigError for a file that others can read. OSError if its mode cannot be read."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(f"{file}: others can read it (mode {mode:03o}): chmod 600")


def applied(settings: M, credentials: Credentials) -> M:
    """Return the settings with user and password in the addresses that have credentials, and with the command line's key."""
    for key, pair in credentials.items():
        section, _, name = key.partition(".")
        part = getattr(settings, section, None)
        if isinstance(part, BaseModel) and hasattr(part, name) and (key == CLI_KEY or _address(part, name)):
            fresh = part.model_copy(update={name: pair if key == CLI_KEY else with_user(_address(part, name), *pair)})
            settings = settings.model_copy(update={section: fresh})
    return settings


def _address(part: BaseModel, name: str) -> str:
    """Return an address of a section, its `url` if this one is not set; empty if that is not set either."""
    return getattr(part, name) or getattr(part, "url", None) or ""


def with_user(url: str, user: str, password: str) -> str:
    """Return the address with this user, in place of any other."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{host}").geturl()
