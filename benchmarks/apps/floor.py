"""The floor: worker threads that take turns on one epoll, as our server does, with no parsing and a constant answer.

No server in this language on this poller can be faster; what we lose against it is what HTTP costs us.

usage: floor.py PORT [THREADS]
"""

from __future__ import annotations

import select
import socket
import sys
import threading

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n"
    b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: floor\r\n\r\nHello World!"
)
ONCE = select.EPOLLIN | select.EPOLLONESHOT


def work(
    listener: socket.socket, poller: select.epoll, open_ones: dict[int, socket.socket]
) -> None:
    """Wait, read, answer, arm again; the caller's thread holds the baton and never passes it."""
    number = listener.fileno()
    while True:
        for fd, _ in poller.poll(-1, 1):
            if fd == number:
                connection, _ = listener.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_ones[connection.fileno()] = connection
                poller.register(connection, ONCE)
                continue
            connection = open_ones[fd]
            try:
                data = connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                open_ones.pop(fd).close()
                continue
            connection.send(ANSWER)
            poller.modify(fd, ONCE)


def main() -> None:
    port, threads = int(sys.argv[1]), int(([*sys.argv, "10"])[2])
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    open_ones: dict[int, socket.socket] = {}
    baton = threading.Lock()

    def take_turns() -> None:
        with baton:
            work(listener, poller, open_ones)

    for _ in range(threads):
        threading.Thread(target=take_turns, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
