"""The samples of docs/advanced.md, each run as a program of its own; its sections are those of the original."""

from __future__ import annotations

import io
import re

import pytest

from cherrypy.hosting.asgi.settings import SocketSettings
from cherrypy.lib import reprconf
from docs_kit import check_program, page, programs, samples


@pytest.mark.parametrize("source", programs("advanced"))
def test_a_sample_prints_what_its_comments_say(source):
    assert "Traceback" not in check_program(source, silent="win32" in source)


@pytest.mark.parametrize("source", samples("advanced", "ini"))
def test_settings_can_be_read(source):
    found = reprconf.Parser().dict_from_file(io.StringIO(source))
    assert [section for section in found if found[section]] == list(found)


def test_it_has_the_sections_of_the_original():
    headings = re.findall(r"^##+ (.*)", page("advanced"), re.MULTILINE)
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


def test_the_table_has_every_setting_of_asgi_websockets_and_its_default():
    block = (
        page("advanced").partition("<!-- settings -->")[2].partition("<!-- end of settings -->")[0]
    )
    shown = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", block, re.MULTILINE))
    assert shown == {
        name: repr(getattr(SocketSettings, name)) for name in SocketSettings.__annotations__
    }
