"""The default toolbox, and every name that the old modules had."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cherrypy.lib
from cherrypy.lib import toolbox

#: name: class, point, priority, callable's name (observed on the original)
TOOLS = {
    "accept": ("Tool", "on_start_resource", 50, "accept"),
    "allow": ("Tool", "on_start_resource", 50, "allow"),
    "auth_basic": ("Tool", "before_handler", 1, "basic_auth"),
    "auth_digest": ("Tool", "before_handler", 1, "digest_auth"),
    "autovary": ("Tool", "on_start_resource", 0, "autovary"),
    "caching": ("CachingTool", "before_handler", 50, "get"),
    "decode": ("Tool", "before_request_body", 50, "decode"),
    "encode": ("Tool", "before_handler", 70, "ResponseEncoder"),
    "err_redirect": ("ErrorTool", None, 50, "redirect"),
    "etags": ("Tool", "before_finalize", 75, "validate_etags"),
    "expires": ("Tool", "before_finalize", 50, "expires"),
    "flatten": ("Tool", "before_finalize", 50, "flatten"),
    "gzip": ("Tool", "before_finalize", 80, "gzip"),
    "ignore_headers": ("Tool", "before_request_body", 50, "ignore_headers"),
    "json_in": ("Tool", "before_request_body", 30, "json_in"),
    "json_out": ("Tool", "before_handler", 30, "json_out"),
    "log_headers": ("Tool", "before_error_response", 50, "log_request_headers"),
    "log_hooks": ("Tool", "on_end_request", 100, "log_hooks"),
    "log_tracebacks": ("Tool", "before_error_response", 50, "log_traceback"),
    "params": ("Tool", "before_handler", 15, "convert_params"),
    "proxy": ("Tool", "before_request_body", 30, "proxy"),
    "redirect": ("Tool", "on_start_resource", 50, "redirect"),
    "referer": ("Tool", "before_request_body", 50, "referer"),
    "response_headers": ("Tool", "on_start_resource", 50, "response_headers"),
    "session_auth": ("SessionAuthTool", "before_handler", 50, "session_auth"),
    "sessions": ("SessionTool", "before_request_body", 50, "init"),
    "staticdir": ("HandlerTool", "before_handler", 50, "staticdir"),
    "staticfile": ("HandlerTool", "before_handler", 50, "staticfile"),
    "trailing_slash": ("Tool", "before_handler", 60, "trailing_slash"),
    "xmlrpc": ("ErrorTool", None, 50, "on_error"),
}


#: Those the original does not have.
TOOLS |= {
    "allowed_hosts": ("AllowedHostsTool", "on_start_resource", 5, "allowed_hosts"),
    "compress": ("Tool", "before_finalize", 79, "compress"),
    "cors": ("CorsTool", "on_start_resource", 10, "cors"),
    "csrf": ("CsrfTool", "before_handler", 2, "csrf"),
    "rate_limit": ("RateLimitTool", "before_request_body", 35, "rate_limit"),
    "websocket": ("WebSocketTool", "before_handler", 90, "open_websocket"),
    "monitor": ("MonitorTool", "on_start_resource", 50, "monitor"),
    "secure_headers": ("SecureHeadersTool", "before_finalize", 60, "secure_headers"),
}


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool(name):
    kind, point, priority, callback = TOOLS[name]
    tool = getattr(toolbox.default_toolbox, name)
    assert type(tool).__name__ == kind
    assert tool._name == name
    assert tool.namespace == "tools"
    assert tool._point == point
    assert tool._priority == priority
    assert tool.callable.__name__ == callback
    assert tool.__doc__
    for argument in toolbox._getargs(tool.callable):
        assert hasattr(tool, argument)


def test_what_is_not_turned_on_has_no_hooks():
    """A request without the tools for security does not pay for them."""
    from cherrypy.framework.config import Plan
    from cherrypy.framework.request import _NAMESPACES
    from cherrypy.framework.templates import template
    from cherrypy.framework.wiring import DEFAULTS

    made = template(Plan((DEFAULTS,), None), _NAMESPACES, {"tools": toolbox.default_toolbox})
    assert set(made.points) == {"before_error_response", "before_handler"}
    assert made.simple
    assert len(made.points["before_handler"]) == 2


def test_there_are_no_others():
    box = toolbox.default_toolbox
    names = {name for name in dir(box) if isinstance(getattr(box, name), toolbox.Tool)}
    # cpstats binds its own when it is imported.
    assert names - {"cpstats"} == set(TOOLS)
    assert toolbox._d is box


def test_tools_that_come_late_are_made_once_when_asked_for():
    box = toolbox.Toolbox("late")
    made = []

    def make():
        made.append(toolbox.Tool("before_handler", len))
        return made[-1]

    box.add_late("own", make)
    assert "own" in dir(box) and not made
    assert box.own is box.own is made[0] and len(made) == 1
    assert (box.own._name, box.own.namespace) == ("own", "late")
    assert not hasattr(box, "other")
    with pytest.raises(AttributeError, match="There is no tool 'other' in the toolbox 'late'"):
        box.other


def test_staticdir_is_a_function_with_two_required_arguments():
    callback = toolbox.default_toolbox.staticdir.callable
    with pytest.raises(TypeError, match=r"staticdir\(\) missing 2 required positional arguments"):
        callback()


LEGACY = {
    "cherrypy._cptools": "CachingTool ErrorTool HandlerTool HandlerWrapperTool SessionAuthTool "
    "SessionTool Tool Toolbox XMLRPCController _attr_error _d _getargs default_toolbox",
    "cherrypy._json": "__all__ _encode decode encode json",
    "cherrypy.lib": "file_generator file_generator_limited is_closable_iterator is_iterator "
    "set_vary_header",
    "cherrypy.lib.auth_basic": "__author__ __date__ _try_decode basic_auth checkpassword_dict",
    "cherrypy.lib.auth_digest": "DEFAULT_CHARSET FALLBACK_CHARSET H HttpDigestAuthorization TRACE "
    "__author__ __date__ _get_charset_declaration _respond_401 _try_decode_header digest_auth "
    "get_ha1_dict get_ha1_dict_plain get_ha1_file_htdigest md5_hex qop_auth qop_auth_int "
    "synthesize_nonce valid_algorithms valid_qops www_authenticate",
    "cherrypy.lib.caching": "AntiStampedeCache Cache MemoryCache expires get tee_output",
    "cherrypy.lib.covercp": "CoverStats TEMPLATE_COVERAGE TEMPLATE_FORM TEMPLATE_FRAMESET "
    "TEMPLATE_ITEM TEMPLATE_LOC_COVERED TEMPLATE_LOC_EXCLUDED TEMPLATE_LOC_NOT_COVERED "
    "TEMPLATE_MENU _graft _percent _show_branch _skip_file get_tree localFile serve start "
    "the_coverage",
    "cherrypy.lib.cpstats": "ByteCountWrapper StatsPage StatsTool _get_threading_ident appstats "
    "average_uriset_time cherrypy extrapolate_statistics iso_format locale_date missing "
    "pause_resume proc_time thisdir",
    "cherrypy.lib.cptools": "MonitoredHeaderMap SessionAuth accept allow autovary convert_params "
    "flatten ignore_headers log_hooks log_request_headers log_traceback proxy redirect referer "
    "response_headers session_auth trailing_slash validate_etags validate_since",
    "cherrypy.lib.encoding": "ResponseEncoder UTF8StreamEncoder _COMPRESSION_LEVEL_BEST "
    "_COMPRESSION_LEVEL_FAST compress decode decompress gzip prepare_iter",
    "cherrypy.lib.gctools": "GCRoot ReferrerTree RequestCounter get_context get_instances "
    "request_counter",
    "cherrypy.lib.headers": "parse_header",
    "cherrypy.lib.httputil": "AcceptElement CaseInsensitiveDict HTTPDate HeaderElement HeaderMap "
    "Host RE_HEADER_SPLIT SanitizedHost _parse_qs decode_TEXT decode_TEXT_maybe get_ranges "
    "header_elements image_map_pattern parse_query_string protocol_from_http q_separator "
    "response_codes urljoin urljoin_bytes valid_status",
    "cherrypy.lib.jsontools": "json_handler json_in json_out json_processor",
    "cherrypy.lib.locking": "LockChecker LockTimeout NeverExpires Timer",
    "cherrypy.lib.profiler": "ProfileAggregator Profiler _count make_app new_func_strip_path serve",
    "cherrypy.lib.reprconf": "Config NamespaceSet Parser _Builder attributes modules unrepr",
    "cherrypy.lib.sessions": "FileSession MemcachedSession RamSession Session "
    "_add_MSIE_max_age_workaround close expire init missing save set_response_cookie",
    "cherrypy.lib.static": "_attempt _make_content_disposition _serve_fileobj _setup_mimetypes "
    "serve_download serve_file serve_fileobj staticdir staticfile",
    "cherrypy.lib.xmlrpcutil": "_set_response on_error patched_path process_body respond",
}


@pytest.mark.parametrize("module", LEGACY)
def test_old_names(module):
    room = importlib.import_module(module)
    missing = [name for name in LEGACY[module].split() if not hasattr(room, name)]
    assert not missing


def test_no_module_is_shadowed_by_a_name_of_its_package():
    folder = Path(cherrypy.lib.__file__).parent
    for path in folder.glob("*.py"):
        name = path.stem
        if name != "__init__":
            found = getattr(cherrypy.lib, name, None)
            assert found is None or inspect.ismodule(found), name


def test_heavy_modules_are_imported_late():
    code = "import cherrypy.lib.toolbox, sys, json;print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    modules = set(json.loads(run.stdout))
    heavy = {
        "pickle",
        "xmlrpc",
        "xmlrpc.client",
        "email",
        "http.client",
        "urllib.request",
        "mimetypes",
        "hashlib",
        "gzip",
        "tempfile",
        "memcache",
        "pymemcache",
    }
    assert not heavy & modules


def test_statistics(serve):
    from cherrypy.framework.helpers import expose
    from cherrypy.lib import cpstats

    class Root:
        stats = cpstats.StatsPage()

        @expose
        def index(self):
            return "x"

    before = cpstats.appstats["Total Requests"]
    conf = {"tools.cpstats.on": True, "tools.cpstats.uriset": "all"}
    site = serve(Root(), conf)
    assert site("/").body == b"x"
    assert cpstats.appstats["Total Requests"] == before + 1
    assert cpstats.appstats["Current Requests"] == 0
    data = json.loads(site("/stats/data").body)["CherryPy Applications"]
    assert data["URI Set Tracking"]["all"]["Count"] >= 1
    assert data["Total Bytes Written"] >= 1
    assert "<h1>CherryPy Applications</h1>" in site("/stats/").text
    assert site("/stats/pause", "namespace=CherryPy+Applications").status == 405
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"namespace=CherryPy+Applications"
    try:
        assert site("/stats/pause", method="POST", body=body, headers=form).status == 303
        count = cpstats.appstats["Total Requests"]
        site("/")
        assert cpstats.appstats["Total Requests"] == count
    finally:
        site("/stats/resume", method="POST", body=body, headers=form)
    assert cpstats.appstats["Enabled"] is True
    nested = {"a": 1, "b": lambda s: s["a"] + 1, "d": [1, {"z": lambda s: 5}]}
    assert cpstats.extrapolate_statistics(nested) == {"a": 1, "b": 2, "d": [1, {"z": 5}]}


def test_profiles(tmp_path, serve):
    from cherrypy.lib import profiler

    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"x"]

    for aggregate in (False, True):
        path = tmp_path / str(aggregate)
        made = profiler.make_app(app, str(path), aggregate=aggregate)
        for _ in range(2):
            assert made({}, lambda *args: None) == [b"x"]
        names = made.profiler.statfiles()
        assert len(names) == (1 if aggregate else 2)
        site = serve(made.profiler)
        assert names[0] in site("/menu").text
        assert "function calls" in site("/report", f"filename={names[0]}").text
        assert site("/report", "filename=../x").status == 404


def test_leak_pages(serve):
    from cherrypy.lib import gctools

    text = serve(gctools.GCRoot())("/stats").text
    assert text.startswith("Statistics:")
    marker = ["leaked"]
    keeper = {"marker": marker}
    tree = gctools.ReferrerTree(maxdepth=1)
    assert any("marker" in line for line in tree.format(tree.ascend(marker))), keeper
    assert tree.peek("x" * 100) == "x" * 20 + "..." + "x" * 20
    assert len(gctools.get_instances(gctools.GCRoot)) >= 1
