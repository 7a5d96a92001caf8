"""What `import cherrypy` costs: every module has to be found, read and run before a program starts."""

from __future__ import annotations

import subprocess
import sys

#: Less than the goal, so that a few may come before somebody has to look.
MOST = 155

COUNT = "import sys, cherrypy; cherrypy.quickstart; print(*sorted(sys.modules))"


def imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    return set(done.stdout.split())


def test_import_cherrypy_loads_few_modules() -> None:
    found = imported(COUNT)
    assert "cherrypy.framework.request" in found
    assert len(found) <= MOST, sorted(found - imported("import sys; print(*sys.modules)"))


def test_what_few_programs_need_is_imported_when_they_do() -> None:
    late = {"binascii", "fcntl", "http", "http.cookies", "importlib", "importlib.machinery", "json"}
    code = "import sys; print(*sys.modules)"
    assert (imported(COUNT) - imported(code)).isdisjoint(late)
    # And is there under its names all the same.
    names = "cherrypy._json.json is json and cherrypy._json.decode('[1]') == [1]"
    more = "list(cherrypy._json.encode({'a': 1})) == [b'{\"a\": 1}']"
    encoders = "''.join(cherrypy._json._encode([1])) == '[1]'"
    assert imported(f"import cherrypy, json; print({names}, {more}, {encoders})") == {"True"}
