"""The tables of the documentation in which names are looked up, and what the code has under these names."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cherrypy
from cherrypy.framework import body, config, request, response
from cherrypy.lib import caching, cptools, encoding, toolbox
from cherrypy.websocket import relay
from docs_kit import page

TOP = Path(__file__).resolve().parents[2]

#: Instead of a default: there is none, or none that can be written down.
NONE_SAID = object()

CODE = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """A line of a table: what the name stands for."""

    kind: str
    default: str
    words: str


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables(name: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Each table of `docs/<name>.md`: its header and its lines."""
    text = re.sub(r"^```.*?^```", "", page(name), flags=re.DOTALL | re.MULTILINE)
    for found in re.finditer(r"^(\|.*\n)\|[-:| ]+\|\n((?:\|.*\n)*)", text, re.MULTILINE):
        yield cells(found[1]), [cells(line) for line in found[2].splitlines()]


def lines_of(name: str, *header: str) -> list[list[str]]:
    """The lines of all tables of a page that have this header."""
    found = [line for head, lines in tables(name) if head == list(header) for line in lines]
    assert found, f"docs/{name}.md has no table of {header}"
    return found


def rows(name: str, first: str) -> dict[str, Row]:
    """What the tables of a page, with a type, a default and an effect for each name, say."""
    found = {}
    for line in lines_of(name, first, "type", "default", "effect"):
        key = CODE.fullmatch(line[0])
        assert key, line
        assert key[1] not in found, key[1]
        found[key[1]] = Row(line[1], line[2], line[3])
    return found


def public(owner: type, *without: str) -> dict[str, Any]:
    """The attributes of a class that are no methods, with their values."""
    found = {}
    for name in dir(owner):
        kept = inspect.getattr_static(owner, name)
        if not name.startswith("_") and not callable(kept) and name not in without:
            found[name] = NONE_SAID if isinstance(kept, property) else getattr(owner, name)
    return found


# ------------------------------------------------------------------------------------ tools


def default_tools() -> dict[str, Any]:
    """The tools of the default toolbox, those that come late as well."""
    box = toolbox.default_toolbox
    tools = {name: getattr(box, name) for name in dir(box)}
    # Statistics bring their own when they are imported.
    return {n: t for n, t in tools.items() if isinstance(t, toolbox.Tool) and n != "cpstats"}


def _parameters(callback: Any) -> dict[str, Any]:
    plain = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {
        one.name: NONE_SAID if one.default is one.empty else one.default
        for one in inspect.signature(callback).parameters.values()
        if one.kind is plain
    }


def arguments(name: str, tool: Any) -> dict[str, Any]:
    """The arguments of a tool, with their defaults."""
    if name == "encode":
        found = public(encoding.ResponseEncoder)
        found = {key: found[key] for key in _ENCODER}
    elif name == "session_auth":
        own = vars(cptools.SessionAuth)
        given = [key for key in own if not key.startswith(("_", "do_")) and key != "run"]
        found = dict.fromkeys(given, None) | {"session_key": cptools.SessionAuth.session_key}
    elif name == "xmlrpc":
        found = {"encoding": "utf-8", "allow_none": 0}
    else:
        found = _parameters(tool.callable)
    if name == "caching":
        cache = caching.MemoryCache
        numbers = {k: v for k, v in vars(cache).items() if k[0] != "_" and type(v) in (int, float)}
        found |= numbers | {"cache_class": cache}
    found.pop("debug", None)
    return found


_ENCODER = ("encoding", "default_encoding", "errors", "text_only", "add_charset")

# --------------------------------------------------------------------------------- config keys


def server_keys() -> dict[str, Any]:
    server = type(cherrypy.server)
    found = public(server, "bound_addr", "description", "interrupt", "running")
    return found | {"socket_host": server._socket_host, "bind_addr": ("127.0.0.1", 8080)}


def log_keys() -> dict[str, Any]:
    found = public(type(cherrypy.log), "access_log", "error_log", "appid", "logger_root")
    # What `import cherrypy` has set, for those who run this may have another one by now.
    return found | {"screen": True, "error_file": "", "access_file": "", "wsgi": False}


#: Of each plugin of the engine: what is no setting of it.
_STATE = {
    "autoreload": "bus callback mtimes name thread",
    "timeout_monitor": "bus callback name thread take marked answered servings",
    "thread_manager": "bus threads alone",
    "signal_handler": "bus signals",
    "signals": "bus",
    "console_control_handler": "bus is_set",
}


def engine_keys() -> dict[str, Any]:
    engine = cherrypy.engine
    found = public(type(engine), "execv", "leaving", "state", "states")
    found["max_cloexec_files"] = NONE_SAID  # the system's
    found["SIGTERM"] = NONE_SAID
    for name, plugin in vars(engine).items():
        if not hasattr(plugin, "subscribe") or name not in _STATE:
            continue
        if name not in ("signals", "console_control_handler"):
            found[f"{name}.on"] = name != "signal_handler"
        for key in {*vars(plugin), *public(type(plugin))} - set(_STATE[name].split()):
            value = getattr(type(plugin), key, NONE_SAID)
            if not key.startswith("_"):
                found[f"{name}.{key}"] = set() if key == "files" else value
    found["signal_handler.handlers"] = NONE_SAID
    for key, value in public(relay.Relay, "bus", "connected").items():
        found[f"websocket.{key}"] = value
    return found


#: Attributes that requests have once certain tools have been made.
BY_TOOLS = {"json", "csrf_token", "csp_nonce"}

#: What is told of a request, in contrast to what is set; docs/requests.md has it.
FACTS = (
    set(public(request.Request))
    - BY_TOOLS
    - {
        "dispatch",
        "error_response",
        "methods_with_bodies",
        "process_request_body",
        "query_string_encoding",
        "show_mismatched_params",
        "show_tracebacks",
        "throw_errors",
        "throws",
    }
)

_BODY_FACTS = (
    "charset",
    "content_type",
    "file",
    "filename",
    "fp",
    "headers",
    "length",
    "name",
    "params",
    "parts",
    "value",
)

#: Too long to write down.
_LONG = ("dispatch", "error_response", "throws")


def request_keys() -> dict[str, Any]:
    found = {k: v for k, v in public(request.Request).items() if k not in FACTS | BY_TOOLS}
    found["dispatch"] = request.Request.dispatch
    found |= dict.fromkeys(_LONG, NONE_SAID)
    found["uri_encoding"] = "utf-8"  # asked for before there is a request
    for key, value in public(body.RequestBody, *_BODY_FACTS).items():
        found[f"body.{key}"] = value
    return found | dict.fromkeys(("body.processors", "body.part_class"), NONE_SAID)


def response_keys() -> dict[str, Any]:
    facts = ("body", "cookie", "header_list", "headers", "output_status", "time", "timed_out")
    found = public(response.Response, *facts)
    return found | {"status": None, "headers.<name>": NONE_SAID}


def config_keys() -> dict[str, Any]:
    """Every key of every namespace but `tools`, with its default."""
    found: dict[str, Any] = {
        "environment": None,
        "tree.graft": None,
        "tree.<name>": NONE_SAID,
        "checker.on": cherrypy.checker.on,
        "error_page.<code>": NONE_SAID,
        "error_page.default": NONE_SAID,
        "hooks.<point>": NONE_SAID,
        "wsgi.pipeline": NONE_SAID,
        "wsgi.response_class": NONE_SAID,
        "wsgi.<name>.<argument>": NONE_SAID,
    }
    spaces = {
        "server": server_keys,
        "engine": engine_keys,
        "log": log_keys,
        "request": request_keys,
        "response": response_keys,
    }
    for space, keys in spaces.items():
        found |= {f"{space}.{key}": value for key, value in keys().items()}
    return found


def namespaces() -> set[str]:
    """All namespaces of the site, of applications and of requests."""
    app = cherrypy.Application(None)
    return {*config.Config.namespaces, *app.namespaces, *app.toolboxes, *request._NAMESPACES}


# ------------------------------------------------------------------------------------- channels


def published() -> set[str]:
    """The channels that our own code publishes on by name."""
    found = set()
    for path in (TOP / "src" / "cherrypy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "publish"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(node.args[0].value)
    return found
