"""Jars by their Maven coordinates: found in the user's Maven cache, or fetched, and always checked against a hash."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from apps.stack.trouble import CannotStart

COMMENT: Final = "#"


@dataclass(frozen=True)
class Jar:
    """One artifact: `group:artifact:version`, or with a fourth part, the classifier."""

    coordinates: str
    sha256: str

    @property
    def artifact(self) -> str:
        """The name of the artifact without group and version."""
        return self.coordinates.split(":")[1]

    @property
    def file(self) -> str:
        """The file name of the jar."""
        _, artifact, version, *classifier = self.coordinates.split(":")
        return f"{'-'.join((artifact, version, *classifier))}.jar"

    def cached(self) -> Path | None:
        """Return the jar if the Maven cache has it whole; a damaged or partial one counts as absent."""
        jar = self._place()
        return jar if jar.is_file() and _sha256(jar) == self.sha256 else None

    def fetch(self, remedy: str) -> Path:
        """Return the jar, from the cache or from Maven's repository. CannotStart if neither has it."""
        if jar := self.cached():
            return jar
        import jgo.maven  # imported late: it costs 0.2 s, and a cached jar does not need it

        self._place().unlink(missing_ok=True)  # or jgo would take a damaged copy as valid
        group, artifact, version, *classifier = self.coordinates.split(":")
        context = jgo.maven.MavenContext(repo_cache=_repository())
        component = context.project(group, artifact).at_version(version)
        try:
            jar = component.artifact(classifier=classifier[0] if classifier else "").resolve().resolve()
        except (OSError, RuntimeError) as error:
            sentence = f"{self.coordinates} is not on this machine and could not be fetched ({type(error).__name__})."
            raise CannotStart(sentence, remedy=remedy) from error
        if _sha256(jar) != self.sha256:
            jar.unlink()
            raise CannotStart(f"{self.coordinates} was fetched but its SHA-256 is not the expected one; it was removed.", remedy=remedy)
        return jar

    def _place(self) -> Path:
        group, artifact, version, *_ = self.coordinates.split(":")
        return _repository().joinpath(*group.split("."), artifact, version, self.file)


def locked(lock: Path) -> tuple[Jar, ...]:
    """Read a lock file: on each line coordinates and a SHA-256; lines with # are comments."""
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith(COMMENT))
    return tuple(Jar(coordinates, sha256) for coordinates, sha256 in lines)


def lock_of(endpoint: str) -> list[Jar]:
    """Resolve artifacts (joined by +) with all that they need at run time, fetch them, and return them with their hashes, sorted."""
    import jgo

    found = {}
    for artifact in jgo.resolve(endpoint):
        parts = (artifact.groupId, artifact.artifactId, artifact.version, *filter(None, (artifact.classifier,)))
        found[":".join(parts)] = _sha256(artifact.resolve())
    return [Jar(coordinates, sha256) for coordinates, sha256 in sorted(found.items())]


def _repository() -> Path:
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


def _sha256(jar: Path) -> str:
    with jar.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
