"""The pages hang together: every link leads somewhere, every page is in the index, every alarm's runbook can be jumped to."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

from tests.test_tidy import assert_none, name_of, ours

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """As the usual viewers make them of headings, and those set by hand."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    headings = [re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)]
    return {*headings, *re.findall(r'<a id="([^"]+)"', text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(page.read_text("utf-8")):
        if ":" in target.split("/")[0]:
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        if not other.exists() or (anchor and anchor not in anchors(other)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    listed = {target.partition("#")[0] for target in LINK.findall((ROOT / "docs/README.md").read_text("utf-8"))}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_pages_name_files_that_exist() -> None:
    """And a page that follows an order through the code names no file that is gone."""
    named = re.compile(r"`((?:domain|adapters|apps|config|tests|infra|docs)/[\w./-]*)`")
    pages = [path for path in ours(".md") if path.name != "CHANGELOG.md"]
    assert_none(f"{name_of(page)} names {name}" for page in pages for name in named.findall(page.read_text()) if not (ROOT / name).exists())


def test_root_in_the_container_trade_has_the_capability_to_read_its_passwords() -> None:
    """They belong to the container's user, and compose takes every capability away."""
    ran = [(name_of(page), line) for page in ours(".md") for line in page.read_text("utf-8").splitlines() if "--user 0" in line]
    assert ran
    assert_none(f"{name}: {line}" for name, line in ran if line.count("--user 0") != line.count("--user 0 --cap-add DAC_OVERRIDE"))


def test_pages_name_classes_that_exist() -> None:
    """A name of two words or more, as `GroupCommit`, is one of ours or of a program that the page is about."""
    named = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
    known = set(re.findall(r"\w+", "\n".join(path.read_text() for path in ours(".py", ".yml", ".yaml", ".toml", ".conf"))))
    pages = [path for path in ours(".md") if path.name != "CHANGELOG.md"]
    assert_none(f"{name_of(page)} names {name}" for page in pages for name in named.findall(page.read_text()) if name not in known)


def test_every_alarm_s_runbook_can_be_jumped_to() -> None:
    jumps = re.findall(r"runbook: docs/operations\.md#(\w+)", (ROOT / "infra/prometheus/alerts.yml").read_text())
    assert len(jumps) > 20
    assert set(jumps) <= anchors(ROOT / "docs/operations.md")


NOT_ERRORS: Final = {"max_open_orders", "risk_error", "risk_timeout", "duplicate_order"}
"""Answers of risk: 200, rejected."""


def codes() -> set[str]:
    """What a program of ours may refuse with, as far as it is written down in one piece."""
    found = set()
    for file in (*ROOT.glob("apps/**/*.py"), *ROOT.glob("domain/**/*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Refusal", "Denial"):
                said = node.args[1:2] if node.func.id == "Refusal" else node.args[:1]
                found |= {str(each.value) for each in said if isinstance(each, ast.Constant)}
    return found - NOT_ERRORS


def test_every_error_has_its_example() -> None:
    told = (ROOT / "docs/errors.md").read_text("utf-8")
    assert len(codes()) > 40
    assert {code for code in codes() if f"`{code}`" not in told} == set()
