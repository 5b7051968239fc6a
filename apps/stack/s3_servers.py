"""The S3 servers that `make s3` builds: versitygw, which keeps objects as plain files, and SeaweedFS."""

import json
import os
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

from apps.stack.credentials.users import S3_ACCESS_KEY_FILE, S3_SECRET_KEY_FILE
from apps.stack.ports import HOST
from apps.stack.program import PROJECTION_NICENESS, Program, http_answers
from apps.stack.trouble import CannotStart

KEPT_VARIABLE: Final = "TRADE_SERVERS_DIR"
KEPT: Final = Path(__file__).parents[2] / ".servers"
"""Where `make s3` puts what it builds, unless KEPT_VARIABLE names another directory."""
INSTALL: Final = "Build it (two minutes of processor time, only once; needs Go): make s3"
INSTALL_SEAWEEDFS: Final = "Build it (twelve minutes of processor time, only once; needs Go): make s3 SERVER=seaweedfs"

ACCESS_KEY: Final = "trade"
SECRET_KEY: Final = "trade-without-secrets"
"""The credentials of a server without a secrets directory: any program on this machine may use it."""
HEALTH: Final = "/health"
VOLUME_MB: Final = 1024
"""SeaweedFS appends objects to volumes of this size."""


@dataclass(frozen=True)
class S3Ports:
    """The ports of the S3 server. versitygw uses `s3` alone, SeaweedFS all. The defaults keep clear of the services' ports."""

    s3: int = 8333
    master: int = 9333
    volume: int = 8334
    filer: int = 8888
    s3_grpc: int = 18333
    master_grpc: int = 19333
    volume_grpc: int = 18334
    filer_grpc: int = 18888

    def shifted(self, offset: int) -> Self:
        return type(self)(*(port + offset for port in astuple(self)))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.s3}"


def installed() -> str:
    """Return which server is built, `seaweedfs` first. CannotStart with the command that builds one if none is."""
    for name in ("seaweedfs", "versitygw"):
        if _kept(name).is_file():
            return name
    raise CannotStart("No S3 server is installed.", remedy=INSTALL)


def s3(data_dir: Path, ports: S3Ports, secrets: Path | None = None) -> Program:
    """Return the S3 server that is built. CannotStart if none is."""
    return {"seaweedfs": seaweedfs, "versitygw": versitygw}[installed()](data_dir, ports, secrets)


def versitygw(data_dir: Path, ports: S3Ports, secrets: Path | None = None) -> Program:
    """Return versitygw. Buckets are directories and objects files below `data_dir`/s3. CannotStart if it is not built."""
    binary = _binary("versitygw", INSTALL)
    home = data_dir / "s3"
    for name in ("objects", "attributes"):  # attributes in files: not every file system keeps them with the objects
        (home / name).mkdir(parents=True, exist_ok=True)
    access_key, secret_key = credentials(secrets)
    return Program(
        name="versitygw",
        kind="server",
        command=(
            str(binary),
            *("--port", f"{HOST}:{ports.s3}", "--health", HEALTH, "--quiet"),
            *("posix", "--sidecar", str(home / "attributes"), str(home / "objects")),
        ),
        probe=partial(_answers, ports.s3, HEALTH),
        ports={"s3": ports.s3},
        environment={"ROOT_ACCESS_KEY": access_key, "ROOT_SECRET_KEY": secret_key, "GOMEMLIMIT": "128MiB"},
        cwd=home,
        niceness=PROJECTION_NICENESS,
    )


def seaweedfs(data_dir: Path, ports: S3Ports, secrets: Path | None = None) -> Program:
    """Return SeaweedFS, all parts in one process, on this machine only. CannotStart if it is not built."""
    binary = _binary("seaweedfs", INSTALL_SEAWEEDFS)
    home = data_dir / "seaweedfs"
    (home / "data").mkdir(parents=True, exist_ok=True)
    access_key, secret_key = credentials(secrets)
    identity = {"name": "trade", "credentials": [{"accessKey": access_key, "secretKey": secret_key}], "actions": ["Admin"]}
    (home / "s3.json").write_text(json.dumps({"identities": [identity]}))
    named = {
        "master.port": ports.master,
        "master.port.grpc": ports.master_grpc,
        "volume.port": ports.volume,
        "volume.port.grpc": ports.volume_grpc,
        "filer.port": ports.filer,
        "filer.port.grpc": ports.filer_grpc,
        "s3.port": ports.s3,
        "s3.port.grpc": ports.s3_grpc,
        "master.volumeSizeLimitMB": VOLUME_MB,
        "volume.max": 0,
        "ip": HOST,
        "ip.bind": HOST,
        "dir": home / "data",
        "s3.config": home / "s3.json",
    }
    return Program(
        name="seaweedfs",
        kind="server",
        command=(str(binary), "-logtostderr", "server", "-filer", "-s3", *(f"-{name}={value}" for name, value in named.items())),
        probe=partial(_answers, ports.s3, "/healthz"),
        ports={"s3": ports.s3, "master": ports.master, "volume": ports.volume, "filer": ports.filer},
        environment={"GOMEMLIMIT": "256MiB"},
        cwd=home,
        niceness=PROJECTION_NICENESS,
    )


def credentials(secrets: Path | None) -> tuple[str, str]:
    """Return the access key and the secret key: from the files of a secrets directory, else the known ones."""
    if secrets is None:
        return ACCESS_KEY, SECRET_KEY
    return (secrets / S3_ACCESS_KEY_FILE).read_text().strip(), (secrets / S3_SECRET_KEY_FILE).read_text().strip()


def _answers(port: int, path: str) -> None:
    http_answers(port, path)


def _binary(name: str, remedy: str) -> Path:
    binary = _kept(name)
    if not binary.is_file():
        raise CannotStart(f"{name} is not installed: {binary} does not exist.", remedy=remedy)
    return binary


def _kept(binary: str) -> Path:
    return Path(os.environ.get(KEPT_VARIABLE) or KEPT) / binary
