"""What a server remembers is not to be seen: the same bytes as from one that remembers nothing."""

import random
import re

import pytest
from server_kit import Peer, until

from kirsch.server import connection, replies, wsgi

CASES = 500


class NoMemo(dict):
    """Remembers nothing."""

    def __setitem__(self, key, value):
        pass


def app(environ, start_response):
    """Answers by chance, seeded with the query alone; shows and then ruins its environ."""
    chance = random.Random(environ["QUERY_STRING"])
    own = ("wsgi.input", "wsgi.errors", "REMOTE_PORT", "SERVER_PORT", "wsgi.file_wrapper")
    shown = {key: value for key, value in environ.items() if key not in own}
    body = repr(sorted(shown.items(), key=lambda item: item[0])).encode()
    body += environ["wsgi.input"].read()
    for key in list(environ):
        if chance.random() < 0.3:
            del environ[key]
        elif chance.random() < 0.3:
            environ[key] = "ruined"
    environ["leaked.key"] = "leaked"
    status = chance.choice(["200 OK", "200 OK", "200 Fine", "204 No Content", "304 Same", "404 No"])
    headers = [("Content-Type", "text/plain")] if chance.random() < 0.7 else []
    if chance.random() < 0.3:
        headers.append(("Set-Cookie", f"id={chance.randrange(3)}"))
    if chance.random() < 0.2:
        headers.append((b"X-Kind", b"1"))
    elif chance.random() < 0.2:
        headers.append(("X-Kind", "1"))
    if chance.random() < 0.1:
        headers.append(("Connection", "close"))
    if chance.random() < 0.1:
        headers.append(("Server", "mine"))
    if chance.random() < 0.05:
        headers.append(("X-Bad", "a\nb"))
    if chance.random() < 0.1:
        headers.append(("Content-Length", str(len(body) + chance.choice([-1, 0, 0, 0, 1]))))
    if chance.random() < 0.1:
        headers = [list(pair) for pair in headers]
    if chance.random() < 0.4:
        value = chance.choice(
            ["1", "2", "id=3; Path=/", "\t", "caf\xe9", "\u20ac", "a\r\nX: b", b"4"]
        )
        headers.append(("Set-Cookie", value))
    start_response(status, headers)
    if chance.random() < 0.3:
        headers.append(("X-Late", str(chance.randrange(3))))
    way = chance.randrange(5)
    if way == 0:
        return iter([body[:10], body[10:]])
    if way == 1:
        return [body[:10], body[10:]]
    if way == 2:
        raise LookupError
    return [body] if way == 3 else (body,)


def conversation(chance):
    """Requests for one connection: few targets and field blocks, so that memories are of use."""
    blocks = [
        b"",
        b"Cookie: a=1\r\n",
        b"Cookie: a=2\r\nAccept: */*\r\n",
        b"X_Under: 1\r\nX-Twice: 1\r\nX-Twice: 2\r\n",
        b"Connection: keep-alive\r\n",
    ]
    requests = []
    block = chance.choice(blocks)
    for _ in range(chance.randrange(1, 14)):
        if chance.random() < 0.3:
            block = chance.choice(blocks)
        method = chance.choice([b"GET", b"GET", b"GET", b"HEAD", b"POST"])
        host = b"http://other" if chance.random() < 0.08 else b""
        target = b"%b/%b?%d" % (host, chance.choice([b"", b"a", b"b%20c"]), chance.randrange(12))
        minor = chance.choice([1, 1, 1, 1, 0])
        data = b"%b %b HTTP/1.%d\r\nHost: t\r\n%b" % (method, target, minor, block)
        if chance.random() < 0.04:
            data += b"Connection: close\r\n"
        if method == b"POST":
            sent = b"x" * chance.choice([0, 3, 3, 50])
            data += b"Content-Length: %d\r\n\r\n" % len(sent) + sent
        else:
            data += b"\r\n"
        requests.append(data)
    requests.append(b"GET /end?0 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    return requests


def answer(address, pieces):
    peer = Peer(address)
    try:
        for piece in pieces:
            peer.send(piece)
        data = peer.rest()
    except ConnectionError:
        data = peer.rest()
    finally:
        peer.close()
    assert b"leaked" not in data and b"ruined" not in data
    return re.sub(rb"Date: [^\r]*", b"Date:", data)


@pytest.mark.parametrize("slow", [False, True])
def test_memories_do_not_show(bench, monkeypatch, slow):
    mindful = bench.server(app, body_buffer=10 if slow else 65536)
    plain = bench.server(app, body_buffer=10 if slow else 65536)
    plain.groups[0].memo = NoMemo()
    parse_head, fill = connection.parse_head, wsgi.fill_environ

    def forgetful_parse(data, limits, last):
        return parse_head(data, limits, None if limits is plain.head_limits else last)

    def forgetful_fill(conn, head):
        if conn.group.server is plain:
            conn.template = conn.template_head = conn.listener.environ = None
        return fill(conn, head)

    monkeypatch.setattr(connection, "parse_head", forgetful_parse)
    monkeypatch.setattr(wsgi, "fill_environ", forgetful_fill)
    if slow:
        for server in (mindful, plain):
            monkeypatch.setattr(server.groups[0], "means", NoMemo())
    chance = random.Random(20)
    hits = 0
    for number in range(CASES):
        requests = conversation(chance)
        together = chance.random() < 0.5
        pieces = [b"".join(requests)] if together else requests
        ours, theirs = (answer(s.bound_addresses[0], pieces) for s in (mindful, plain))
        assert ours == theirs, (number, pieces)
        hits += ours.count(b"HTTP/1.")
    assert hits > 3 * CASES
    for server in (mindful, plain):  # peers that closed are gone at once, whoever owned them
        assert until(lambda server=server: server.counters["open"] == 0, 1)
    assert mindful.groups[0].memo or slow
    assert not plain.groups[0].memo
    counts = mindful.counters
    assert counts["requests"] == plain.counters["requests"]
    assert counts["responses"] == plain.counters["responses"]


LAST = ["1", "2", "", "id=3; Path=/", "a\tb", "caf\xe9", "\u20ac", "a\r\nX: b", b"4", "\x7f"]


def set_cookie(environ, start_response):
    start_response("200 OK", [("X", "1"), ("Set-Cookie", LAST[int(environ["QUERY_STRING"])])])
    return [b"ok"]


def test_a_head_of_which_the_last_value_is_another_one(bench, monkeypatch):
    mindful, plain = bench.server(set_cookie), bench.server(set_cookie)
    plain.groups[0].memo = NoMemo()
    made = []
    with_value = replies.with_value

    def counted(*args):
        made.append(with_value(*args))
        return made[-1]

    monkeypatch.setattr(replies, "with_value", counted)
    chance = random.Random(21)
    for _ in range(20):
        order = chance.choices(range(len(LAST)), [9, 9, 9, 9, 1, 1, 1, 1, 1, 1], k=30)
        pieces = [b"GET /?%d HTTP/1.1\r\nHost: t\r\n\r\n" % one for one in order]
        pieces.append(b"GET /?0 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        ours, theirs = (answer(s.bound_addresses[0], [b"".join(pieces)]) for s in (mindful, plain))
        assert ours == theirs
        assert b"\r\nX: b" not in ours
    assert sum(one is not None for one in made) > 50
    assert None in made
