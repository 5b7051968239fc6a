"""The passwords: made once, kept in files that nobody but their reader can open, and never shown."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import yaml

from apps.stack.credentials import nats, questdb, valkey
from apps.stack.credentials.users import (
    ADMIN,
    CLIENTS,
    GRAFANA_FILE,
    GRAFANA_QUESTDB_FILE,
    NATS_FILE,
    NATS_USERS,
    NATS_WRITERS,
    QUESTDB_FILE,
    QUESTDB_ROLES,
    QUESTDB_WRITER,
    READER,
    VALKEY_FILE,
    VALKEY_USERS,
)
from apps.stack.topology import UNIT, UNITED

KEYS_FILE: Final = "keys.json"
PASSWORD_BYTES: Final = 32
PRIVATE: Final = 0o600
UNIT_FILES: Final = tuple(f"{name}.yaml" for name in (*UNITED, UNIT))
"""What the process of a unit reads."""

Passwords = dict[str, str]


class Keys(msgspec.Struct):
    """User -> password, for each server apart: one server's file tells nothing about another."""

    nats: Passwords = {}
    valkey: Passwords = {}
    questdb: Passwords = {}
    grafana: Passwords = {}


def init(directory: Path, *, guests: bool, owners: Mapping[str, int] | None = None, renew: bool = False) -> Keys:
    """Make what is missing, and write every file anew from it: who may do what is never older than the program. OSError, Damaged.

    `owners` (file -> user id) gives files away, which takes root; the directory can then be searched by all and listed by none.
    A file has one owner, so a unit, which reads those of its services too, then has a directory `unit` with copies that are its own.
    """
    _make(directory, 0o711 if owners else 0o700)
    keys = Keys() if renew else _kept(directory)
    for passwords, users in (
        (keys.nats, (*NATS_USERS, *NATS_WRITERS.values())),
        (keys.valkey, VALKEY_USERS),
        (keys.questdb, (QUESTDB_WRITER, READER)),
        (keys.grafana, ("admin",)),
    ):
        for user in users:
            passwords.setdefault(user, secrets.token_urlsafe(PASSWORD_BYTES))
    _write(directory / KEYS_FILE, msgspec.json.encode(keys).decode(), None)
    files = _files(keys, guests=guests)
    for name, text in files.items():
        _write(directory / name, text, (owners or {}).get(name))
    if owners:
        _make(directory / UNIT, 0o711)
        for name in UNIT_FILES:
            _write(directory / UNIT / name, files[name], owners.get(f"{UNIT}.yaml"))
    return keys


class DamagedKeys(Exception):
    """The file of all passwords is there and cannot be understood; the text says which and why, and never what is in it."""


def _kept(directory: Path) -> Keys:
    file = directory / KEYS_FILE
    if not file.exists():
        return Keys()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Keys)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedKeys(f"{file} is damaged: {error}") from None  # its cause has the bytes


def _files(keys: Keys, *, guests: bool) -> dict[str, str]:
    environment = questdb.environment(keys.questdb, guests=guests)
    clients = {f"{name}.yaml": _client(keys, name, environment) for name in CLIENTS}
    return clients | {
        NATS_FILE: nats.configuration(keys.nats, guests=guests),
        VALKEY_FILE: valkey.acl(keys.valkey, guests=guests),
        QUESTDB_FILE: "".join(f"{name}={value}\n" for name, value in environment.items()),
        GRAFANA_FILE: keys.grafana["admin"],
        GRAFANA_QUESTDB_FILE: keys.questdb[READER],
    }


def _client(keys: Keys, name: str, environment: Mapping[str, str]) -> str:
    """What one program needs: a user and a password for each address of its configuration."""
    found = {"nats.url": [name, keys.nats[name]]}
    if writer := NATS_WRITERS.get(name):
        found["nats.writer_url"] = [writer, keys.nats[writer]]
    if name == ADMIN:
        found |= {f"nats.{journal.stream}": [journal.writer, keys.nats[journal.writer]] for journal in nats.JOURNALS}
    if name in keys.valkey:
        found["valkey.url"] = [name, keys.valkey[name]]
    role = QUESTDB_ROLES.get(name)
    if role:
        found["questdb.http_url"] = [READER, keys.questdb[READER]]
    if role == QUESTDB_WRITER:
        found["questdb.pg_url"] = [role, keys.questdb[role]]
    elif role:
        found["questdb.pg_url"] = [environment["QDB_PG_READONLY_USER"], environment["QDB_PG_READONLY_PASSWORD"]]
    return "# made by `trade secrets init`; changes are lost\n" + yaml.safe_dump(found)


def _make(directory: Path, mode: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(mode)


def _write(file: Path, text: str, owner: int | None) -> None:
    """Never readable by another, not even for a moment; whoever reads sees the old file or the new one."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(descriptor)
        if owner is not None:
            os.fchown(descriptor, owner, owner)
    fresh.replace(file)
