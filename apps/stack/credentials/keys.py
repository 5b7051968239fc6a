"""The passwords: generated once, kept in files that only their reader can open, and never shown."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import yaml

from apps.http.credentials import digest, new_key_id, new_secret
from apps.stack.credentials import market, nats, questdb, valkey
from apps.stack.credentials.users import (
    ADMIN,
    CLI_KEY_FILE,
    CLICKHOUSE_FILE,
    CLIENTS,
    COPIES,
    GATEWAY,
    GRAFANA_FILE,
    GRAFANA_QUESTDB_FILE,
    MARKET_NATS_FILE,
    MARKET_USERS,
    NATS_FILE,
    NATS_USERS,
    NATS_WRITERS,
    QUESTDB_FILE,
    QUESTDB_ROLES,
    QUESTDB_WRITER,
    READER,
    S3_ACCESS_KEY_FILE,
    S3_IDENTITIES_FILE,
    S3_SECRET_KEY_FILE,
    SINK_ALT,
    VALKEY_FILE,
    VALKEY_USERS,
    VENUE_KEYS,
    VENUE_KEYS_FILE,
)
from config.secrets import CLI_KEY, VARIABLE, Credentials, read

KEYS_FILE: Final = "keys.json"
PASSWORD_BYTES: Final = 32
PRIVATE: Final = 0o600
KEY_KEEPER: Final = "risk"
"""The service that records access keys. It gets the command line's key id and the digest of its secret, never the secret."""
S3_USER: Final = "trade"
S3_KEY_BYTES: Final = 15

Passwords = dict[str, str]


class StackSecrets(msgspec.Struct):
    """User -> password, separately for each server, so that one server's file reveals nothing about another."""

    nats: Passwords = {}
    market_nats: Passwords = {}
    valkey: Passwords = {}
    questdb: Passwords = {}
    grafana: Passwords = {}
    clickhouse: Passwords = {}
    s3: Passwords = {}
    """Access key -> secret key, of the only user."""
    cli: Passwords = {}
    """Key id -> secret of the access key of the command line."""


def init(directory: Path, *, guests: bool, owners: Mapping[str, int] | None = None, renew: bool = False, shards: int = 1) -> StackSecrets:
    """Generate missing passwords and rewrite every file, so that rights are never older than the program.

    Raises OSError, DamagedKeys, and ConfigError for a VENUE_KEYS_FILE that is wrong or open to others; then nothing was written.

    `owners` (file -> user id) changes the owners of files, which needs root; other users can then search the directory but not list it.
    `shards`: of the order journal.

    A file has one owner, so a program that reads files of others then gets its own copies in a directory of its name.
    """
    _make(directory, 0o711 if owners else 0o700)
    venues = _venue_keys(directory)
    keys = StackSecrets() if renew else _kept(directory)
    for passwords, users in (
        (keys.nats, (*NATS_USERS, *NATS_WRITERS.values())),
        (keys.market_nats, MARKET_USERS),
        (keys.valkey, VALKEY_USERS),
        (keys.questdb, (QUESTDB_WRITER, READER)),
        (keys.clickhouse, (SINK_ALT,)),
        (keys.grafana, ("admin",)),
    ):
        for user in users:
            passwords.setdefault(user, secrets.token_urlsafe(PASSWORD_BYTES))
    if not keys.s3:
        keys.s3[secrets.token_hex(S3_KEY_BYTES)] = secrets.token_urlsafe(PASSWORD_BYTES)
    if not keys.cli:
        keys.cli[new_key_id()] = new_secret()
    _write(directory / KEYS_FILE, msgspec.json.encode(keys).decode(), None)
    files = _files(keys, guests=guests, venues=venues, shards=shards)
    for name, text in files.items():
        _write(directory / name, text, (owners or {}).get(name))
    if owners:
        for program, names in COPIES.items():
            _make(directory / program, 0o711)
            for name in names:
                _write(directory / program / name, files[name], owners.get(f"{program}.yaml"))
    return keys


class DamagedKeys(Exception):
    """The file of all passwords exists but cannot be decoded; the text says which and why, without its content."""


def _kept(directory: Path) -> StackSecrets:
    file = directory / KEYS_FILE
    if not file.exists():
        return StackSecrets()
    try:
        return msgspec.json.decode(file.read_bytes(), type=StackSecrets)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedKeys(f"{file} is damaged: {error}") from None  # the cause contains the bytes


def _venue_keys(directory: Path) -> Credentials:
    """Return the keys of accounts at venues, which a person has written; none without the file. ConfigError."""
    return read(VENUE_KEYS, {VARIABLE: str(directory)}) if (directory / VENUE_KEYS_FILE).exists() else {}


def _files(keys: StackSecrets, *, guests: bool, venues: Credentials, shards: int) -> dict[str, str]:
    environment = questdb.environment(keys.questdb, guests=guests)
    clients = {f"{name}.yaml": _client(keys, name, environment, venues if name == GATEWAY else {}) for name in CLIENTS}
    ((access_key, secret_key),) = keys.s3.items()
    return clients | {
        NATS_FILE: nats.configuration(keys.nats, guests=guests, shards=shards),
        MARKET_NATS_FILE: market.configuration(keys.market_nats),
        VALKEY_FILE: valkey.acl(keys.valkey, guests=guests),
        QUESTDB_FILE: "".join(f"{name}={value}\n" for name, value in environment.items()),
        S3_ACCESS_KEY_FILE: access_key,
        S3_SECRET_KEY_FILE: secret_key,
        S3_IDENTITIES_FILE: _s3_identities(access_key, secret_key),
        CLICKHOUSE_FILE: f"CLICKHOUSE_USER={SINK_ALT}\nCLICKHOUSE_PASSWORD={keys.clickhouse[SINK_ALT]}\n",
        GRAFANA_FILE: keys.grafana["admin"],
        GRAFANA_QUESTDB_FILE: keys.questdb[READER],
        CLI_KEY_FILE: "".join(f"{key_id}.{secret}\n" for key_id, secret in keys.cli.items()),
    }


def _client(keys: StackSecrets, name: str, environment: Mapping[str, str], venues: Credentials) -> str:
    """Return the file of one program: a user and a password for each address of its configuration."""
    found = {"nats.url": [name, keys.nats[name]]} | {f"venues.{venue}": [*pair] for venue, pair in venues.items()}
    if writer := NATS_WRITERS.get(name):
        found["nats.writer_url"] = [writer, keys.nats[writer]]
    if name in keys.clickhouse:
        found["clickhouse.url"] = [name, keys.clickhouse[name]]
    if name in keys.market_nats:
        found["market_nats.url"] = [name, keys.market_nats[name]]
    if name == ADMIN:
        found |= {f"nats.{journal.stream}": [journal.writer, keys.nats[journal.writer]] for journal in nats.JOURNALS}
    if name in keys.valkey:
        found["valkey.url"] = [name, keys.valkey[name]]
    if name == KEY_KEEPER:
        key_id, secret = next(iter(keys.cli.items()))
        found[CLI_KEY] = [key_id, digest(secret.encode()).hex()]
    role = QUESTDB_ROLES.get(name)
    if role:
        found["questdb.http_url"] = [READER, keys.questdb[READER]]
    if role == QUESTDB_WRITER:
        found["questdb.pg_url"] = [role, keys.questdb[role]]
    elif role:
        found["questdb.pg_url"] = [environment["QDB_PG_READONLY_USER"], environment["QDB_PG_READONLY_PASSWORD"]]
    return "# written by `trade secrets init`; changes are lost\n" + yaml.safe_dump(found)


def _s3_identities(access_key: str, secret_key: str) -> str:
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    return json.dumps({"identities": [{"name": S3_USER, "credentials": credentials, "actions": ["Admin"]}]}) + "\n"


def _make(directory: Path, mode: int) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(mode)


def _write(file: Path, text: str, owner: int | None) -> None:
    """Replace a file atomically; it is private to its owner at every moment."""
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
