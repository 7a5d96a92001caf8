"""Every name that programs know of these modules is where it has always been."""

from __future__ import annotations

import inspect

import pytest
from bus_kit import run_alone

from cherrypy import process
from cherrypy.process import plugins, servers, win32, wspbus

NAMES = {
    plugins: "Autoreloader BackgroundTask Daemonizer DropPrivileges Monitor PIDFile "
    "PerpetualTimer SignalHandler SimplePlugin ThreadManager _module__file__base",
    servers: "FlupCGIServer FlupFCGIServer FlupSCGIServer ServerAdapter Timeouts _safe_wait",
    win32: "ConsoleCtrlHandler PyWebService Win32Bus _ControlCodes control_codes signal_child",
    wspbus: "Bus ChannelFailures _StateEnum _startup_cwd bus states",
}

SIGNATURES = {
    wspbus.Bus.subscribe: "(self, channel, callback=None, priority=None)",
    wspbus.Bus.unsubscribe: "(self, channel, callback)",
    wspbus.Bus.publish: "(self, channel, *args, **kwargs)",
    wspbus.Bus.block: "(self, interval=0.1)",
    wspbus.Bus.wait: "(self, state, interval=0.1, channel=None)",
    wspbus.Bus.start_with_callback: "(self, func, args=None, kwargs=None)",
    wspbus.Bus.log: "(self, msg='', level=20, traceback=False)",
    plugins.SimplePlugin: "(bus)",
    plugins.SignalHandler: "(bus)",
    plugins.SignalHandler.set_handler: "(self, signal, listener=None)",
    plugins.DropPrivileges: "(bus, umask=None, uid=None, gid=None)",
    plugins.Daemonizer: "(bus, stdin='/dev/null', stdout='/dev/null', stderr='/dev/null')",
    plugins.PIDFile: "(bus, pidfile)",
    plugins.Monitor: "(bus, callback, frequency=60, name=None)",
    plugins.Autoreloader: "(bus, frequency=1, match='.*')",
    plugins.ThreadManager: "(bus)",
    servers.ServerAdapter: "(bus, httpserver=None, bind_addr=None)",
    servers._safe_wait: "(host, port)",
    win32.signal_child: "(service, command)",
}


@pytest.mark.parametrize("module", NAMES, ids=lambda module: module.__name__)
def test_names(module):
    missing = [name for name in NAMES[module].split() if not hasattr(module, name)]
    assert missing == []


def plain(function):
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_signatures(function):
    assert plain(function) == SIGNATURES[function]


def test_the_package():
    assert process.__all__ == ("bus", "plugins", "servers")
    assert process.bus is wspbus.bus
    assert wspbus.Bus.states is wspbus.states


def test_class_attributes_are_readable_without_an_instance():
    assert plugins.SimplePlugin.bus is None
    assert plugins.Monitor.callback is None
    assert plugins.Monitor.frequency == 60
    assert plugins.Monitor.thread is None
    assert plugins.Autoreloader.files is None
    assert plugins.ThreadManager.threads is None
    assert plugins.SignalHandler.handlers == {}
    assert wspbus.Bus.execv is False
    assert wspbus.Bus.max_cloexec_files >= 0


def test_the_import_is_light():
    heavy = ["asyncio", "ctypes", "email", "inspect", "logging", "socket", "subprocess", "tempfile"]
    done = run_alone(
        "import cherrypy.process.plugins, cherrypy.process.servers;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    assert done.stdout == "[]\n", done.stderr
