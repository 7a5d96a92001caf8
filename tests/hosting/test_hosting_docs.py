"""The samples of docs/servers.md, docs/timeouts.md and docs/tls.md, each run as a program of its own."""

import pytest

import cherrypy.daemon
from cherrypy.hosting.adapter import Server
from cherrypy.hosting.ssladapter import SETTINGS
from docs_kit import check_program, page, programs


@pytest.mark.parametrize("source", programs("servers", "timeouts", "tls"))
def test_a_sample_prints_what_its_comments_say(source):
    check_program(source)


def test_the_table_has_every_option_of_the_command():
    text = page("servers")
    for action in cherrypy.daemon.parser()._actions:
        for option in set(action.option_strings) - {"-h", "--help", "--version"}:
            assert f"`{option}" in text, option


def test_the_page_on_tls_has_every_setting():
    text = page("tls")
    for ours, theirs in SETTINGS.items():
        assert f"| `{ours}` | `{theirs}` |" in text
    for name in vars(Server):
        if name.startswith("ssl_"):
            assert f"| `{name}` |" in text, name
