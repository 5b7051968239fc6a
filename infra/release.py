"""`make release VERSION=0.3.0`: changelog, version, golden journal, commit and tag. Nothing is pushed."""

import datetime
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
VERSION: Final = re.compile(r'^version = "(\d+\.\d+\.\d+)"$', re.MULTILINE)
UNRELEASED: Final = "## [Unreleased]\n"


def release(version: str) -> None:
    """Refuse a dirty tree, a version that does not grow, and a changelog without entries. SystemExit."""
    project, changelog = ROOT / "pyproject.toml", ROOT / "CHANGELOG.md"
    if re.fullmatch(r"\d+\.\d+\.\d+", version) is None:
        sys.exit(f"{version!r} is no version: name it as MAJOR.MINOR.PATCH")
    if _git("status", "--porcelain"):
        sys.exit("The tree has changes: commit them first")
    found = VERSION.search(project.read_text())
    assert found is not None
    if _parts(version) <= _parts(found[1]):
        sys.exit(f"{version} does not follow {found[1]}")
    before, heading, entries = changelog.read_text().partition(UNRELEASED)
    if not heading or not entries.partition("\n## [")[0].strip():
        sys.exit("CHANGELOG.md has no entries under [Unreleased]")
    subprocess.run(
        [sys.executable, "-m", "tests.golden", "--write", version], cwd=ROOT, check=True
    )  # first: a name that is taken is refused
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    changelog.write_text(f"{before}{UNRELEASED}\n## [{version}] - {today}\n{entries}")
    project.write_text(VERSION.sub(f'version = "{version}"', project.read_text()))
    _git("add", "--all")
    _git("commit", "--quiet", "--message", f"Release {version}")
    _git("tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    print(f"{version} is committed and tagged v{version}; push both when you are ready")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    release(sys.argv[1] if len(sys.argv) > 1 else "")
