"""What the tests of the tutorials share: a tutorial as a process, and a visitor that speaks HTTP to it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import html5lib
import pytest

import cherrypy.tutorial

FOLDER = Path(cherrypy.tutorial.__file__).parent

#: The names under which people know them.
MODULES = (
    "tut01_helloworld",
    "tut02_expose_methods",
    "tut03_get_and_post",
    "tut04_complex_site",
    "tut05_derived_objects",
    "tut06_default_method",
    "tut07_sessions",
    "tut08_generators_and_yield",
    "tut09_files",
    "tut10_http_errors",
)

SERVING = re.compile(r"Serving on http://127\.0\.0\.1:(\d+)")


@dataclass
class Answer:
    """A response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


class Tutorial:
    """A tutorial, or another program, in a process of its own, on a port that the system chose."""

    def __init__(self, module: str, *program: str, port: int = 0) -> None:
        self.module = module
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 `end` closes it
        self._process = subprocess.Popen(
            [sys.executable, *(program or ("-W", "error", "-m", f"cherrypy.tutorial.{module}"))],
            env={**os.environ, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self.end()
            raise

    @property
    def log(self) -> str:
        """What the process has written to its standard error."""
        return os.pread(self._said.fileno(), 1 << 20, 0).decode()

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + 20
        while not ((found := SERVING.search(self.log)) and "Bus STARTED" in self.log):
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.module} did not start: {self.log[-3000:]}")
            time.sleep(0.02)
        return int(found[1])

    def end(self) -> int:
        """End it as Ctrl-C does; returns the status it ended with."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
            try:
                return self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
                return -9
        finally:
            self._said.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: str | bytes | None = None,
        **headers: str,
    ) -> Answer:
        """Ask for a path; of the names of header fields the underscores are dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def page(self, path: str, **more: str) -> str:
        """The text of a page, which has to be there and to be proper HTML."""
        answer = self.ask(path, **more)
        assert answer.status == 200, answer.text
        return proper(answer)

    def post(self, path: str, body: str, **headers: str) -> Answer:
        kind = {"Content_Type": "application/x-www-form-urlencoded", **headers}
        return self.ask(path, "POST", body, **kind)


def proper(answer: Answer) -> str:
    """The text of an answer that is proper HTML: no parse error, a language, a title, a charset."""
    assert answer.headers["Content-Type"] == "text/html;charset=utf-8"
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree = parser.parse(answer.text)
    assert tree.get("lang")
    title = tree.find("head/title")
    assert title is not None
    assert title.text.strip()
    body = tree.find("body")
    assert "".join(body.itertext()).strip()
    for field in body.iter("input"):
        assert any(field in label.iter("input") for label in body.iter("label")), field.attrib
    return answer.text


def links(text: str) -> list[str]:
    """What a page points to."""
    tree = html5lib.parse(text, namespaceHTMLElements=False)
    return [link.get("href") for link in tree.iter("a")]
