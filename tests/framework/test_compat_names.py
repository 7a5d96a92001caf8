"""Old names: helpers of two Pythons, and that every historical name is offered."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from cherrypy.framework import compat

NAMES = {
    "dispatch": "Dispatcher LateParamPageHandler MethodDispatcher PageHandler RoutesDispatcher "
    "VirtualHost XMLRPCDispatcher test_callable_spec",
    "config": "Config _Vars _engine_namespace_handler _if_filename_register_autoreload "
    "_server_namespace_handler _tree_namespace_handler environments merge",
    "logs": "LazyRfc3339UtcTime LogManager NullHandler WSGIErrorHandler logfmt logging",
    "body": "Entity Part RequestBody SizedReader _old_process_multipart inf process_multipart "
    "process_multipart_form_data process_urlencoded unquote_plus",
    "checker": "Checker",
    "compat": "HTTPSConnection IS_PYPY IS_WINDOWS SYS_PLATFORM assert_native ntob ntou "
    "text_or_bytes tonative",
    "reprconf": "Config NamespaceSet Parser _Builder attributes modules unrepr",
}


@pytest.mark.parametrize("module", NAMES)
def test_historical_names(module):
    room = importlib.import_module(f"cherrypy.framework.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(room, name)] == []


def test_no_package_has_an_object_called_like_its_module():
    package = importlib.import_module("cherrypy.framework.dispatch")
    for name in ("handlers", "objects", "methods", "routes", "wrappers"):
        assert getattr(package, name) is sys.modules[f"{package.__name__}.{name}"]


def test_strings():
    assert compat.ntob("\xe9") == b"\xe9"
    assert compat.ntob("\xe9", "utf-8") == b"\xc3\xa9"
    assert compat.ntou("\xe9") == "\xe9"
    assert compat.ntou("x", "escape") == "x"
    assert compat.tonative(b"\xe9") == "\xe9"
    assert compat.tonative("\u20ac") == "\u20ac"
    assert isinstance("x", compat.text_or_bytes)
    for call in (compat.ntob, compat.ntou, compat.assert_native):
        with pytest.raises(TypeError, match="n must be a native str"):
            call(b"x")


def test_https_connection_is_imported_when_asked_for():
    code = (
        "import sys; from cherrypy.framework import compat;"
        "assert 'http.client' not in sys.modules;"
        "from cherrypy.framework.compat import HTTPSConnection as C;"
        "import http.client; assert C is http.client.HTTPSConnection"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    with pytest.raises(AttributeError):
        compat.nothing
