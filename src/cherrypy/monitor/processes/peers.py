"""Peers: who is at the other end of a unix socket."""

from __future__ import annotations

import os
import socket
import struct
import sys


def is_ours(sock: socket.socket) -> bool:
    """Whether the process at the other end is one of our user's, or of root's, as far as can be told."""
    if sys.platform != "linux":
        return True  # the mode of the socket's folder is what keeps others out
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return user in (0, os.geteuid())
