"""The command this process was started with, and its replacement by a fresh one.

Law: what comes back is the same command to the letter, interpreter options and ``-m`` included.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def _fcntl() -> Any:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    return fcntl


def max_descriptors() -> int:
    """Return how many descriptors this process may have open; 0 where they are not inherited."""
    if os.name == "nt":
        return 0
    try:
        limit = os.sysconf("SC_OPEN_MAX")
    except (AttributeError, OSError, ValueError):
        return 1024
    return limit if limit > 0 else 1024


def interpreter_argv() -> list[str]:
    """Return the interpreter's options as a command line would give them."""
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined] # private

    options: list[str] = _args_from_interpreter_flags()
    return options


def command() -> list[str]:
    """Return interpreter and arguments of this process.

    ``sys.orig_argv`` is what the system handed over, before the interpreter took its options out
    and before programs changed ``sys.argv``. A frozen application is its own interpreter.
    """
    if getattr(sys, "frozen", False):
        return [sys.executable, *sys.argv[1:]]
    original = list(getattr(sys, "orig_argv", ()))
    if not original:  # An interpreter embedded in another program.
        original = [sys.executable, *interpreter_argv(), *sys.argv]
    # The first word may be a relative path or a bare name; the executable is certain.
    return [sys.executable or original[0], *original[1:]]


def replace(args: list[str]) -> None:
    """Become ``args``; does not return.

    Windows has no exec: its C runtime would start a child, quote badly, and return to the shell.
    There a child runs in this console, and this process ends with the child's status.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # None, a broken pipe, or closed.
            pass
    if os.name == "nt":
        import subprocess

        os._exit(subprocess.call(args))
    os.execv(args[0], args)


def _activated() -> range:
    """Return the descriptors that systemd passed to this very process (sd_listen_fds(3))."""
    try:
        if int(os.environ.get("LISTEN_PID", "")) != os.getpid():
            return range(0)
        return range(3, 3 + int(os.environ.get("LISTEN_FDS", "")))
    except ValueError:
        return range(0)


def close_on_exec(limit: int) -> None:
    """Mark every open descriptor from 3 up as closed on exec, except activated sockets.

    A replaced process must not inherit listening sockets, log files or client connections.
    """
    fcntl = _fcntl()
    if fcntl is None:
        return
    try:
        open_now = [int(name) for name in os.listdir("/dev/fd")]
    except (OSError, ValueError):
        open_now = list(range(3, min(limit, 65536)))
    keep = _activated()
    for fd in open_now:
        if fd < 3 or fd in keep:
            continue
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFD)
            fcntl.fcntl(fd, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
        except OSError:  # Closed in the meantime (such as the listing's own).
            pass
