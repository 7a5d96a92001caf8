"""The samples of docs/advanced.md, each run as a program of its own; its sections are those of the original."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cherrypy.lib import reprconf

PAGE = Path(__file__).resolve().parents[2] / "docs" / "advanced.md"
TEXT = PAGE.read_text("utf-8")
SAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
SETTINGS = re.findall(r"^```ini\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_a_sample_prints_what_its_comments_say(number):
    source = SAMPLES[number]
    first = re.findall(r"^# prints first: (.*)", source, re.MULTILINE)
    promised = re.findall(r"^print\(.*\) +# (.*)", source, re.MULTILINE)
    later = re.findall(r"^# prints(?: last)?: (.*)", source, re.MULTILINE)
    assert promised or later or "win32" in source
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == first + promised + later
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", range(len(SETTINGS)))
def test_settings_can_be_read(number):
    found = reprconf.Parser().dict_from_file(io.StringIO(SETTINGS[number]))
    assert [section for section in found if found[section]] == list(found)


def test_it_has_the_sections_of_the_original():
    headings = re.findall(r"^##+ (.*)", TEXT, re.MULTILINE)
    assert [
        heading
        for heading in headings
        if "Windows service" not in heading and "ASGI" not in heading
    ] == [
        "Set aliases to page handlers",
        "Response timeouts",
        "Timeout monitor",
        "Deal with signals",
        "Windows console events",
        "Securing your server",
        "Multiple HTTP servers support",
        "WSGI support",
        "Make your CherryPy application a WSGI application",
        "Host a foreign WSGI application in CherryPy",
        "No need for the WSGI interface?",
        "WebSocket support",
    ]
