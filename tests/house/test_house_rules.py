"""The house rules that a script can check: sizes, names, silenced checks, what must not be in the repository."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from house import TOP, files, shown

LINES = 600
PACKAGES = ("src/kirsch", "src/cherrypy")


def sources() -> list[Path]:
    return [path for path in files("*.py") if path.is_relative_to(TOP / "src")]


def test_no_file_is_too_long() -> None:
    """A room above 600 lines holds more than one noun; a corpus is data."""
    long = {
        shown(path): count
        for path in files("*.py")
        if path.parent.name != "corpus"
        and (count := len(path.read_text("utf-8").splitlines())) > LINES
    }
    assert long == {}


def test_every_module_says_what_it_holds() -> None:
    silent = [
        shown(path)
        for path in sources()
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def bound_names(package: Path) -> set[str]:
    """The names that a package's __init__ binds itself, other than by importing its own modules."""
    bound: set[str] = set()
    for node in ast.parse(package.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            # "from . import name" and "from package import module" bind the module itself: no clash.
            relative = node.level > 0 and not node.module
            bound |= set() if relative else {(a.asname or a.name) for a in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound |= {target.id for target in targets if isinstance(target, ast.Name)}
    return bound


def test_no_package_exports_an_object_named_like_its_module() -> None:
    """Importing `package.name` rebinds the attribute: the object would vanish at some later import."""
    clashes = {}
    for init in (path for path in sources() if path.name == "__init__.py"):
        rooms = {path.stem for path in init.parent.glob("*.py")} | {
            path.parent.name for path in init.parent.glob("*/__init__.py")
        }
        # An object bound by `from .room import room` is the classic case; a module imported from the
        # package itself by its full name is the module and no clash.
        package = ".".join(init.parent.relative_to(TOP / "src").parts)
        tree = ast.parse(init.read_text("utf-8"))
        modules = {
            (alias.asname or alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == package and not node.level
            for alias in node.names
        }
        if both := (rooms & bound_names(init)) - modules:
            clashes[shown(init)] = sorted(both)
    assert clashes == {}


RESERVED = [
    "checker",
    "config",
    "engine",
    "expose",
    "log",
    "popargs",
    "quickstart",
    "request",
    "response",
    "server",
    "servers",
    "serving",
    "session",
    "thread_data",
    "tools",
    "tree",
    "url",
]


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_names_of_the_front_door(name: str) -> None:
    front = TOP / "src" / "cherrypy"
    assert not (front / f"{name}.py").exists()
    assert not (front / name).exists()


SILENCED = re.compile(r"#\s*(noqa|type:\s*ignore)(?P<codes>[^#]*)(?P<more>#.*)?$")
CODES = re.compile(r"^\s*(:\s*[A-Z]+[0-9]+([,\s]+[A-Z]+[0-9]+)*|\[[\w\-, ]+\])")


def test_silenced_checks_name_their_rule_and_a_reason() -> None:
    """`# noqa: RULE words` or `# type: ignore[rule]  # words`."""
    bad = []
    for path in files("*.py"):
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            found = SILENCED.search(line)
            if not found:
                continue
            codes = CODES.match(found["codes"])
            words = (found["codes"][codes.end() :] if codes else "") + (found["more"] or "")
            if not codes or not re.search(r"[A-Za-z]{2,}", words):
                bad.append(f"{shown(path)}:{number}: {line.strip()}")
    assert bad == []


def test_skips_and_expected_failures_have_reasons() -> None:
    """A bare skip or xfail says nothing to whoever meets it."""
    bad = []
    for path in files("tests/*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            name = node.func if isinstance(node, ast.Call) else node
            if not (isinstance(name, ast.Attribute) and name.attr in ("xfail", "skip", "skipif")):
                continue
            if isinstance(node, ast.Call) and not (node.args or node.keywords):
                bad.append(f"{shown(path)}:{node.lineno}")
    assert bad == []


# Put together from halves, so that this file does not find itself.
MACHINE_PATHS = (
    "/wo" + "rk/",
    "/ro" + "ot/",
    "/ho" + "me/",
    "/fa" + "rm/",
    "/opt/or" + "acle",
    "/tmp/h" + "8",
)


def test_no_paths_of_a_machine() -> None:
    """Nobody else has our folders."""
    bad = []
    for path in files():
        if path.suffix in (".png", ".ico"):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        bad += [f"{shown(path)}: {words}" for words in MACHINE_PATHS if words in text]
    assert bad == []


def test_packages_are_typed_and_ship_their_data() -> None:
    for package in PACKAGES:
        assert (TOP / package / "py.typed").is_file()
    assert (TOP / "src/cherrypy/favicon.ico").read_bytes().startswith(b"\0\0\1\0")


def test_data_files_are_in_the_distribution() -> None:
    """What is no Python is left out by setuptools, unless a pattern of pyproject.toml says otherwise."""
    project = (TOP / "pyproject.toml").read_text("utf-8")
    line = project.partition("[tool.setuptools.package-data]\n")[2].partition("\n")[0]
    patterns = re.findall(r'"([^"]+)"', line.partition("=")[2])
    assert patterns
    data = [path for path in files("src/*") if path.suffix != ".py"]
    left_out = [shown(path) for path in data if not any(path.match(one) for one in patterns)]
    assert left_out == []


def test_the_commands_of_the_distribution_exist() -> None:
    """What pip puts on PATH leads to a function, and the version is told in one voice."""
    project = (TOP / "pyproject.toml").read_text("utf-8")
    block = project.partition("[project.scripts]\n")[2].partition("\n\n")[0]
    commands = dict(re.findall(r'^(\w+) = "([\w.:]+)"$', block, re.MULTILINE))
    assert set(commands) == {"cherryd", "kirsch"}
    for target in commands.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))
    version = re.search(r'^version = "([^"]+)"$', project, re.MULTILINE)
    assert version
    assert importlib.import_module("kirsch").__version__ == version[1]
