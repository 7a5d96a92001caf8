"""The samples of docs/servers.md, docs/timeouts.md and docs/tls.md, each run as a program of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cherrypy.daemon
from cherrypy.hosting.adapter import Server
from cherrypy.hosting.ssladapter import SETTINGS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "servers.md"
SAMPLES = [
    pytest.param(source, id=f"{page}-{number}")
    for page in ("servers", "timeouts", "tls")
    for number, source in enumerate(
        re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text("utf-8"), re.DOTALL)
    )
]


@pytest.mark.parametrize("source", SAMPLES)
def test_a_sample_prints_what_its_comments_say(source):
    promised = re.findall(r"print\(.*\)+ +# (.*)", source)
    assert promised
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised


def test_the_table_has_every_option_of_the_command():
    page = PAGE.read_text("utf-8")
    for action in cherrypy.daemon.parser()._actions:
        for option in set(action.option_strings) - {"-h", "--help", "--version"}:
            assert f"`{option}" in page, option


def test_the_page_on_tls_has_every_setting():
    page = (DOCS / "tls.md").read_text("utf-8")
    for ours, theirs in SETTINGS.items():
        assert f"| `{ours}` | `{theirs}` |" in page
    for name in vars(Server):
        if name.startswith("ssl_"):
            assert f"| `{name}` |" in page, name
