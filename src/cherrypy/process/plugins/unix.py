"""What a Unix service does to its own process: lesser rights, the background, a PID file."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cherrypy.process.plugins.base import SimplePlugin

if TYPE_CHECKING:
    from cherrypy.process.wspbus import Bus

__all__ = ("Daemonizer", "DropPrivileges", "PIDFile")

Log = Callable[[str], object]


def _database(name: str) -> Any:
    """Return the module `pwd` or `grp`, None where the system has no such thing (Windows)."""
    try:
        return __import__(name)
    except ImportError:
        return None


class DropPrivileges(SimplePlugin):
    """Changes user, group and umask when the bus starts, after the sockets are bound.

    ``uid`` and ``gid`` take names or numbers. Where the system has no such thing, that is logged
    and ignored; a change that is refused fails the start.
    """

    def __init__(
        self,
        bus: Bus,
        umask: int | None = None,
        uid: int | str | None = None,
        gid: int | str | None = None,
    ) -> None:
        super().__init__(bus)
        self.finalized = False
        self.uid = uid
        self.gid = gid
        self.umask = umask

    @property
    def uid(self) -> int | None:
        """The user to become; a name is looked up when assigned (KeyError: unknown)."""
        return self._uid

    @uid.setter
    def uid(self, value: int | str | None) -> None:
        pwd = _database("pwd")
        if value is not None and pwd is None:
            self.bus.log("pwd module not available; ignoring uid.", level=30)
            value = None
        self._uid = pwd.getpwnam(value).pw_uid if isinstance(value, str) else value

    @property
    def gid(self) -> int | None:
        """The group to become; a name is looked up when assigned (KeyError: unknown)."""
        return self._gid

    @gid.setter
    def gid(self, value: int | str | None) -> None:
        grp = _database("grp")
        if value is not None and grp is None:
            self.bus.log("grp module not available; ignoring gid.", level=30)
            value = None
        self._gid = grp.getgrnam(value).gr_gid if isinstance(value, str) else value

    @property
    def umask(self) -> int | None:
        """The file mode creation mask to set."""
        return self._umask

    @umask.setter
    def umask(self, value: int | None) -> None:
        if value is not None and not hasattr(os, "umask"):
            self.bus.log("umask function not available; ignoring umask.", level=30)
            value = None
        self._umask = value

    @staticmethod
    def _current() -> str:
        uid, gid = os.getuid(), os.getgid()
        user: str | int = uid
        group: str | int = gid
        try:
            user = _database("pwd").getpwuid(uid).pw_name
            group = _database("grp").getgrgid(gid).gr_name
        except (KeyError, AttributeError):
            pass  # Numbers that no file knows, as in containers; or no such file may be read.
        return f"uid: {user!r} gid: {group!r}"

    def start(self) -> None:
        """Drop the rights; a second start only reports."""
        if self.uid is None and self.gid is None:
            self.bus.log("uid/gid not set", level=30)
        elif self.finalized:
            self.bus.log(f"Already running as {self._current()}")
        else:
            self.bus.log(f"Started as {self._current()}")
            if hasattr(os, "setgroups") and os.geteuid() == 0:
                os.setgroups([])  # Root's own groups must not stay behind.
            if self.gid is not None:
                os.setgid(self.gid)
            if self.uid is not None:
                os.setuid(self.uid)
            self.bus.log(f"Running as {self._current()}")

        if self.umask is None:
            self.bus.log("umask not set", level=30)
        elif self.finalized:
            self.bus.log(f"umask already set to: {self.umask:03o}")
        else:
            old = os.umask(self.umask)
            self.bus.log(f"umask old: {old:03o}, new: {self.umask:03o}")
        self.finalized = True

    # After the server (75), so that privileged ports and unreadable keys are open by then.
    start.priority = 77  # type: ignore[attr-defined] # read by Bus.subscribe


class Daemonizer(SimplePlugin):
    """Goes to the background when the bus starts (double fork), before threads are made.

    Output goes to the files named, which are appended to. The working directory and the umask
    stay as they are. A start that fails later cannot be seen in the status of the process
    that was launched: look for the PID file or the log.
    """

    def __init__(
        self,
        bus: Bus,
        stdin: str = "/dev/null",
        stdout: str = "/dev/null",
        stderr: str = "/dev/null",
    ) -> None:
        super().__init__(bus)
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.finalized = False

    def start(self) -> None:
        """Fork; returns in the daemon only. A second start does nothing."""
        if self.finalized:
            self.bus.log("Already deamonized.")  # sic; programs look for it
            return
        # fork() copies only the calling thread: what others do stops half-way in the daemon.
        if threading.active_count() != 1:
            self.bus.log(
                f"There are {threading.enumerate()!r} active threads. "
                "Daemonizing now may cause strange failures.",
                level=30,
            )
        self.daemonize(self.stdin, self.stdout, self.stderr, self.bus.log)
        self.finalized = True

    start.priority = 65  # type: ignore[attr-defined] # read by Bus.subscribe

    @staticmethod
    def daemonize(
        stdin: str = "/dev/null",
        stdout: str = "/dev/null",
        stderr: str = "/dev/null",
        logger: Log = lambda msg: None,
    ) -> None:
        """Fork, leave the session, fork again, and redirect the standard streams.

        Stevens, Advanced Programming in the UNIX Environment, 13.3. OSError when a fork fails
        or a file cannot be opened (before anything is forked).
        """
        files = (
            os.open(stdin, os.O_RDONLY),
            os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        )
        sys.stdout.flush()
        sys.stderr.flush()
        _fork_and_leave("Forking once.", logger)
        os.setsid()
        _fork_and_leave("Forking twice.", logger)  # Not a session leader: no terminal ever.
        for target, fd in enumerate(files):
            os.dup2(fd, target)
            os.close(fd)
        logger(f"Daemonized to PID: {os.getpid()}")


def _fork_and_leave(message: str, logger: Log) -> None:
    """Fork and return in the child; the parent ends without running exit handlers."""
    import warnings

    with warnings.catch_warnings():
        # 3.12+ warns of threads; start() has said so in the log, and -W error must not end us.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        logger(message)
        os._exit(0)


class PIDFile(SimplePlugin):
    """Keeps the process id in a file while the bus runs."""

    def __init__(self, bus: Bus, pidfile: str) -> None:
        super().__init__(bus)
        self.pidfile = pidfile
        self.finalized = False

    def start(self) -> None:
        """Write the file; OSError when that is impossible."""
        pid = os.getpid()
        if self.finalized:
            self.bus.log(f"PID {pid!r} already written to {self.pidfile!r}.")
            return
        try:
            fd = os.open(self.pidfile, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except OSError as exc:
            # A failed start shows no more of an OSError than number and text.
            text = f"cannot write the PID file {self.pidfile!r}: {exc.strerror}"
            raise type(exc)(exc.errno, text) from exc
        with open(fd, "wb") as file:
            file.write(b"%d\n" % pid)
        self.bus.log(f"PID {pid!r} written to {self.pidfile!r}.")
        self.finalized = True

    # After the Daemonizer (65), which changes the number.
    start.priority = 70  # type: ignore[attr-defined] # read by Bus.subscribe

    def exit(self) -> None:
        """Remove the file, unless another process has taken it over."""
        self.finalized = False
        try:
            with open(self.pidfile, "rb") as file:
                if file.read(32).strip() not in (b"", b"%d" % os.getpid()):
                    return
            os.remove(self.pidfile)
        except OSError:  # Gone, or rights were dropped since: nothing that could be done.
            return
        self.bus.log(f"PID file removed: {self.pidfile!r}.")
