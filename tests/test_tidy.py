"""The house, held as a test: who may import whom, how long a thing may be, which words and calls stay out."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

import pytest

Node = TypeVar("Node", bound=ast.AST)

ROOT = Path(__file__).parent.parent
ROOMS = ("domain", "adapters", "apps", "config")

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Rooms of ours that a room may import. Tests may import everything.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "domain": ("domain",),
    "adapters": ("domain", "adapters"),
    "config": ("domain", "config"),
    "apps": ROOMS,
}
PURE_LIBRARIES = ("transitions", "msgspec")
IMPURE = {
    "asyncio",
    "time",
    "uuid",
    "secrets",
    "os",
    "pathlib",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "multiprocessing",
    "logging",
    "io",
}
CLOCK_FILE = "adapters/clock.py"
WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "datetime.datetime.now"}
# Where people and machines are addressed; everything else would be a way to somewhere else.
HOSTS = re.compile(
    r"localhost|127\.0\.0\.1|0\.0\.0\.0|\{.*|\$.*|<.*"  # this machine, or told at run time
    r"|[a-z]+(-[a-z]+)?"  # a service of the compose file
    r"|(stream|api)\.binance\.com|(ws|api)\.kraken\.com|(advanced-trade-ws|api)\.coinbase\.com"  # the market's own public addresses
    r"|www\.w3\.org|www\.apache\.org|([a-z]+\.)?example(\.(com|org|net|test))?|.*\.invalid|.*\.test"
)


@cache
def ours(*suffixes: str) -> tuple[Path, ...]:
    """Every file that is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    files = (ROOT / name for name in listed if name)
    return tuple(sorted(f for f in files if f.is_file() and (not suffixes or f.suffix in suffixes)))


def sources(*rooms: str) -> list[Path]:
    """Python files of these rooms."""
    return [f for f in ours(".py") if name_of(f).split("/")[0] in rooms]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def every(kind: type[Node], path: Path) -> Iterator[Node]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, kind))


def imports(path: Path) -> Iterator[str]:
    """Dotted names, whole: `from random import random` is random.random."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    """Line, dotted name and node of every call of a name."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node


def assert_none(found: Iterator[str] | list[str]) -> None:
    found = list(found)
    assert not found, "\n" + "\n".join(found)


def test_there_is_something_to_look_at() -> None:
    assert all(sources(room) for room in ROOMS)


# Rooms


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_inwards(room: str) -> None:
    assert_none(
        f"{name_of(path)} imports {module}"
        for path in sources(room)
        for module in imports(path)
        if (top := module.split(".")[0]) in (*ROOMS, "tests") and top not in MAY_IMPORT[room]
    )


def test_the_domain_is_pure() -> None:
    """Nothing but the standard library and two libraries, and of the standard library nothing that waits, asks the time or does I/O."""
    lawful = (set(sys.stdlib_module_names) - IMPURE) | {"domain", *PURE_LIBRARIES}
    assert_none(
        f"{name_of(path)} imports {module}" for path in sources("domain") for module in imports(path) if module.split(".")[0] not in lawful
    )
    assert_none(f"{name_of(path)}:{node.lineno} awaits" for path in sources("domain") for node in every(ast.Await, path))


def test_every_module_says_in_one_line_what_it_is_for() -> None:
    for path in sources(*ROOMS, "tests"):
        text = ast.get_docstring(tree(path)) or ""
        assert text or not tree(path).body, f"{name_of(path)} has no docstring"
        first, *rest = text.splitlines() or [""]
        assert not rest or not rest[0].strip(), f"{name_of(path)}: the first line stands alone"
        assert not first or first.endswith((".", "?", ":")), f"{name_of(path)}: {first}"


def test_files_and_functions_are_short() -> None:
    for path in sources(*ROOMS, "tests"):
        name = name_of(path)
        lines = len(path.read_text().splitlines())
        assert lines <= FILE_LINES_MAX, f"{name} has {lines} lines"
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= FUNCTION_LINES_MAX, f"{name}:{node.name} has {length} lines"


# Calls


def test_only_the_clock_reads_the_wall_clock() -> None:
    # FAILURES 43
    assert_none(
        f"{name_of(path)}:{line} {name}"
        for path in sources(*ROOMS)
        for line, name, _ in calls(path)
        if name in WALL_CLOCKS and name_of(path) != CLOCK_FILE
    )


LATE: Final = {"known", "controls_known"}
"""Filled in by the wiring, because who answers needs the asker first; until then they refuse."""
DECIDES: Final = {"authority", "caller", "may_trade", "own"}
"""Parameters by which a request is admitted, or limited to an account."""


def test_nothing_is_allowed_because_the_wiring_forgot_to_say_otherwise() -> None:
    """What decides comes with the constructor. What only notifies (`on_…`) may come later; so may what refuses until it does."""
    for path in sources("apps", "adapters"):
        for node in every(ast.AnnAssign, path):
            if isinstance(node.target, ast.Attribute) and isinstance(node.value, ast.Lambda):
                name = node.target.attr
                refuses = name in LATE and isinstance(node.value.body, ast.Constant) and node.value.body.value is False
                assert name.startswith("on_") or refuses, f"{name_of(path)}:{node.lineno} {name} has a default"
    assert_none(
        f"{name_of(path)}:{default.lineno} {name} has a default"
        for path in sources("apps", "adapters")
        for arguments in every(ast.arguments, path)
        for name, default in defaults(arguments)
        if name in DECIDES or (isinstance(default, ast.Lambda) and ast.unparse(default.body) == "True")
    )


def defaults(arguments: ast.arguments) -> list[tuple[str, ast.expr]]:
    """Name and default of each parameter that has one."""
    placed = [*arguments.posonlyargs, *arguments.args]
    given = (*placed[len(placed) - len(arguments.defaults) :], *arguments.kwonlyargs)
    pairs = zip(given, (*arguments.defaults, *arguments.kw_defaults), strict=True)
    return [(each.arg, default) for each, default in pairs if default is not None]


def test_every_task_is_spawned_with_its_row() -> None:
    """By its name in apps/runtime/tasks.py: then the page shows it and a test kills it."""
    assert_none(
        f"{name_of(path)}:{line} {name}"
        for path in sources("apps")
        for line, name, call in calls(path)
        if name.endswith("chassis.spawn") and not ast.unparse(call.args[1]).startswith("tasks.") and ast.unparse(call.args[1]) != "task"
    )


def test_chance_has_a_seed() -> None:
    assert_none(
        f"{name_of(path)}:{line} {name}"
        for path in sources("domain")
        for line, name, call in calls(path)
        if name.startswith(("random.", "Random")) and not (name.endswith("Random") and call.args)
    )
    assert_none(
        f"{name_of(path)} imports from random" for path in sources("domain") for module in imports(path) if module == "random.random"
    )


def test_there_is_no_float_in_the_domain() -> None:
    # FAILURES 56: no literal, no conversion, no annotation, no "/" that rounds by itself
    found = []
    for path in sources("domain"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, (float, complex)):
                found.append(f"{name_of(path)}:{node.lineno} {node.value}")
            elif isinstance(node, ast.Name) and node.id == "float":
                found.append(f"{name_of(path)}:{node.lineno} float")
            elif isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
                found.append(f"{name_of(path)}:{node.lineno} divides without divide()")
    assert_none(found)


def test_code_that_catches_everything_says_why() -> None:
    """Two places may: the edge of a process, and a callback of a library that must not raise. Each says which in a comment."""
    for path in sources(*ROOMS, "tests"):
        lines = path.read_text().splitlines()
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler) and catches_everything(node) and not raises_again(node):
                comment = re.sub(r"noqa:?\s*[A-Z0-9, ]*", "", " ".join(lines[node.lineno - 2 : node.lineno + 1]).partition("#")[2])
                assert len(re.findall(r"[A-Za-z]{2,}", comment)) >= 3, (
                    f"{name_of(path)}:{node.lineno} catches everything and does not say why"
                )


def test_no_exception_is_kept_to_be_raised_again_and_again() -> None:
    """Each time it would get another traceback in front of the old ones: memory without a bound, with every local variable in it."""
    for path in sources(*ROOMS):
        found = [node.lineno for node in every(ast.Raise, path) if isinstance(node.exc, ast.Name) and node.exc.id.lstrip("_").isupper()]
        assert_none([f"{name_of(path)}:{line}: a constant is raised" for line in found])


def catches_everything(handler: ast.ExceptHandler) -> bool:
    names = [] if handler.type is None else [ast.unparse(node) for node in ast.walk(handler.type) if isinstance(node, ast.Name)]
    return handler.type is None or "Exception" in names or "BaseException" in names


def raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_tests_use_fakes_and_no_mocks() -> None:
    assert_none(f"{name_of(path)} imports {module}" for path in sources("tests") for module in imports(path) if "mock" in module)


def test_loggers_are_made_in_one_way() -> None:
    """`structlog.get_logger()`: `apps.runtime.logs` formats its lines, and those of the standard library's loggers, which libraries use."""
    assert_none(lines_that(re.compile(r"(?<!\bstructlog\.)\bget_logger\(").search, ".py"))


def test_nothing_prints_but_programs_for_people() -> None:
    assert_none(
        f"{name_of(path)}:{line}" for path in sources("domain", "adapters", "config") for line, name, _ in calls(path) if name == "print"
    )


# Words


def test_names_say_what_a_thing_is() -> None:
    vague = re.compile(r"Manager|Helper$|Util|Abstract|Base$|Impl$|^I[A-Z][a-z]")
    assert_none(
        f"{name_of(path)}: class {node.name}"
        for path in sources(*ROOMS, "tests")
        for node in every(ast.ClassDef, path)
        if vague.search(node.name)
    )
    assert_none(name_of(path) for path in sources(*ROOMS) if path.stem in ("util", "utils", "helper", "helpers", "common", "misc"))


def test_no_class_name_is_used_twice() -> None:
    found: dict[str, list[str]] = {}
    for path in sources(*ROOMS):
        for node in every(ast.ClassDef, path):
            found.setdefault(node.name, []).append(name_of(path))
    assert_none(f"{name}: {', '.join(paths)}" for name, paths in found.items() if len(paths) > 1)


NOUNS: Final = frozenset({"routing", "matching", "interning", "housekeeping", "loading", "paging", "wiring"})
"""Names in -ing that are nouns of the field."""


def test_no_module_is_named_by_a_gerund() -> None:
    assert_none(name_of(path) for path in sources(*ROOMS) if path.stem.rpartition("_")[2].endswith("ing") and path.stem not in NOUNS)


SUBJECT: Final = re.compile(
    r"(oms\.(journal|commands|orders)|risk\.(check|control|kill)|venue\.[^. ]+\.(requests|reports|session|journal)|venue\.journal"
    r"|controls\.obeyed|(orders|fills|positions|ticks|prices)\.[*>{]|OMS_JOURNAL$|PAPER_VENUES$|RISK_CONTROL$)"
)
SUBJECTS_SAID: Final = {
    "adapters/subjects.py": "names them",
    "config/sections.py": "a configuration key says which subject it is about",
}


def test_subjects_and_streams_are_named_in_one_place() -> None:
    assert_none(
        f"{name_of(path)}:{node.lineno} {text}"
        for path in sources(*ROOMS)
        if name_of(path) not in SUBJECTS_SAID
        for node in every(ast.Constant, path)
        if isinstance(text := node.value, str) and SUBJECT.match(text) and " " not in text
    )


TICS: Final = re.compile(
    r"\b(nobody|somebody|everybody|whoever|anybody|anew|for ever|put right|stands at|goes on|so many|in the hands of|hears|ear\b)\b",
    re.IGNORECASE,
)
"""Words that a technical writer would not use for programs: CONTRIBUTING.md, "Rules". CHANGELOG.md keeps the words of its time."""
NAME_OF_A_TEST: Final = re.compile(r"\bdef test_\w+")
PEOPLE: Final = "open: whoever is logged in on this machine may trade"
"""What the start says about open mode. It is about people, whom nothing else names."""


def test_product_and_tests_are_written_in_plain_technical_english() -> None:
    kinds = (".py", ".md", ".yaml", ".yml", ".js", ".css", ".html")
    aside = ("CHANGELOG.md", name_of(Path(__file__)))
    files = [path for path in ours(*kinds) if name_of(path) not in aside and "vendor" not in path.parts]
    assert_none(
        f"{name_of(path)}:{number} {line.strip()[:100]}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if TICS.search(NAME_OF_A_TEST.sub(lambda name: name[0].replace("_", " "), line.replace(PEOPLE, "")))
    )


def test_nothing_is_left_for_later() -> None:
    later = re.compile(rf"\b({'|'.join(map(str.upper, ('todo', 'fixme', 'hack', 'xxx')))})\b")
    assert_none(lines_that(later.search, ".py", ".md", ".yaml", ".yml", ".toml", ".lua", ".sh", ".conf"))


def test_no_leftover_of_a_merge_is_kept() -> None:
    assert ours(".orig", ".rej", ".bak") == ()


def test_no_path_of_one_machine_is_written_down() -> None:
    home = re.compile(r"(?<![\w.{}$-])/(?:root|home/\w|work|Users/\w|tmp/\w)(?=/|\b)")
    assert_none(lines_that(home.search))


def test_no_address_of_a_registry_is_written_down() -> None:
    """Any address is of this machine, of a service, or an example; packages come by name, from wherever the machine is told to get them."""
    address = re.compile(r"\b(?:https?|nats|tls|redis|valkey|postgres(?:ql)?|git)://(?:[^\s/@\"'`]*@)?([\w{$<][^\s/:\"'`)\\,]*)")
    registry = re.compile(
        r"\b(?:pypi|pythonhosted|docker|ghcr|quay|gcr|npmjs|maven|gitlab|proxy\.golang|repo1?)\.(?:org|io|com|dev|net|apache)\b"
    )
    assert_none(lines_that(registry.search))
    suffixes = {path.suffix for path in ours()} - {".md"}  # a page may point its reader to a page
    assert_none(lines_that(lambda line: any(not HOSTS.fullmatch(host) for host in address.findall(line)), *suffixes))


def lines_that(match: Callable[[str], object], *suffixes: str) -> Iterator[str]:
    for path in ours(*suffixes):
        if name_of(path) == "LICENSE" or path.suffix == ".csv" or b"\0" in path.read_bytes()[:1000]:
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match(line):
                yield f"{name_of(path)}:{number} {line.strip()[:100]}"


# Failures


FAILURES: Final = frozenset((*range(1, 16), 39, *range(45, 53), 73, 74))
"""Rows of the list of failures that a journal to trust must survive: each is cited, with its number, by the test that plays it."""


def test_every_failure_of_the_journal_has_its_scene() -> None:
    cited: set[int] = set()
    for path in sources("tests"):
        for line in re.findall(r"FAILURES ([\d, -]+)", path.read_text()):
            for first, last in re.findall(r"(\d+)(?:-(\d+))?", line):
                cited |= set(range(int(first), int(last or first) + 1))
    assert_none(f"no test plays failure {row}" for row in sorted(FAILURES - cited))
