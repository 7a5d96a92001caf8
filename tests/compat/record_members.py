"""Record the members of objects and the parameters of callables of the real CherryPy.

    /path/to/venv-with-cherrypy/bin/python tests/compat/record_members.py

Only names and signatures are looked at, by introspection.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

import cherrypy

HERE = Path(__file__).parent

# dotted names of objects whose members programs use
OBJECTS = [
    "cherrypy.engine",
    "cherrypy.engine.autoreload",
    "cherrypy.engine.signal_handler",
    "cherrypy.engine.thread_manager",
    "cherrypy.server",
    "cherrypy.tree",
    "cherrypy.config",
    "cherrypy.log",
    "cherrypy.tools",
    "cherrypy.serving",
    "cherrypy.checker",
    "cherrypy._cprequest.Request",
    "cherrypy._cprequest.Response",
    "cherrypy._cprequest.Hook",
    "cherrypy._cprequest.HookMap",
    "cherrypy._cprequest.ResponseBody",
    "cherrypy._cptree.Application",
    "cherrypy._cptree.Tree",
    "cherrypy._cptools.Tool",
    "cherrypy._cptools.HandlerTool",
    "cherrypy._cptools.HandlerWrapperTool",
    "cherrypy._cptools.ErrorTool",
    "cherrypy._cptools.SessionTool",
    "cherrypy._cptools.CachingTool",
    "cherrypy._cptools.Toolbox",
    "cherrypy._cptools.XMLRPCController",
    "cherrypy._cpreqbody.Entity",
    "cherrypy._cpreqbody.Part",
    "cherrypy._cpreqbody.RequestBody",
    "cherrypy._cpdispatch.Dispatcher",
    "cherrypy._cpdispatch.MethodDispatcher",
    "cherrypy._cpdispatch.RoutesDispatcher",
    "cherrypy._cpdispatch.PageHandler",
    "cherrypy._cpdispatch.LateParamPageHandler",
    "cherrypy._cperror.HTTPError",
    "cherrypy._cperror.HTTPRedirect",
    "cherrypy._cperror.InternalRedirect",
    "cherrypy._cperror.NotFound",
    "cherrypy._cplogging.LogManager",
    "cherrypy._cpwsgi.CPWSGIApp",
    "cherrypy._cpwsgi.VirtualHost",
    "cherrypy._cpwsgi.AppResponse",
    "cherrypy._cpchecker.Checker",
    "cherrypy._cpconfig.Config",
    "cherrypy.lib.sessions.Session",
    "cherrypy.lib.sessions.RamSession",
    "cherrypy.lib.sessions.FileSession",
    "cherrypy.lib.sessions.MemcachedSession",
    "cherrypy.lib.caching.MemoryCache",
    "cherrypy.lib.caching.AntiStampedeCache",
    "cherrypy.lib.auth_digest.HttpDigestAuthorization",
    "cherrypy.lib.cptools.SessionAuth",
    "cherrypy.lib.encoding.ResponseEncoder",
    "cherrypy.lib.httputil.HeaderMap",
    "cherrypy.lib.httputil.HeaderElement",
    "cherrypy.lib.httputil.AcceptElement",
    "cherrypy.lib.httputil.CaseInsensitiveDict",
    "cherrypy.lib.httputil.Host",
    "cherrypy.lib.reprconf.Config",
    "cherrypy.lib.reprconf.Parser",
    "cherrypy.lib.reprconf.NamespaceSet",
    "cherrypy.lib.locking.Timer",
    "cherrypy.lib.locking.LockChecker",
    "cherrypy.process.wspbus.Bus",
    "cherrypy.process.wspbus.ChannelFailures",
    "cherrypy.process.plugins.SimplePlugin",
    "cherrypy.process.plugins.SignalHandler",
    "cherrypy.process.plugins.DropPrivileges",
    "cherrypy.process.plugins.Daemonizer",
    "cherrypy.process.plugins.PIDFile",
    "cherrypy.process.plugins.Monitor",
    "cherrypy.process.plugins.BackgroundTask",
    "cherrypy.process.plugins.PerpetualTimer",
    "cherrypy.process.plugins.Autoreloader",
    "cherrypy.process.plugins.ThreadManager",
    "cherrypy.process.servers.ServerAdapter",
]


def resolve(name: str) -> object:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def parameters(found: object) -> list[list[object]] | None:
    try:
        signature = inspect.signature(found)  # type: ignore[arg-type]  # whatever was found
    except (TypeError, ValueError):
        return None
    return [[p.name, p.kind.name, p.default is not p.empty] for p in signature.parameters.values()]


def public(name: str) -> bool:
    return not name.startswith("_")


def main() -> None:
    members: dict[str, list[str]] = {}
    signatures: dict[str, list[list[object]]] = {}
    for name in OBJECTS:
        found = resolve(name)
        members[name] = [m for m in dir(found) if public(m)]
        for m in members[name]:
            value = inspect.getattr_static(found, m, None)
            if inspect.isroutine(value) and (told := parameters(getattr(found, m))) is not None:
                signatures[f"{name}.{m}"] = told
    table = json.loads((HERE / "legacy_names.json").read_text())
    for module, names in table.items():
        module = module.removesuffix(".__init__")
        try:
            held = importlib.import_module(module)
        except ImportError:
            continue
        for n in names:
            value = getattr(held, n, None)
            if callable(value) and (told := parameters(value)) is not None:
                signatures[f"{module}.{n}"] = told
    members["cherrypy"] = [m for m in dir(cherrypy) if public(m) and m != "importlib_metadata"]
    text = json.dumps({"members": members, "signatures": signatures}, indent=0, sort_keys=True)
    (HERE / "legacy_members.json").write_text(text + "\n")
    print(len(members), "objects,", len(signatures), "signatures")


if __name__ == "__main__":
    main()
