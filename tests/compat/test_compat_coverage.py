"""The corpus asks of every tool of CherryPy's default toolbox, and of every argument it takes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import pytest
from compat_kit import APPS

import cherrypy

# The default toolbox of CherryPy 18.10; ours has more, and about those there is nobody to ask.
TOOLS = [
    "accept",
    "allow",
    "auth_basic",
    "auth_digest",
    "autovary",
    "caching",
    "decode",
    "encode",
    "err_redirect",
    "etags",
    "expires",
    "flatten",
    "gzip",
    "ignore_headers",
    "json_in",
    "json_out",
    "log_headers",
    "log_hooks",
    "log_tracebacks",
    "params",
    "proxy",
    "redirect",
    "referer",
    "response_headers",
    "session_auth",
    "sessions",
    "staticdir",
    "staticfile",
    "trailing_slash",
    "xmlrpc",
]

# Arguments that say nothing to a client, and those that CherryPy does not have.
SILENT = {"debug"}
OURS = {
    "gzip": {"min_size"},
    "proxy": {"forwarded", "port", "prefix", "trusted"},
    "sessions": {"partitioned", "samesite"},
    "staticdir": {"precompressed"},
    "staticfile": {"precompressed"},
}
KEY = re.compile(r"^tools\.(\w+)\.(\w+)$")
WORD = re.compile(r"^([a-z_]+?)__(\w+)$")


def uses() -> Iterator[tuple[str, str]]:
    """Each (tool, argument) that an app of the corpus gives, as a decorator, a handler or a key."""
    for path in APPS.glob("app_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if found := KEY.match(node.value):
                    yield found[1], found[2]
            elif isinstance(node, ast.keyword) and node.arg and (found := WORD.match(node.arg)):
                yield found[1], found[2]
            elif isinstance(node, ast.Call):
                words = ast.unparse(node.func).split(".")
                if "tools" in words[:-1]:
                    tool = words[words.index("tools") + 1]
                    yield tool, "on"
                    for given in node.keywords:
                        if given.arg:
                            yield tool, given.arg


USED = set(uses())


def arguments(name: str) -> set[str]:
    """The names that configuration may give to a tool."""
    tool = getattr(cherrypy.tools, name)
    found = set()
    for word, parameter in inspect.signature(tool.callable).parameters.items():
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            found.add(word)
    return found - SILENT - OURS.get(name, set()) - {"self"}


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_is_asked_of(name: str) -> None:
    assert any(tool == name for tool, _ in USED)


@pytest.mark.parametrize("name", TOOLS)
def test_every_argument_is_given(name: str) -> None:
    given = {argument for tool, argument in USED if tool == name}
    assert arguments(name) - given == set()


def test_the_toolbox_has_them_all() -> None:
    assert [name for name in TOOLS if not hasattr(cherrypy.tools, name)] == []
