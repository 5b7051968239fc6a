"""A Docker engine and compose: the plain one of this machine, else a lab that brings its own; and our stack in it."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

ROOT: Final = Path(__file__).parents[2]
FILE: Final = "docker-compose.apps.yml"
PROJECT: Final = "trade2026-deploy-test"
LAB: Final = "COMPOSE_LAB"
"""Names a script that sets up an engine where there is none (`setup`, `env`)."""
BUILD_MAX_S: Final = 1200
UP_MAX_S: Final = 240
DOWN_MAX_S: Final = 90
EVERY_PROFILE: Final = ("--profile", "tools", "--profile", "unit", "--profile", "market")
OUTSIDE: Final = "203.0.113.0/24"
"""Addresses for documentation (RFC 5737), which nothing has: not among the private ones."""
SERVICES: Final = ("oms", "risk", "exeq", "live-gateway", "projector", "desk")


class NoEngine(Exception):
    """Neither an engine nor a lab."""


def environment() -> dict[str, str]:
    """What `docker compose` needs to find an engine. NoEngine."""
    own = dict(os.environ)
    if _answers(own):
        return own
    lab = os.environ.get(LAB, "")
    if not lab or not Path(lab).exists():
        raise NoEngine(f"no Docker engine with compose v2 answers here, and {LAB} names no script that sets one up")
    subprocess.run([lab, "setup"], check=True, timeout=BUILD_MAX_S)
    said = subprocess.run([lab, "env"], check=True, capture_output=True, text=True).stdout
    words = [word for word in shlex.split(said) if "=" in word]
    found = own | dict(word.split("=", 1) for word in words) | {"DOCKER_BUILDKIT": "1", "COMPOSE_BAKE": "false"}
    if not _answers(found):
        raise NoEngine(f"{lab} was run, and no engine answers")
    return found


def _answers(environ: Mapping[str, str]) -> bool:
    try:
        for question in (["docker", "info"], ["docker", "compose", "version"]):
            subprocess.run(question, env=dict(environ), check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


class Deployed:
    """The stack of the compose files, under a project name of its own: its volumes are not those of a deployment here."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)

    def docker(self, *arguments: str, within_s: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["docker", *arguments], env=self._environ, cwd=ROOT, capture_output=True, text=True, timeout=within_s, check=False
        )
        assert not check or done.returncode == 0, f"docker {shlex.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done

    def compose(self, *arguments: str, within_s: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.docker("compose", "-f", FILE, "-p", PROJECT, *arguments, within_s=within_s, check=check)

    def build(self) -> None:
        self.compose(*EVERY_PROFILE, "build", within_s=BUILD_MAX_S)

    def up(self, *services: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Started, and every health check green. Without names: the services apart."""
        return self.compose("up", "-d", "--wait", "--wait-timeout", str(UP_MAX_S), *services, within_s=UP_MAX_S + 30, check=check)

    def down(self, *, volumes: bool = False) -> None:
        self.compose(*EVERY_PROFILE, "down", *(["-v"] if volumes else []), within_s=DOWN_MAX_S)

    def container(self, service: str) -> str:
        return self.compose("ps", "-a", "-q", service).stdout.strip()

    def inspected(self, service: str) -> dict[str, Any]:
        found = json.loads(self.docker("inspect", self.container(service)).stdout)
        assert isinstance(found, list)
        return dict(found[0])

    def python(self, service: str, program: str, *, check: bool = True) -> str:
        """What a program says inside a service's container, as that service's user."""
        done = self.compose("exec", "-T", service, "python", "-c", program, check=check)
        return (done.stdout + done.stderr).strip()

    def killed_inside(self, service: str, module: str) -> None:
        """SIGKILL to what runs this module, and to its children. (A `docker kill` counts as asked for, and nothing is started again.)"""
        kill = "import os, pathlib\nfor p in pathlib.Path('/proc').glob('[0-9]*'):\n"
        kill += f"    if b'{module}' in (p / 'cmdline').read_bytes() and int(p.name) not in (1, os.getpid()): os.kill(int(p.name), 9)"
        self.compose("exec", "-T", service, "python", "-c", kill, check=False)

    def trade(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.compose("run", "--rm", "-T", "trade", *arguments, within_s=120, check=False)

    def new_key(self, account: str, scopes: str) -> str:
        """A key, made as a person makes one: KEY_ID.SECRET."""
        done = self.trade("key", "create", "--account", account, "--scopes", scopes, "--owner", "deploy-test")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def secret(self, file: str) -> str:
        """The content of a file of the volume `secrets`."""
        return self.compose("run", "--rm", "-T", "--entrypoint", "cat", "keys", f"/run/secrets/trade/{file}").stdout.strip()

    def keys(self) -> list[str]:
        """Every password there is."""
        return [password for server in json.loads(self.secret("keys.json")).values() for password in server.values()]

    def renew(self) -> None:
        """New passwords and a new key of the command line, as docs/deployment.md says."""
        self.compose("run", "--rm", "-T", "keys", "secrets", "init", "--directory", "/run/secrets/trade", "--for-containers", "--renew")
        self.up("--force-recreate", "--always-recreate-deps")

    def from_outside(self, service: str, program: str) -> str:
        """What a program says that reaches the service from an address that is not private."""
        network = f"{PROJECT}-outside"
        self.docker("network", "create", "--subnet", OUTSIDE, network)
        try:
            self.docker("network", "connect", "--alias", service, network, self.container(service))
            return self.docker("run", "--rm", "--network", network, "localhost/projector:latest", "python", "-c", program).stdout.strip()
        finally:
            self.docker("network", "disconnect", "-f", network, self.container(service), check=False)
            self.docker("network", "rm", network, check=False)


def until(holds: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.25)
