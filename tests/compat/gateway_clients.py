"""What a web server says to an application over FastCGI and SCGI, for one request."""

from __future__ import annotations

import socket
import struct

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)


def environ(path: str, method: str, body: bytes, query: str) -> dict[str, str]:
    return {
        "CONTENT_LENGTH": str(len(body)),
        "SCGI": "1",
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "HTTP_HOST": "shop.example",
        "REMOTE_ADDR": "192.0.2.1",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
    }


def split(answer: bytes) -> tuple[str, str]:
    """Status and body of a CGI answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    return fields["Status"], body.decode()


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while block := sock.recv(65536):
        data += block
    return data


def scgi(
    port: int, path: str, method: str = "GET", body: bytes = b"", query: str = ""
) -> tuple[str, str]:
    head = "".join(f"{k}\0{v}\0" for k, v in environ(path, method, body, query).items()).encode()
    with socket.create_connection(("127.0.0.1", port), 15) as sock:
        sock.sendall(b"%d:%b,%b" % (len(head), head, body))
        return split(read_all(sock))


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def _length(number: int) -> bytes:
    return struct.pack("!B", number) if number < 128 else struct.pack("!I", number | 1 << 31)


def fastcgi(
    port: int, path: str, method: str = "GET", body: bytes = b"", query: str = ""
) -> tuple[str, str]:
    params = b""
    for name, value in environ(path, method, body, query).items():
        params += _length(len(name)) + _length(len(value)) + name.encode() + value.encode()
    data = _record(BEGIN, struct.pack("!HB5x", 1, 0))
    data += _record(PARAMS, params) + _record(PARAMS, b"")
    if body:
        data += _record(STDIN, body)
    with socket.create_connection(("127.0.0.1", port), 15) as sock:
        sock.sendall(data + _record(STDIN, b""))
        came = read_all(sock)
    answer = b""
    while came:
        _, kind, _, length, padding = struct.unpack("!BBHHBx", came[:8])
        if kind == STDOUT:
            answer += came[8 : 8 + length]
        came = came[8 + length + padding :]
        if kind == END:
            return split(answer)
    raise AssertionError(f"no end of the request: {answer!r}")
