"""Actions: telling of alerts. Law: each way has a queue and a thread of its own, both bounded, so
that a hook that is dead or hangs harms nothing, not even the other ways.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..table.itself import MONITOR_EXPORT_FAILURES

#: Alerts that wait to be told; more are not.
WAITING = 100

#: Seconds that telling one may take, in all, and the pauses before each further attempt.
LIMIT, PAUSES = 10.0, (1.0, 5.0)

#: Seconds that a command may take.
COMMAND_LIMIT = 30.0

Tell = Callable[[dict[str, Any], Any], None]


class Refused(Exception):
    """Whoever was told does not want to hear it: another attempt is no use."""


class Courier:
    """Tells of alerts in one way.

    name
        Of the way: 'webhook'.
    tell
        Does it: `tell(alert, whom)`. It may fail, and is tried again then.
    say
        Told in a sentence, with a level of logging, when it has failed for good.
    """

    def __init__(
        self,
        name: str,
        tell: Tell,
        say: Callable[[str, int], object],
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self.name = name
        self.tell = tell
        self.say = say
        self.pauses = pauses
        #: Alerts that were told, that could not be, and that found the queue full.
        self.told = self.failed = self.dropped = 0
        self._queue: queue.Queue[tuple[dict[str, Any], Any] | None] = queue.Queue(WAITING)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, alert: dict[str, Any], whom: Any) -> None:
        """Have somebody told; never waits."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"monitor-alerts-{self.name}", daemon=True
            )
            self._thread.start()
        try:
            self._queue.put_nowait((alert, whom))
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                self.say(
                    f"The monitor's {self.name} is too slow: {WAITING} alerts wait for it, and "
                    "more are dropped.",
                    40,
                )

    def _run(self) -> None:
        while not self._stop.is_set():
            job = self._queue.get()
            if job is None:
                return
            self._attempt(*job)

    def _attempt(self, alert: dict[str, Any], whom: Any) -> None:
        wrong: Exception | None = None
        for pause in (0.0, *self.pauses):
            if pause and self._stop.wait(pause):
                break
            try:
                self.tell(alert, whom)
            except Refused as error:
                wrong = error
                break
            except Exception as error:
                wrong = error
            else:
                self.told += 1
                return
        self.failed += 1
        MONITOR_EXPORT_FAILURES.add(1, (self.name, type(wrong).__name__))
        if self.failed <= 3:
            more = "" if self.failed < 3 else " It will not be said again."
            self.say(
                f"The monitor's {self.name} could not tell of {alert['name']!r}: {wrong!r}.{more}",
                40,
            )

    def end(self) -> None:
        """Tell what waits, as far as that takes no more than a moment."""
        thread = self._thread
        if thread is not None:
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                self._stop.set()
            thread.join(2.0)
            self._stop.set()


def wrong_url(url: Any) -> str | None:
    """What is wrong with the URL of a webhook, in words; None if nothing is."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()
        assert parts.port != 0
    except (ValueError, TypeError, AttributeError, AssertionError):
        good = False
    return None if good else "a URL that begins with http:// or https:// is wanted"


def post(alert: dict[str, Any], url: str) -> None:
    """Post an alert as JSON. Redirections are not followed, the body of the answer is not read.

    Raises Refused for an answer of 3xx or 4xx, OSError or HTTPException for others.
    """
    import http.client
    import socket

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    assert parts.hostname is not None
    connection = kind(parts.hostname, parts.port, timeout=LIMIT / 2)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def give_up() -> None:
        sock = connection.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    timer = threading.Timer(LIMIT, give_up)  # the time-out of a socket begins anew at each byte
    timer.daemon = True
    timer.start()
    try:
        connection.request(
            "POST",
            path,
            json.dumps(alert).encode(),
            {"Content-Type": "application/json", "User-Agent": "cherrypy-monitor"},
        )
        status = connection.getresponse().status
    finally:
        timer.cancel()
        connection.close()
    if status in (408, 425, 429) or status >= 500:
        raise OSError(f"answered {status}")
    if status >= 300:
        raise Refused(f"answered {status}")


def run(alert: dict[str, Any], command: list[str]) -> None:
    """Run a program, without a shell; it reads the alert as JSON. Raises OSError, or Refused if it
    says that it failed.
    """
    import os
    import signal
    import subprocess

    process = subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.communicate(json.dumps(alert).encode() + b"\n", COMMAND_LIMIT)
    except subprocess.TimeoutExpired:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        raise Refused(f"{command[0]} took more than {COMMAND_LIMIT:g} s") from None
    if process.returncode:
        raise Refused(f"{command[0]} ended with {process.returncode}")


class Mail:
    """How mail is sent: the setting `alerts.mail`, or what of it a rule has.

    The setting is a dict: 'to' (an address, or a list), and perhaps 'from', 'server' ('host:port',
    localhost:25 by default), 'tls' ('starttls' or True), 'user' and 'password'.
    """

    def __init__(self, setting: dict[str, Any]) -> None:
        self.setting = setting

    def __call__(self, alert: dict[str, Any], to: Any) -> None:
        """Send one. Raises what smtplib does."""
        import smtplib
        import ssl

        setting = self.setting
        host, _, port = str(setting.get("server", "localhost:25")).partition(":")
        tls = setting.get("tls")
        timeout = LIMIT / 2
        if tls and tls != "starttls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, int(port or 465), timeout=timeout, context=ssl.create_default_context()
            )
        else:
            server = smtplib.SMTP(host, int(port or 25), timeout=timeout)
        with server:
            if tls == "starttls":
                server.starttls(context=ssl.create_default_context())
            if setting.get("user"):
                server.login(str(setting["user"]), str(setting.get("password", "")))
            server.send_message(self.message(alert, to))

    def message(self, alert: dict[str, Any], to: Any) -> Any:
        """The message."""
        from email.message import EmailMessage

        addresses = [to] if isinstance(to, str) else list(to)
        message = EmailMessage()
        subject = f"[{alert['service']}] {alert['status']}: {alert['name']}"
        message["Subject"] = "".join(sign if sign.isprintable() else " " for sign in subject)[:200]
        message["From"] = str(self.setting.get("from") or addresses[0])
        message["To"] = ", ".join(addresses)
        message.set_content(f"{alert['text']}\n\n{json.dumps(alert, indent=2)}\n")
        return message
