"""`packaging/cherrypy`: what requires CherryPy installs beside kirsch, from local paths alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]

PLUGIN = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "a-plugin"
version = "1"
dependencies = ["CherryPy>=18,<19"]

[tool.setuptools]
py-modules = ["a_plugin"]
"""

USE = """
import importlib.metadata as metadata
import a_plugin, cherrypy, kirsch
from cherrypy.testing import Client
distribution = metadata.distribution('CherryPy')
files = [file for file in distribution.files if '.dist-info' not in str(file)]
print(distribution.version, distribution.requires[0], files)
print(cherrypy.__version__, metadata.version('kirsch') == kirsch.__version__)
cherrypy.log.screen = False
print(Client(a_plugin.Root()).get('/').text)
"""


def run(*command: object, cwd: Path | None = None) -> str:
    """A command that has to succeed, without an index to ask."""
    names = ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PYTHONPATH")
    env = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env | {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels of kirsch, of the companion, and of a plugin; built from copies."""
    folder = tmp_path_factory.mktemp("packaging")
    kirsch, companion, plugin = (folder / name for name in ("kirsch", "companion", "plugin"))
    kirsch.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, kirsch)
    unwanted = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(TOP / "src", kirsch / "src", ignore=unwanted)
    shutil.copytree(TOP / "packaging" / "cherrypy", companion, ignore=unwanted)
    plugin.mkdir()
    (plugin / "pyproject.toml").write_text(PLUGIN)
    (plugin / "a_plugin.py").write_text(
        "import cherrypy\n\nclass Root:\n    @cherrypy.expose\n"
        "    def index(self):\n        return 'plugged in'\n"
    )
    made = folder / "wheels"
    options = ("--no-index", "--no-deps", "--no-build-isolation", "-q", "-w", made)
    run(sys.executable, "-m", "pip", "wheel", *options, kirsch, companion, plugin)
    return made


def test_the_companion_has_no_files_and_the_version_of_the_framework(wheels: Path) -> None:
    import cherrypy

    (wheel,) = wheels.glob("[Cc]herry[Pp]y-*.whl")
    assert wheel.name.lower() == f"cherrypy-{cherrypy.__version__}+kirsch-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
    assert [name for name in names if ".dist-info/" not in name] == []
    assert re.search(r"^Name: CherryPy$", text, re.MULTILINE)
    assert re.search(r"^Requires-Dist: kirsch$", text, re.MULTILINE)


@pytest.mark.timeout(180)
def test_a_plugin_that_requires_cherrypy_installs_beside(wheels: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv)
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--no-index", "--find-links", wheels, "a-plugin")
    assert "No broken requirements" in run(python, "-m", "pip", "check")
    told = run(python, "-W", "error", "-c", USE, cwd=tmp_path).splitlines()
    assert told == ["18.10.0+kirsch kirsch []", "18.10.0 True", "plugged in"]
    # Without the companion the plugin would bring the real one, or nothing.
    run(python, "-m", "pip", "uninstall", "-y", "-q", "CherryPy")
    done = subprocess.run(
        [str(python), "-m", "pip", "check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "requires cherrypy" in done.stdout.lower()


def test_the_readme_says_how() -> None:
    assert "packaging/cherrypy" in (TOP / "README.md").read_text("utf-8")
