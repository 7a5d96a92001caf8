"""Every way to name an address."""

import os
import socket
import stat
import threading
import time

import pytest
from server_kit import Peer, hello

from kirsch.server import listeners
from kirsch.server.listeners import describe, listen_unix, parse_bind, split_binds
from kirsch.server.server import Server


def test_parse_bind():
    assert parse_bind("h:80") == ("h", 80)
    assert parse_bind("[::1]:8") == ("::1", 8)
    assert parse_bind(":8") == ("", 8)
    assert parse_bind("/x/y") == "unix:/x/y"
    for bad in ("nonsense", "h:", "h:x", "h:70000", "h:-1", "h:٣"):
        with pytest.raises(ValueError):
            parse_bind(bad)


def test_split_binds():
    assert split_binds(("h", 1)) == [("h", 1)]
    assert split_binds("h:1") == ["h:1"]
    assert split_binds([("h", 1), "h:2"]) == [("h", 1), "h:2"]
    assert split_binds(("h:1", "h:2")) == ["h:1", "h:2"]


def test_describe():
    assert describe(("1.2.3.4", 5)) == "http://1.2.3.4:5"
    assert describe(("::1", 5, 0, 0)) == "http://[::1]:5"
    assert describe("/x") == "unix:/x"


def test_several_binds_and_all_or_none(bench, tmp_path):
    path = str(tmp_path / "s")
    server = bench.server(bind=["127.0.0.1:0", ("127.0.0.1", 0), f"unix:{path}"])
    assert len(server.bound_addresses) == 3
    for address in server.bound_addresses:
        peer = Peer(address)
        assert peer.get()[2] == b"hello"
        peer.close()
    taken = server.bound_addresses[0]
    other = Server([f"unix:{tmp_path}/other", taken], hello)
    with pytest.raises(OSError, match=str(taken[1])):
        other.bind()
    assert not os.path.exists(tmp_path / "other")


def test_unix_socket(bench, tmp_path):
    path = str(tmp_path / "app.sock")
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        start_response("200 OK", [])
        return [b"unix"]

    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    server = bench.server(app, bind=f"unix:{path}", socket_mode=0o600)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    peer = bench.peer(server)
    assert peer.get()[2] == b"unix"
    assert seen["REMOTE_ADDR"] == "" and seen["SERVER_PORT"] == "" and seen["SERVER_NAME"]
    with pytest.raises(OSError, match=r"app\.sock"):
        listen_unix(path, 5, None)
    server.stop()
    assert not os.path.exists(path)


def test_a_file_is_not_removed_for_a_socket(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="precious"):
        listen_unix(str(path), 5, None)
    assert path.read_text() == "data"


def test_dual_stack(bench):
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    server = bench.server(bind="[::]:0")
    port = server.bound_addresses[0][1]
    for address in (("127.0.0.1", port), ("::1", port, 0, 0)):
        peer = Peer(address)
        assert peer.get()[2] == b"hello"
        peer.close()


def test_open_socket_and_descriptor(bench):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = bench.server(bind=sock)
        assert bench.peer(server).get()[2] == b"hello"
        server.stop()
        number = os.dup(sock.fileno())
        server = bench.server(bind=f"fd://{number}")
        for _ in range(2):
            assert bench.peer(server).get()[2] == b"hello"
            server.stop()
            server.start()
        server.stop()
        os.close(number)
    with pytest.raises(OSError, match="fd://999"):
        Server("fd://999", hello).bind()
    with pytest.raises(OSError, match=r"cannot listen on no\.such\.host\.invalid:1"):
        Server("no.such.host.invalid:1", hello).bind()


def test_two_servers_take_over_one_stale_file(tmp_path, monkeypatch):
    """Between looking and unlinking the other may have begun to live there."""
    path = str(tmp_path / "stale.sock")
    served = listeners._is_served
    delays = iter((0.1, 0.3))

    def dawdling(where):
        answer = served(where)
        if not answer:
            time.sleep(next(delays))
        return answer

    monkeypatch.setattr(listeners, "_is_served", dawdling)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    outcome = []

    def take():
        try:
            outcome.append(listeners.listen_unix(path, 5, None))
        except OSError as error:
            outcome.append(error)

    crowd = [threading.Thread(target=take) for _ in range(2)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join(5)
    living = [one for one in outcome if not isinstance(one, OSError)]
    assert len(living) == 1 and living[0].inode == os.stat(path).st_ino
    living[0].close()
    assert not os.path.exists(path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses(bench, host):
    server = bench.server(bind=(host, 0))
    port = server.bound_addresses[0][1]
    for target in [("127.0.0.1", port)] + [("::1", port, 0, 0)] * (host == "::"):
        peer = Peer(target)
        assert peer.get()[2] == b"hello"
        peer.close()
    taken = Server((host, port), hello)
    with pytest.raises(OSError, match=f"{port}.*in use"):
        taken.start()
