"""What the smoke runs share: processes that listen, requests, and a line for each thing looked at."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextmanager
def process(port: int, *command: str, waits: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A process, which is waited for until it listens on the port; ended at the end."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while waits:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if child.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{command[0]} did not start") from None
                time.sleep(0.05)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def ask(
    port: int, path: str, cookie: str = "", form: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Status, body, and the cookie to send from now on; a form is posted."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Cookie": cookie} if cookie else {}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        body = None if form is None else urlencode(form)
        link.request("GET" if form is None else "POST", path, body, headers)
        answer = link.getresponse()
        text = answer.read().decode("utf-8", "replace")
        given = answer.getheader("Set-Cookie", "").split(";")[0]
        return answer.status, text, given or cookie
    finally:
        link.close()


def check(what: str, got: object, wanted: object) -> None:
    print(
        f"ok {what}" if got == wanted else f"not ok {what}: {got!r} is not {wanted!r}", flush=True
    )
