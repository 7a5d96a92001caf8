"""Static files over real sockets: paths as sent, files that change while they are sent, greedy ranges."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
import threading

import pytest
from security_kit import served

from cherrypy.framework.helpers import expose
from cherrypy.lib import static
from kirsch.http.ranges import MAX_RANGES

BIG = 8_000_000


class Trickle(io.RawIOBase):
    """Cannot be sought in, and gives a few bytes at a time, as a socket may."""

    def __init__(self, pieces):
        self.pieces = list(pieces)

    def readable(self):
        return True

    def read(self, size=-1):
        return self.pieces.pop(0) if self.pieces else b""


class Root:
    @expose
    def default(self, *args):
        return "page"

    @expose
    def trickle(self):
        self.last = Trickle([b"a", b"bc", b"d" * 100_000])
        return static.serve_fileobj(self.last, "text/plain")

    @expose
    def closed_early(self):
        file = open(self.path, "rb")  # noqa: SIM115 - the response closes it
        return static.serve_fileobj(file, "text/plain", "attachment", "日本 ☃\r\nX: y.txt")


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "www"
    (base / "sub").mkdir(parents=True)
    (base / "a.txt").write_bytes(b"0123456789")
    (base / "back\\slash.txt").write_bytes(b"backslash")
    (base / "big.bin").write_bytes(os.urandom(BIG))
    (tmp_path / "www2").mkdir()
    for name in ("secret.txt", "www2/secret.txt"):
        (tmp_path / name).write_bytes(b"the secret")
    (base / "link").symlink_to(tmp_path / "www2")
    (base / "loop").symlink_to("loop")
    (base / "dangling").symlink_to("nowhere")
    return base


@pytest.fixture(params=[False, True], ids=["wsgi", "native"])
def ask(folder, request):
    conf = {"/": {"tools.staticdir.on": True, "tools.staticdir.dir": str(folder)}}
    root = Root()
    root.path = str(folder / "a.txt")
    with served(root, conf, request.param) as client:
        client.root = root
        yield client


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E%2e/www2/secret.txt",
        "/..%2fsecret.txt",
        "/..%2Fwww2%2Fsecret.txt",
        "/sub/../../secret.txt",
        "/sub/%2e%2e/%2e%2e/secret.txt",
        "/%252e%252e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/.%00./secret.txt",
        "/a.txt%00.html",
        "/%c0%ae%c0%ae/secret.txt",
        "/..;/secret.txt",
        "/./%2e/../secret.txt",
        "//..//secret.txt",
        "/2/secret.txt",
        "2/secret.txt",
    ],
)
def test_no_way_out_as_sent(ask, path):
    # Not normalized by a client: the bytes are what an attacker would send.
    with socket.create_connection(ask.address, 10) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: peer.recv(65536), b""))
    assert b"the secret" not in answer
    assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 404", b"HTTP/1.1 400")) or (
        answer.endswith(b"page")
    )


def test_links_are_followed_and_broken_ones_are_not_there(ask):
    assert ask("/link/secret.txt").text == "the secret"
    for path in ("/loop", "/dangling", "/loop/x"):
        assert ask(path).text == "page"


@pytest.mark.skipif(sys.platform == "win32", reason="only on POSIX is a backslash part of a name")
def test_a_backslash_is_a_part_of_a_name(ask):
    assert ask("/back%5Cslash.txt").text == "backslash"


def test_names_that_no_file_can_have(ask):
    for path in ("/" + "a" * 300, "/" + "a" * 5000, "/" + "a/" * 2500 + "b", "/sub" + "/." * 2000):
        reply = ask(path)
        # The dispatcher has a limit of its own for the depth.
        assert reply.text == "page" or reply.status == 414, len(path)


def test_ranges_cannot_multiply_a_file(ask):
    def size(field, path="/big.bin"):
        reply = ask(path, range="bytes=" + field)
        return reply.status, int(reply["Content-Length"])

    # All of it, many times over.
    assert size(",".join(["0-"] * MAX_RANGES)) == (206, BIG)
    assert size(",".join(["0-"] * (MAX_RANGES + 1))) == (200, BIG)
    assert size(",".join(f"{n}-" for n in range(MAX_RANGES))) == (206, BIG)
    assert size(",".join(f"-{BIG - n}" for n in range(MAX_RANGES))) == (206, BIG)
    # Tiny ones: a bounded number of heads.
    status, length = size(",".join(f"{2 * n}-{2 * n}" for n in range(MAX_RANGES)))
    assert status == 206
    assert length < MAX_RANGES * 200
    assert size(",".join(f"{2 * n}-{2 * n}" for n in range(MAX_RANGES + 1))) == (200, BIG)


def get(address, path, *fields):
    peer = socket.create_connection(address, 10)
    lines = "".join(f"{field}\r\n" for field in fields)
    peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += peer.recv(1000)
    return peer, data


@pytest.mark.parametrize(
    "fields", [(), ("Range: bytes=1-7000000",), ("Range: bytes=0-9,20-7000000",)]
)
def test_a_file_that_shrinks_while_it_is_sent(ask, folder, fields):
    """What was promised cannot be kept: the connection ends, and nothing pads or hangs."""
    peer, data = get(ask.address, "/big.bin", *fields)
    with peer:
        head, _, rest = data.partition(b"\r\n\r\n")
        promised = int(head.lower().partition(b"content-length: ")[2].split()[0])
        os.truncate(folder / "big.bin", 1000)
        got = len(rest)
        try:
            while piece := peer.recv(1 << 20):
                got += len(piece)
        except ConnectionResetError:
            pass
        assert got < promised
    assert ask("/a.txt").text == "0123456789"


def test_a_file_that_is_replaced_while_it_is_sent(ask, folder):
    """Who has begun with the old one gets the old one."""
    old = (folder / "big.bin").read_bytes()
    peer, data = get(ask.address, "/big.bin", "Connection: close")
    (folder / "new").write_bytes(b"new")
    os.replace(folder / "new", folder / "big.bin")
    with peer:
        while piece := peer.recv(1 << 20):
            data += piece
    assert data.partition(b"\r\n\r\n")[2] == old
    assert ask("/big.bin").text == "new"


@pytest.fixture
def special(folder):
    """What stands in a folder beside files: pipes, sockets, devices, and what the kernel makes up."""
    os.mkfifo(folder / "fifo")
    (folder / "plain.css").write_bytes(b"plain")
    os.mkfifo(folder / "plain.css.gz")
    (folder / "plain.css.br").symlink_to("/dev/zero")
    for name, target in {
        "zero": "/dev/zero",
        "full": "/dev/full",
        "memory": "/proc/self/mem",
    }.items():
        (folder / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as one:
        # A path of tests may be longer than that of a socket.
        os.symlink(folder, link := tempfile.mktemp(prefix="s-"))
        try:
            one.bind(f"{link}/socket")
        finally:
            os.unlink(link)
        yield folder


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="only on Linux")
@pytest.mark.parametrize("field", ["", "Range: bytes=0-3", "Accept-Encoding: gzip, br, zstd"])
def test_what_is_no_file_is_not_there(special, field):
    """To open a pipe would wait for its other end, and a device has none."""
    conf = {"tools.staticdir.on": True, "tools.staticdir.dir": str(special)}
    conf["tools.staticdir.precompressed"] = True
    with served(Root(), {"/": conf}) as ask:
        name, _, value = field.partition(": ")
        fields = {name.replace("-", "_"): value} if name else {}
        for path in ("/fifo", "/socket", "/zero", "/full"):
            assert ask(path, **fields).text == "page", path
        reply = ask("/memory", **fields)  # its size is said to be 0
        assert (reply.status, reply.text) == (200, "") or reply.status == 416
        text = ask("/plain.css", **fields).text
        assert text == ("plai" if name == "Range" else "plain")


def test_a_file_that_changes_all_the_time(ask, folder):
    """Each answer is one of a file that there was, or breaks off; nobody waits."""
    over = threading.Event()

    def change():
        while not over.is_set():
            for size in (0, 10, 70_000, 1_000_000, 5):
                (folder / "new").write_bytes(b"x" * size)  # shrinks what is being sent
                os.replace(folder / "new", folder / "changing.bin")
                os.truncate(folder / "changing.bin", size // 2)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for n in range(60):
            fields = (
                ("Connection: close",),
                ("Connection: close", "Range: bytes=0-3,9-800000,-5"),
            )[n % 2]
            peer, data = get(ask.address, "/changing.bin", *fields)
            with peer:
                try:
                    while piece := peer.recv(1 << 20):
                        data += piece
                except ConnectionResetError:
                    pass
            status = int(data.split(b" ", 2)[1])
            assert status in (200, 206, 404, 416), data[:200]
            body = data.partition(b"\r\n\r\n")[2]
            # Zeros are what the kernel puts into a page whose file ends in the midst of it now.
            assert status != 200 or set(body) <= set(b"xpage\0")
    finally:
        over.set()
        changing.join(20)
    assert ask("/a.txt").text == "0123456789"


def test_a_file_that_grows_is_sent_as_long_as_was_promised(ask, folder):
    peer, data = get(ask.address, "/big.bin", "Connection: close")
    with open(folder / "big.bin", "ab") as file:
        file.write(b"more" * 10_000)
    with peer:
        while piece := peer.recv(1 << 20):
            data += piece
    assert len(data.partition(b"\r\n\r\n")[2]) == BIG


def test_what_cannot_be_sought_in_is_sent_to_its_end_and_closed(ask):
    reply = ask("/trickle")
    assert reply.text == "abc" + "d" * 100_000
    assert reply["Content-Length"] is None
    assert ask.root.last.closed
    assert ask("/trickle", range="bytes=1-2").status == 200
    head = ask("/trickle", "HEAD")
    assert (head.status, head.text) == (200, "")
    assert ask.root.last.closed


def test_a_name_is_a_name_and_no_line(ask):
    reply = ask("/closed_early")
    assert reply["X"] is None
    field = reply["Content-Disposition"]
    assert field.endswith("filename*=UTF-8''%E6%97%A5%E6%9C%AC%20%E2%98%83%0D%0AX%3A%20y.txt")
    assert field.isascii()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only on a root shell can we be another"
)
def test_unreadable_files_and_folders(tmp_path):
    """In a process of its own, as somebody who may read the folder but not all that is in it."""
    code = """
import os, shutil, sys, tempfile
import cherrypy
from cherrypy.testing import Client
folder = tempfile.mkdtemp()
os.chmod(folder, 0o755)
os.mkdir(folder + "/locked")
for name in ("open.txt", "shut.txt", "locked/in.txt"):
    with open(os.path.join(folder, name), "w") as file:
        file.write(name)
os.chmod(folder + "/shut.txt", 0)
os.chmod(folder + "/locked", 0)
conf = {"/": {"tools.staticdir.on": True, "tools.staticdir.dir": folder}}
cherrypy.config.update({"log.screen": False})
client = Client(cherrypy.Application(None, "", conf))
client.get("/open.txt")
os.seteuid(65534)
print([client.get(path).status for path in ("/open.txt", "/shut.txt", "/locked/in.txt", "/locked/")])
answer = client.get("/shut.txt").text
print(folder in answer)
os.seteuid(0)
shutil.rmtree(folder)
"""
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert run.stdout == "[200, 404, 404, 404]\nFalse\n", run.stdout + run.stderr
