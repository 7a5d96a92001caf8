"""The names programs count on: modules, members of objects, parameters, data files."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NAMES: dict[str, list[str]] = json.loads((HERE / "legacy_names.json").read_text())
RECORDED: dict[str, Any] = json.loads((HERE / "legacy_members.json").read_text())

# Members that are accidents of the real implementation, not interface.
ACCIDENTS = {
    "cherrypy._cptree.Application.script_name_doc",
    "cherrypy.server.statistics",
    "cherrypy._cperror.HTTPRedirect.urls",  # of instances
    "cherrypy.lib.sessions.MemcachedSession.mc_lock",  # guards a client; ours need no guard
    # of the configparser of Python 3.11, where the table was recorded
    "cherrypy.lib.reprconf.Parser.readfp",
}

# Callables whose parameters differ on purpose.
OTHER_PARAMETERS: dict[str, str] = {
    "cherrypy._cpcompat.HTTPSConnection": "the standard library's, which differs by version",
    **{
        f"cherrypy.lib.httputil.{kind}.{method}": "as dict has it, instead of *args, **kwargs"
        for kind in ("CaseInsensitiveDict", "HeaderMap")
        for method in ("get", "pop", "setdefault")
    },
    "cherrypy._helper.popargs": "names its only keyword, handler",
    "cherrypy._cpnative_server.NativeGateway": "made by the server only",
    "cherrypy._cpwsgi_server.CPWSGIHTTPRequest": "made by the server only",
}


def in_scope(name: str) -> bool:
    """Whether `name` is to take its old parameters."""
    return name not in OTHER_PARAMETERS and name not in ACCIDENTS


def resolve(name: str) -> Any:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


@pytest.mark.parametrize("module", sorted(NAMES))
def test_module_offers_its_old_names(module: str) -> None:
    name = module.removesuffix(".__init__")
    held = importlib.import_module(name)
    missing = [n for n in NAMES[module] if not hasattr(held, n)]
    assert not missing


def test_the_table_of_types_is_had_from_static() -> None:
    """Products import it from there, and expect what the framework has added to it."""
    program = "from cherrypy.lib.static import mimetypes as m; print(m.guess_type('a.dwg')[0])"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.strip() == "image/x-dwg", done.stderr
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from cherrypy.lib.static import no_such_name")


@pytest.mark.parametrize("name", sorted(RECORDED["members"]))
def test_object_offers_its_old_members(name: str) -> None:
    import cherrypy  # noqa: F401 imports the names

    found = resolve(name)
    missing = [
        m
        for m in RECORDED["members"][name]
        if not hasattr(found, m) and f"{name}.{m}" not in ACCIDENTS
    ]
    assert not missing


KINDS = inspect.Parameter


def accepts(found: Any, wanted: list[list[Any]]) -> str:
    """What a call written for the wanted parameters would stumble over; '' if nothing."""
    try:
        mine = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return ""
    kinds = {p.kind for p in mine.values()}
    positional = [
        n for n, p in mine.items() if p.kind in (KINDS.POSITIONAL_ONLY, KINDS.POSITIONAL_OR_KEYWORD)
    ]
    seen = 0
    for name, kind, _default in wanted:
        if kind == "VAR_KEYWORD":
            if KINDS.VAR_KEYWORD not in kinds:
                return f"**{name} is not taken"
        elif kind == "VAR_POSITIONAL":
            if KINDS.VAR_POSITIONAL not in kinds:
                return f"*{name} is not taken"
        elif name not in mine and KINDS.VAR_KEYWORD not in kinds:
            return f"{name} is not taken"
        elif kind == "POSITIONAL_OR_KEYWORD":
            if name in positional and positional.index(name) != seen:
                return f"{name} is not at position {seen}"
            seen += 1
    optional = {name for name, kind, default in wanted if default or "VAR" in kind}
    required = {
        n
        for n, p in mine.items()
        if p.default is p.empty and p.kind not in (KINDS.VAR_KEYWORD, KINDS.VAR_POSITIONAL)
    }
    extra = required - {w[0] for w in wanted} if KINDS.VAR_KEYWORD in kinds or wanted else required
    if extra and not any("VAR" in w[1] for w in wanted):
        return f"{sorted(extra)} would be missing"
    if required & optional:
        return f"{sorted(required & optional)} have lost their default"
    return ""


@pytest.mark.parametrize("name", sorted(filter(in_scope, RECORDED["signatures"])))
def test_callable_takes_its_old_parameters(name: str) -> None:
    import cherrypy  # noqa: F401 imports the names

    try:
        found = resolve(name)
    except AttributeError:
        pytest.skip("missing: another test tells")
    assert accepts(found, RECORDED["signatures"][name]) == ""


IMPORTS = """
cherrypy: expose tools _cptools _json Application HTTPError HTTPRedirect InternalRedirect Tool config
    dispatch engine log popargs quickstart request response server serving servers tree url NotFound
    TimeoutError CherryPyException thread_data wsgi process lib checker
cherrypy._cpcompat: HTTPSConnection ntob ntou tonative text_or_bytes
cherrypy._cptree: Application Tree
cherrypy._json: json decode encode
cherrypy._cpnative_server: CPHTTPServer
cherrypy._cpwsgi_server: CPWSGIServer CPWSGIHTTPRequest
cherrypy._cptools: Tool Toolbox HandlerWrapperTool XMLRPCController
cherrypy.lib: auth_basic auth_digest gctools httputil reprconf sessions static file_generator
cherrypy.lib.httputil: HTTPDate decode_TEXT get_ranges response_codes urljoin valid_status
cherrypy.lib.static: serve_file serve_fileobj serve_download staticdir staticfile _serve_fileobj
cherrypy.lib.sessions: RamSession FileSession MemcachedSession expire
cherrypy.process: plugins servers wspbus
cherrypy.process.servers: _safe_wait ServerAdapter FlupFCGIServer
cherrypy.process.wspbus: Bus ChannelFailures bus states
cherrypy.test: helper logtest webtest
cherrypy.test.webtest: WebCase openURL shb interface cleanHeaders ServerError server_error
    ignored_exceptions methods_with_bodies NonDataProperty strip_netloc getchar
cherrypy.test.helper: CPWebCase CPProcess LocalSupervisor LocalWSGISupervisor
    NativeServerSupervisor setup_client log_to_stderr
cherrypy.test.logtest: LogCase
"""


def import_surface() -> list[tuple[str, str]]:
    found = []
    module = ""
    for word in IMPORTS.split():
        if word.endswith(":"):
            module = word[:-1]
        else:
            found.append((module, word))
    return found


@pytest.mark.parametrize(("module", "name"), import_surface())
def test_from_module_import_name(module: str, name: str) -> None:
    held = importlib.import_module(module)
    if not hasattr(held, name):
        importlib.import_module(f"{module}.{name}")


REACHED = """
_cperror _cplogging _cprequest _cptools _cptree _cpwsgi dispatch lib.cptools lib.encoding
lib.httputil lib.reprconf engine server servers tree config log tools serving request response
_cpreqbody _cpconfig _cpdispatch _cpserver _cpchecker _cpcompat _helper process.wspbus
process.plugins process.servers lib.static lib.sessions lib.auth_basic
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Where the real one needs an import of its own, ours does without.
@pytest.mark.parametrize("name", REACHED.split())
def test_reached_after_a_bare_import(name: str) -> None:
    """In a process of its own: another test may have imported it."""
    assert run(f"import cherrypy; cherrypy.{name}; print('ok')") == "ok"


def test_old_private_modules_are_the_real_ones() -> None:
    """The same object, so that a patch is seen."""
    assert run(
        "import cherrypy, sys; import cherrypy._cptree as a; "
        "print(a is cherrypy._cptree is sys.modules['cherrypy._cptree'], "
        "a.Application is cherrypy.Application)"
    ) == ("True True")


def test_session_appears_with_the_tool_only() -> None:
    assert run("import cherrypy; print(hasattr(cherrypy, 'session'))") == "False"


def test_attributes_of_the_package_may_be_set() -> None:
    assert (
        run(
            "import cherrypy\ncherrypy.db = 1; cherrypy.log2 = 2\n"
            "cherrypy.tree = cherrypy._cptree.Tree(); cherrypy.session = {}\n"
            "print(cherrypy.db, cherrypy.tree.apps)"
        )
        == "1 {}"
    )


def test_favicon_is_installed() -> None:
    import cherrypy

    assert (Path(cherrypy.__file__).parent / "favicon.ico").stat().st_size > 0


def test_logger_names() -> None:
    import cherrypy

    assert cherrypy.log.error_log.name == "cherrypy.error"
    assert cherrypy.log.access_log.name == "cherrypy.access"


def test_repr_of_states() -> None:
    import cherrypy

    states = cherrypy.engine.states
    assert [repr(getattr(states, n)) for n in ("STOPPED", "STARTING", "STARTED", "EXITING")] == [
        "states.STOPPED",
        "states.STARTING",
        "states.STARTED",
        "states.EXITING",
    ]


def test_attributes_of_a_dotted_string() -> None:
    from cherrypy.lib import reprconf, sessions

    assert reprconf.attributes("cherrypy.lib.sessions.RamSession") is sessions.RamSession
    assert reprconf.attributes("cherrypy._cpwsgi_server.CPWSGIServer").__name__ == "CPWSGIServer"


def test_tools_named_in_the_contract() -> None:
    import cherrypy

    wanted = (
        "accept auth_basic auth_digest autovary caching decode encode err_redirect etags expires "
        "flatten gzip json_in json_out log_headers log_hooks log_tracebacks params proxy referer "
        "response_headers session_auth sessions staticdir staticfile trailing_slash xmlrpc"
    )
    assert [t for t in wanted.split() if not hasattr(cherrypy.tools, t)] == []
