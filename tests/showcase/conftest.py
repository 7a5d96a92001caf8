"""The showcase in a process of its own, for all the tests of this folder.

SHOWCASE_URL=http://127.0.0.1:8080 drives one that is running already, such as one on another framework.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import chromium
import pytest
from showcase_site import Site, free_port


@pytest.fixture(scope="session")
def served() -> Iterator[Site]:
    running = os.environ.get("SHOWCASE_URL")
    if running:
        parts = urlsplit(running)
        yield Site(parts.hostname or "127.0.0.1", parts.port or 80)
        return
    port = free_port()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "cherrypy.tutorial.showcase", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        said.seek(0)
                        pytest.fail("the showcase did not start: " + said.read().decode()[-3000:])
                    time.sleep(0.05)
            yield Site("127.0.0.1", port)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
                pytest.fail("the showcase did not end within ten seconds of SIGTERM")


@pytest.fixture
def site(served: Site) -> Site:
    """The showcase, to a visitor who has never been there."""
    return served.stranger()


@pytest.fixture(scope="session")
def browser(served: Site) -> Iterator[chromium.Browser]:
    if chromium.command() is None:
        pytest.skip("Chromium is not installed")
    with chromium.browser() as one:
        yield one
