"""Packages that reach into Cheroot: what they find here, and what they are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

START = """
import sys, warnings
warnings.simplefilter("ignore")
import cherrypy
"""
IMPORT = "from ws4py.server.cherrypyserver import WebSocketPlugin, WebSocketTool\n"


def run(code: str, *folders: Path) -> tuple[int, str]:
    """Exit status and last line of what a program says; `folders` come first on its path."""
    path = f"sys.path[:0] = {[str(folder) for folder in folders]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", START + path + code],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, ((done.stdout + done.stderr).strip().splitlines() or [""])[-1]


@pytest.fixture
def cheroot(tmp_path: Path) -> Path:
    """Return a folder with as much of a Cheroot as ws4py imports: it is no dependency of ours."""
    package = tmp_path / "cheroot"
    package.mkdir()
    (package / "__init__.py").write_text("")
    names = ("HTTPConnection", "HTTPRequest", "KnownLengthRFile")
    (package / "server.py").write_text("".join(f"class {name}: pass\n" for name in names))
    return tmp_path


def told(line: str) -> None:
    assert "ws4py takes its sockets out of the server Cheroot" in line
    assert "'cherrypy.websocket'" in line
    assert "docs/websockets.md" in line


def test_ws4py_is_refused_when_it_is_imported() -> None:
    status, line = run("import importlib.util as u; assert u.find_spec('ws4py')\n" + IMPORT)
    assert status == 1
    assert line.startswith("ImportError: ")
    told(line)


@pytest.mark.parametrize(
    "tool", ["WebSocketTool()", "type('Mine', (WebSocketTool,), {})()"], ids=["its own", "subclass"]
)
def test_ws4py_beside_a_cheroot_is_refused_when_its_tool_is_made(cheroot: Path, tool: str) -> None:
    status, line = run(f"{IMPORT}cherrypy.tools.websocket = {tool}", cheroot)
    assert status == 1
    assert line.startswith("ImportError: ")
    told(line)


def test_other_tools_are_made_beside_ws4py(cheroot: Path) -> None:
    code = IMPORT + "print(cherrypy.Tool('before_handler', print), cherrypy.tools.websocket)"
    status, line = run(code, cheroot)
    assert status == 0
    assert "tool" in line.lower()


def test_the_page_names_what_takes_its_place() -> None:
    from cherrypy import websocket
    from cherrypy.framework.foreign import WS4PY

    for name in ("WebSocketPlugin", "WebSocketTool"):
        assert name in WS4PY
        assert hasattr(websocket, name)


def test_others_find_the_classes_that_do_the_work() -> None:
    names = "HTTPConnection, HTTPRequest, KnownLengthRFile, ThreadPool"
    code = f"from cherrypy.wsgiserver import {names}\n"
    code += f"print(all(isinstance(kind, type) for kind in ({names})))"
    assert run(code) == (0, "True")
    status, line = run("from cherrypy.wsgiserver import nothing")
    assert status == 1
    assert line.startswith("ImportError: cannot import name 'nothing'")


def test_there_is_no_cheroot_of_ours() -> None:
    """It would overwrite the real one, which others may need."""
    import importlib.metadata

    files = importlib.metadata.packages_distributions()
    assert "kirsch" not in files.get("cheroot", [])
