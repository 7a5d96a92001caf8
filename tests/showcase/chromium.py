"""A headless Chromium driven through its DevTools pipe: real clicks in a real browser, and no library for it.

`--remote-debugging-pipe` speaks JSON over file descriptors 3 (in) and 4 (out), each message ended by a NUL.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
# Puts the pipes where Chromium wants them, 3 and 4, by way of numbers that cannot be in the way.
LAUNCHER = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 20.0  # seconds for any answer


def command() -> str | None:
    """Where Chromium is, if anywhere."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


class Browser:
    """One browser with one page. Made by `browser()`."""

    def __init__(self, to_it: int, from_it: int) -> None:
        self._to_it, self._from_it = to_it, from_it
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session: str | None = None
        self.complaints: list[
            str
        ] = []  # exceptions, console errors, what the content policy refused
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; RuntimeError when Chromium refuses it."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to_it, data) :]
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") != number:
                self._note(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']['message']}")
            else:
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self, deadline: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._unread:
            if not select.select([self._from_it], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium did not answer {what} in {PATIENCE:g} s")
            data = os.read(self._from_it, 1 << 16)
            if not data:
                raise RuntimeError(f"Chromium ended during {what}")
            self._unread += data
        one, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:300])
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page (awaited when it is a promise)."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", script))
        return answer["result"].get("value")

    def until(self, script: str, patience: float = PATIENCE) -> Any:
        """Evaluate until it is truthy; AssertionError when it never is."""
        deadline = time.monotonic() + patience
        value = None
        while time.monotonic() < deadline:
            with contextlib.suppress(RuntimeError):  # the page may be changing under our feet
                value = self.run(script)
                if value:
                    return value
            time.sleep(0.03)
        raise AssertionError(f"never true in {patience:g} s: {script} (last {value!r})")

    def open(self, url: str) -> None:
        """Go there and wait until everything is loaded."""
        self.run("window.leaving = true")
        self.call("Page.navigate", url=url)
        self.until("!window.leaving && document.readyState === 'complete'")

    def text(self, selector: str) -> str:
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def follow(self, selector: str) -> None:
        """Click something that leads to another page, and wait for it."""
        self.run("window.leaving = true")
        self.click(selector)
        self.until("!window.leaving && document.readyState === 'complete'")

    def type(self, selector: str, text: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def picture(self, path: Path, width: int, height: int, dark: bool = False) -> None:
        """A PNG of the page as a window of that size shows it."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a fresh profile; ended, with all its processes, at the end."""
    name = command()
    if name is None:
        raise FileNotFoundError("no Chromium on PATH")
    read_ours, write_ours = os.pipe(), os.pipe()  # we write, it reads; it writes, we read
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        pipes = (read_ours[0], write_ours[1])
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, *map(str, pipes), name, *FLAGS]
            + [f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=pipes,
            start_new_session=True,
        )
        os.close(read_ours[0])
        os.close(write_ours[1])
        try:
            yield Browser(read_ours[1], write_ours[0])
        finally:
            os.close(read_ours[1])  # Chromium ends when its pipe does
            os.close(write_ours[0])
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
