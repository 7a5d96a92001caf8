"""Signals to a site in a process of its own: who listens, and how it ends with requests in flight."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hosting_kit import ask, read_all, read_until, until

PRELUDE = """
import os, signal, sys, threading, time
import cherrypy

class Page:
    @cherrypy.expose
    def index(self):
        return 'a page'

    @cherrypy.expose
    def slow(self, seconds='0.8'):
        print('INSIDE', flush=True)
        time.sleep(float(seconds))
        return 'x' * 100000

    @cherrypy.expose
    @cherrypy.config(**{'response.stream': True})
    def stream(self):
        def chunks():
            print('INSIDE', flush=True)
            for _ in range(10):
                yield 'x' * 10000
                time.sleep(0.08)
        return chunks()

cherrypy.config.update({'server.socket_port': 0, 'engine.autoreload.on': False})
cherrypy.engine.subscribe(
    'start', lambda: print('PORT', cherrypy.server.bound_addr[1], flush=True), 90)
"""

QUICKSTART = "cherrypy.quickstart(Page())\nprint('END', flush=True)\n"

BY_HAND = """
cherrypy.tree.mount(Page())
cherrypy.engine.start()
cherrypy.engine.block()
print('END', flush=True)
"""


class Program:
    def __init__(self, tmp_path, source):
        path = tmp_path / "program.py"
        path.write_text(PRELUDE + textwrap.dedent(source))
        self.log = tmp_path / "log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", str(path)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def __enter__(self):
        until(lambda: "Bus STARTED" in self.text(), "the start", 20)
        port = self.text().partition("PORT ")[2].split()[0]
        self.address = ("127.0.0.1", int(port))
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)

    def text(self):
        return self.log.read_text()

    def ends(self, signum=None, seconds=15):
        """Exit status, after `signum` if one is given; and the seconds until then."""
        began = time.monotonic()
        if signum is not None:
            self.process.send_signal(signum)
        return self.process.wait(seconds), time.monotonic() - began


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("path", ["/slow", "/stream"])
def test_requests_in_flight_are_answered(tmp_path, signum, path):
    answers = []

    def client(address):
        answers.append(ask(address, path))

    with Program(tmp_path, QUICKSTART) as program:
        clients = [threading.Thread(target=client, args=(program.address,)) for _ in range(8)]
        for one in clients:
            one.start()
        # An idle connection must not hold anybody up.
        with socket.create_connection(program.address, 10) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(idle, b"a page")
            until(lambda: program.text().count("INSIDE") == 8, "the requests to be under way")
            status, took = program.ends(signum)
            assert read_all(idle) == b""
        for one in clients:
            one.join(10)
        assert answers == [(200, "x" * 100_000)] * 8
        assert status == 0, program.text()
        assert took < 4
        assert program.text().rstrip().endswith("END")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_under_load_nothing_is_cut_short(tmp_path, signum):
    """Whatever has begun is whole; whoever comes too late is not let in."""
    good, bad, begun = [], [], threading.Event()

    def client(address):
        connection = http.client.HTTPConnection(*address, timeout=10)
        try:
            while True:
                connection.request("GET", "/slow?seconds=0.01")
                response = connection.getresponse()
                body = response.read()
                (good if (response.status, len(body)) == (200, 100_000) else bad).append(body)
                if len(good) > 50:
                    begun.set()
        except http.client.IncompleteRead as error:
            bad.append(error)
        except (OSError, http.client.HTTPException):
            pass  # closed between two requests, or refused
        finally:
            connection.close()

    with Program(tmp_path, QUICKSTART) as program:
        clients = [threading.Thread(target=client, args=(program.address,)) for _ in range(8)]
        for one in clients:
            one.start()
        assert begun.wait(15)
        status, took = program.ends(signum)
        for one in clients:
            one.join(15)
        assert bad == []
        assert status == 0, program.text()
        assert took < 4


def test_a_request_that_takes_too_long_does_not_keep_the_process(tmp_path):
    source = "cherrypy.server.shutdown_timeout = 0.3\n" + QUICKSTART
    with Program(tmp_path, source) as program:
        client = threading.Thread(target=_try, args=(program.address, "/slow?seconds=30"))
        client.start()
        until(lambda: "INSIDE" in program.text(), "the request to be under way")
        status, took = program.ends(signal.SIGTERM)
        assert (status, took < 8) == (0, True), program.text()
        client.join(10)


def _try(address, path):
    try:
        ask(address, path)
    except (OSError, http.client.HTTPException):
        pass


def test_sigusr1_is_graceful_and_loses_nothing(tmp_path):
    answers = []
    with Program(tmp_path, QUICKSTART) as program:
        client = threading.Thread(target=lambda: answers.append(ask(program.address, "/slow")))
        client.start()
        until(lambda: "INSIDE" in program.text(), "the request to be under way")
        program.process.send_signal(signal.SIGUSR1)
        until(lambda: "Bus graceful" in program.text(), "graceful")
        assert ask(program.address, "/") == (200, "a page")
        client.join(10)
        assert answers == [(200, "x" * 100_000)]
        assert program.ends(signal.SIGTERM)[0] == 0


def test_sigusr2_is_left_alone_and_ends_the_process_as_ever(tmp_path):
    with Program(tmp_path, QUICKSTART) as program:
        assert "Listening for SIGUSR2" not in program.text()
        assert program.ends(signal.SIGUSR2)[0] == -signal.SIGUSR2


OWN = {
    "in the table, by name": """
        cherrypy.engine.signal_handler.handlers['SIGUSR2'] = told
        """,
    "in the table, by number": """
        cherrypy.engine.signal_handler.handlers[signal.SIGUSR2] = told
        """,
    "at once, by name": "cherrypy.engine.signal_handler.set_handler('SIGUSR2', told)",
    "at once, by number": "cherrypy.engine.signal_handler.set_handler(signal.SIGUSR2, told)",
    "configured": "cherrypy.config.update({'engine.SIGUSR2': told})",
    "subscribed": """
        cherrypy.engine.signal_handler.handlers['SIGUSR2'] = None
        cherrypy.engine.subscribe('SIGUSR2', told)
        """,
}


@pytest.mark.parametrize("how", OWN)
def test_own_handlers(tmp_path, how):
    told = "\ndef told():\n    print('TOLD', flush=True)\n\n"
    with Program(tmp_path, told + textwrap.dedent(OWN[how]) + "\n" + QUICKSTART) as program:
        for count in (1, 2):
            program.process.send_signal(signal.SIGUSR2)
            until(lambda count=count: program.text().count("TOLD") == count, "the handler")
        assert ask(program.address, "/") == (200, "a page")
        assert program.ends(signal.SIGTERM)[0] == 0
        assert program.text().count("TOLD") == 2, "once for each signal"


@pytest.mark.parametrize("name", ["signals", "signal_handler"])
def test_who_starts_the_engine_subscribes(tmp_path, name):
    source = f"cherrypy.engine.{name}.subscribe()\n" + BY_HAND
    with Program(tmp_path, source) as program:
        for wanted in ("SIGTERM", "SIGHUP", "SIGUSR1"):
            assert f"Listening for {wanted}." in program.text()
        assert program.ends(signal.SIGTERM)[0] == 0
        assert program.text().rstrip().endswith("END")


def test_or_has_none(tmp_path):
    with Program(tmp_path, BY_HAND) as program:
        assert "Listening for" not in program.text()
        assert program.ends(signal.SIGHUP)[0] == -signal.SIGHUP


def test_from_a_thread_that_may_not_there_is_a_line_in_the_log(tmp_path):
    """An embedded site is started by whatever thread its program likes."""
    source = """
        thread = threading.Thread(target=cherrypy.quickstart, args=(Page(),), name='embedder')
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
        print('END', flush=True)
        """
    with Program(tmp_path, source) as program:
        text = program.text()
        assert (
            "Not listening for signals: handlers can be installed only in the main thread" in text
        )
        assert "Traceback" not in text
        assert ask(program.address, "/") == (200, "a page")
        assert program.ends(signal.SIGTERM)[0] == -signal.SIGTERM


def test_the_programs_own_handler_is_put_back(tmp_path):
    source = """
        def mine(number, frame):
            print('MINE', flush=True)
        signal.signal(signal.SIGTERM, mine)
        cherrypy.engine.signals.subscribe()
        cherrypy.engine.signal_handler.unsubscribe()
        """
    with Program(tmp_path, source + BY_HAND.replace("\n", "\n        ")) as program:
        program.process.send_signal(signal.SIGTERM)
        until(lambda: "MINE" in program.text(), "the program's handler")
        assert ask(program.address, "/") == (200, "a page")
        assert program.ends(signal.SIGINT)[0] == 0
