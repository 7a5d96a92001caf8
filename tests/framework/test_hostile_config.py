"""Broken configuration: what an operator is told of the file, the entry, and what to do."""

from __future__ import annotations

import configparser
import sys
import warnings

import pytest

from cherrypy.framework import reprconf
from cherrypy.framework.checker import Checker
from cherrypy.framework.site import site


def load(tmp_path, text: str | bytes):
    file = tmp_path / "site.conf"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return reprconf.Parser.load(str(file))


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("[global]\nlog.x = '100%'", configparser.InterpolationSyntaxError, ["log.x", "%%"]),
        ("[global]\nlog.x = '%(no)s'", configparser.InterpolationMissingOptionError, ["'no'"]),
        ("[global]\na.b = %(a.b)s", configparser.InterpolationDepthError, ["a.b"]),
        (b"[global]\na.b = '\xff'", UnicodeDecodeError, ["UTF-8"]),
        ("[global]\na.b = yes", ValueError, ["section: 'global'", "a.b", "quotes"]),
        ("[global]\na.b=1\na.b=2", configparser.DuplicateOptionError, ["a.b", "global"]),
        ("a.b = 1", configparser.MissingSectionHeaderError, ["a.b"]),
        ("[global]\na.b = (", ValueError, ["a.b"]),
        ("[global]\na.b = '\0'", ValueError, ["a.b"]),
        ("[global]\na.b = " + "(" * 5000, ValueError, ["a.b"]),
        ("[global]\na.b = " + "-" * 100000 + "1", ValueError, ["a.b"]),
    ],
)
def test_a_broken_file_is_named_with_its_entry(tmp_path, text, error, words):
    with pytest.raises(error) as found:
        load(tmp_path, text)
    for word in [str(tmp_path / "site.conf"), *words]:
        assert word in str(found.value)


@pytest.mark.parametrize(
    ("key", "value", "error", "words"),
    [
        ("engine.nosuch.frequency", 1, AttributeError, "the engine has no plugin 'nosuch'"),
        ("tree.app", 5, TypeError, "tree.app must be an application"),
        ("log.error_file", "/nonexistent/folder/x.log", OSError, "/nonexistent/folder/x.log"),
    ],
)
def test_an_entry_that_cannot_be_applied_is_named(key, value, error, words):
    with pytest.raises(error) as found:
        site.config.update({key: value})
    assert words in str(found.value)
    if sys.version_info >= (3, 11):
        assert key in "".join(found.value.__notes__)
    site.config.pop(key, None)


def test_a_slip_in_a_setting_of_the_server_is_found():
    import cherrypy.hosting.adapter as adapter

    before = dict(site.config)
    kept = site.__dict__.get("server")
    site.server = adapter.Server()
    try:
        dict.update(
            site.config,
            {"server.sokcet_port": 1, "server.two.on": True, "server.two.thread_pool": 1},
        )
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            Checker().check_server_settings()
        (warning,) = found
        assert "'server.sokcet_port' does nothing" in str(warning.message)
        assert "'socket_port'" in str(warning.message)
    finally:
        site.config.clear()
        dict.update(site.config, before)
        if kept is None:
            del site.server
        else:
            site.server = kept
