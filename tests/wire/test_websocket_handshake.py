"""The opening handshake: requests and the answer to each, as a table; both sides with each other."""

import pytest
from corpus_loader import PAGE, with_tables

from kirsch.wire.errors import ProtocolError
from kirsch.wire.http1.requests import HeadLimits, parse_head
from kirsch.wire.websocket import client
from kirsch.wire.websocket.deflate import Settings
from kirsch.wire.websocket.grammar import has_token, read_extensions, read_tokens
from kirsch.wire.websocket.handshake import Refusal, Rules, accept_key, judge

RULES = Rules()
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3
GOOD = {
    "HTTP_HOST": "server.example.com",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_KEY": KEY,
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
}


def fields(**changes):
    """GOOD with changes; None takes a field away."""
    changed = {**GOOD, **changes}
    return {name: value for name, value in changed.items() if value is not None}


def test_the_accept_key():
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3


def test_the_answer():
    assert judge("GET", 1, GOOD, RULES).head() == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"HTTP_UPGRADE": "WebSocket"},
        {"HTTP_UPGRADE": "h2c, websocket"},
        {"HTTP_CONNECTION": "upgrade"},
        {"HTTP_CONNECTION": "keep-alive, Upgrade"},
        {"HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAB=="},
        {"CONTENT_LENGTH": "0"},
        {"HTTP_SEC_WEBSOCKET_EXTENSIONS": ""},
        {"HTTP_SEC_WEBSOCKET_PROTOCOL": ", ,"},
        {"HTTP_SEC_WEBSOCKET_PROTOCOL": ""},
        {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "x-unknown; a=b"},
        {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate"},
        {"HTTP_SEC_WEBSOCKET_PROTOCOL": "chat, superchat"},
    ],
)
def test_accepted(changes):
    answer = judge("GET", 1, fields(**changes), RULES)
    assert [name for name, _ in answer.headers] == ["Upgrade", "Connection", "Sec-WebSocket-Accept"]
    assert answer.subprotocol is None and answer.agreement is None


UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
VERSIONS = [("Sec-WebSocket-Version", "13")]

REFUSED = [
    ("POST", 1, {}, 405, [("Allow", "GET")]),
    ("HEAD", 1, {}, 405, [("Allow", "GET")]),
    ("POST", 1, {"HTTP_UPGRADE": None}, 405, [("Allow", "GET")]),
    ("GET", 0, {}, 426, UPGRADE),
    ("GET", 1, {"HTTP_UPGRADE": None}, 426, UPGRADE),
    ("GET", 1, {"HTTP_UPGRADE": "h2c"}, 426, UPGRADE),
    ("GET", 1, {"HTTP_UPGRADE": "websockets"}, 426, UPGRADE),
    ("GET", 1, {"HTTP_CONNECTION": None}, 400, []),
    ("GET", 1, {"HTTP_CONNECTION": "keep-alive"}, 400, []),
    ("GET", 1, {"HTTP_CONNECTION": "not-upgrade"}, 400, []),
    ("GET", 1, {"HTTP_HOST": None}, 400, []),
    ("GET", 1, {"HTTP_HOST": ""}, 400, []),
    ("GET", 1, {"CONTENT_LENGTH": "5"}, 400, []),
    ("GET", 1, {"HTTP_TRANSFER_ENCODING": "chunked"}, 400, []),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_VERSION": None}, 400, VERSIONS),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 426, [*UPGRADE, *VERSIONS]),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_VERSION": "13, 8"}, 426, [*UPGRADE, *VERSIONS]),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_VERSION": ""}, 426, [*UPGRADE, *VERSIONS]),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_KEY": None}, 400, []),
    *(
        ("GET", 1, {"HTTP_SEC_WEBSOCKET_KEY": key}, 400, [])
        for key in (
            "",
            "x",
            KEY[:-1],
            KEY + "=",
            f"{KEY}, {KEY}",
            "A" * 24,
            "A" * 20 + "====",
            "A" * 23 + "=",
            "dGhlIHNhbXBsZSBub25jZé==",
            "dGhlIHNhbXBsZSBub25jZ-==",
            "dGhlIHNhbXBsZSBub25j Q==",
        )
    ),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_PROTOCOL": "a b"}, 400, []),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_PROTOCOL": "a@b"}, 400, []),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "a b"}, 400, []),
    ("GET", 1, {"HTTP_SEC_WEBSOCKET_EXTENSIONS": "a; b=\"c d\""}, 400, []),
    ("GET", 1, {"HTTP_ORIGIN": "https://evil.example"}, 403, []),
]  # fmt: skip


@pytest.mark.parametrize(("method", "minor", "changes", "status", "headers"), REFUSED)
def test_refused(method, minor, changes, status, headers):
    with pytest.raises(Refusal) as caught:
        judge(method, minor, fields(**changes), RULES)
    error = caught.value
    assert isinstance(error, ProtocolError)
    assert (error.status, error.headers) == (status, headers)
    assert error.text.isascii() and error.text.endswith(".")
    for value in changes.values():
        assert not value or len(value) < 6 or value not in error.text


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://server.example.com", "server.example.com", True),
        ("https://server.example.com", "server.example.com", True),
        ("https://SERVER.example.com", "Server.Example.COM", True),
        ("https://server.example.com", "server.example.com:443", True),
        ("http://server.example.com", "server.example.com:80", True),
        ("http://server.example.com:8080", "server.example.com:8080", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://[::1]", "[::1]", True),
        ("http://server.example.com", "server.example.com:443", False),
        ("http://server.example.com", "server.example.com:8080", False),
        ("http://server.example.com:8080", "server.example.com", False),
        ("http://server.example.com.evil.example", "server.example.com", False),
        ("http://evil.example/server.example.com", "server.example.com", False),
        ("http://evil.example@server.example.com", "server.example.com", False),
        ("http://evil.example, http://server.example.com", "server.example.com", False),
        ("null", "server.example.com", False),
        ("", "server.example.com", False),
        ("server.example.com", "server.example.com", False),
        ("http://", "server.example.com", False),
        ("file://", "server.example.com", False),
    ],
)
def test_pages_of_the_same_host(origin, host, allowed):
    request = fields(HTTP_ORIGIN=origin, HTTP_HOST=host)
    if allowed:
        judge("GET", 1, request, RULES)
    else:
        with pytest.raises(Refusal) as caught:
            judge("GET", 1, request, RULES)
        assert caught.value.status == 403


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["https://a.example"], "https://a.example", True),
        (["https://A.example"], "https://a.EXAMPLE", True),
        (["https://a.example"], "http://a.example", False),
        (["https://a.example"], "https://server.example.com", False),
        (["https://a.example", "same-host"], "https://server.example.com", True),
        (["*"], "https://anybody.example", True),
        (["*"], "null", True),
        (["null"], "null", True),
        ([], "https://server.example.com", False),
        ([], None, True),
    ],
)
def test_lists_of_origins(origins, origin, allowed):
    rules = Rules(origins=origins)
    if allowed:
        judge("GET", 1, fields(HTTP_ORIGIN=origin), rules)
    else:
        with pytest.raises(Refusal, match="403"):
            judge("GET", 1, fields(HTTP_ORIGIN=origin), rules)


def test_a_proxy_may_vouch_for_another_host():
    request = fields(HTTP_ORIGIN="https://public.example")
    judge("GET", 1, request, RULES, host="public.example")
    with pytest.raises(Refusal, match="403"):
        judge(
            "GET", 1, fields(HTTP_ORIGIN="https://server.example.com"), RULES, host="public.example"
        )


@pytest.mark.parametrize("wrong", [{"origins": "https://a.example"}, {"subprotocols": "chat"}])
def test_a_string_is_no_list(wrong):
    with pytest.raises(TypeError):
        Rules(**wrong)


@pytest.mark.parametrize(
    ("known", "offered", "chosen"),
    [
        (["b", "a"], "a, b", "a"),  # the client's order
        (["b"], "a, b", "b"),
        (["b"], "a,,b ,", "b"),
        (["B"], "a, b", None),
        (["b"], None, None),
        (["b"], "", None),
        ([], "a, b", None),
        (lambda offers: offers[-1], "a, b, c", "c"),
        (lambda offers: None, "a", None),
    ],
)
def test_subprotocols(known, offered, chosen):
    request = fields(HTTP_SEC_WEBSOCKET_PROTOCOL=offered)
    answer = judge("GET", 1, request, Rules(subprotocols=known))
    assert answer.subprotocol == chosen
    values = [value for name, value in answer.headers if name == "Sec-WebSocket-Protocol"]
    assert values == ([chosen] if chosen else []), "one at most"
    required = Rules(subprotocols=known, subprotocol_required=True)
    if chosen:
        assert judge("GET", 1, request, required).subprotocol == chosen
    else:
        with pytest.raises(Refusal, match="400"):
            judge("GET", 1, request, required)


def test_a_subprotocol_that_was_not_offered_is_a_mistake_of_ours():
    rules = Rules(subprotocols=lambda offers: "other")
    with pytest.raises(ValueError):
        judge("GET", 1, fields(HTTP_SEC_WEBSOCKET_PROTOCOL="a"), rules)


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("x-a; b, permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=12"),
        # The first one that is acceptable, and only one.
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; unknown", None),
        ("x-webkit-deflate-frame", None),
        ("Permessage-Deflate", None),
    ],
)  # fmt: skip
def test_extensions(offers, answer):
    request = fields(HTTP_SEC_WEBSOCKET_EXTENSIONS=offers)
    accepted = judge("GET", 1, request, Rules(compression=Settings()))
    found = [value for name, value in accepted.headers if name == "Sec-WebSocket-Extensions"]
    assert found == ([answer] if answer else [])
    assert (accepted.agreement is None) == (answer is None)


def test_fields_of_the_application():
    accepted = judge("GET", 1, GOOD, RULES)
    head = accepted.head([("Set-Cookie", "a=b"), ("X-Note", "é")])
    assert head.endswith(b"\r\nSet-Cookie: a=b\r\nX-Note: \xe9\r\n\r\n")
    for wrong in (
        ("X-A", "b\r\nX-C: d"),
        ("X-A", "b\nc"),
        ("X A", "b"),
        ("X-A:", "b"),
        ("Connection", "close"),
        ("content-length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Sec-WebSocket-Accept", "x"),
        ("sec-websocket-protocol", "x"),
    ):
        with pytest.raises(ValueError):
            accepted.head([wrong])


# grammar


@pytest.mark.parametrize(
    ("value", "extensions"),
    [
        ("a", [("a", [])]),
        ("a, b", [("a", []), ("b", [])]),
        (" a ; x = 1 ;\ty ,b", [("a", [("x", "1"), ("y", None)]), ("b", [])]),
        (",, a,, b , ", [("a", []), ("b", [])]),
        ('a; x="1"; y="\\b"', [("a", [("x", "1"), ("y", "b")])]),
        ("a; x; x=1", [("a", [("x", None), ("x", "1")])]),
        ("", []),
        (" , ,", []),
        ("a b", None),
        ("a;", None),
        ("a;=1", None),
        ("a; x=", None),
        ('a; x="', None),
        ('a; x=""', None),
        ('a; x="1,2"', None),
        ('a; x="1" 2', None),
        ("a; x=1=2", None),
        ("a\n", None),
        ("(a)", None),
        ("a" + "; x" * 32, [("a", [("x", None)] * 32)]),
        ("a" + "; x" * 33, None),
    ],
)
def test_extension_lists(value, extensions):
    assert read_extensions(value) == extensions


def test_token_lists():
    assert read_tokens("a, b ,,c\t") == ["a", "b", "c"]
    assert read_tokens("") == []
    assert read_tokens("a b") is None
    assert has_token("a, UPGRADE", "upgrade")
    assert not has_token("a-upgrade, upgrade-b, up grade", "upgrade")


# the client's side


def test_keys_are_fresh_and_valid():
    keys = {client.make_key() for _ in range(20)}
    assert len(keys) == 20
    for key in keys:
        judge("GET", 1, fields(HTTP_SEC_WEBSOCKET_KEY=key), RULES)


@pytest.mark.parametrize("compression", [None, Settings(), Settings(no_context_takeover=True)])
def test_a_client_and_a_server(compression):
    key = client.make_key()
    asked = client.request_head(
        "/chat?room=1",
        "server.example.com:8080",
        key,
        subprotocols=["a", "b"],
        compression=compression,
        more=[("Origin", "http://server.example.com:8080"), ("Cookie", "c=d")],
    )
    head = parse_head(asked, HeadLimits())
    assert head is not None and head.size == len(asked)
    assert (head.target, head.fields["HTTP_COOKIE"]) == ("/chat?room=1", "c=d")
    rules = Rules(subprotocols=["b"], compression=Settings())
    answer = judge(head.method, head.minor, head.fields, rules).head([("Set-Cookie", "e=f")])
    for size in range(len(answer)):
        assert client.read_answer(answer[:size]) is None
    found = client.read_answer(answer + b"\x81\0")
    assert found is not None
    status, received, size = found
    assert size == len(answer)
    accepted = client.check_answer(
        status, received, key, subprotocols=["a", "b"], compression=compression
    )
    assert accepted.subprotocol == "b"
    assert (accepted.agreement is None) == (compression is None)


ANSWER = {
    "upgrade": "WebSocket",
    "connection": "upgrade",
    "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
}


def test_a_good_answer():
    assert client.check_answer(101, ANSWER, KEY).subprotocol is None


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (200, {}),
        (101, {"upgrade": "h2c"}),
        (101, {"connection": "close"}),
        (101, {"sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xoo="}),
        (101, {"sec-websocket-protocol": "c"}),
        (101, {"sec-websocket-protocol": "a, b"}),
        (101, {"sec-websocket-extensions": "x-unknown"}),
        (101, {"sec-websocket-extensions": ""}),
        (101, {"sec-websocket-extensions": "permessage-deflate; unknown"}),
        (101, {"sec-websocket-extensions": "permessage-deflate, permessage-deflate"}),
    ],
)
def test_bad_answers(status, changes):
    wide = Settings(peer_window_bits=15)
    with pytest.raises(client.BadAnswer):
        client.check_answer(
            status, {**ANSWER, **changes}, KEY, subprotocols=["a", "b"], compression=wide
        )


def test_compression_that_was_not_asked_for():
    answer = {**ANSWER, "sec-websocket-extensions": "permessage-deflate"}
    with pytest.raises(client.BadAnswer):
        client.check_answer(101, answer, KEY)


@pytest.mark.parametrize(
    "wrong", [b"HTTP/1.0 101 OK", b"nonsense", b"HTTP/1.1 101 OK\r\nX : y", b"HTTP/1.1 1 OK"]
)
def test_no_answers(wrong):
    with pytest.raises(client.BadAnswer):
        client.read_answer(wrong + b"\r\n\r\n")


def test_repeated_fields_of_an_answer_are_joined():
    data = b"HTTP/1.1 101 OK\r\nA: b\r\na:c\r\n\r\n"
    assert client.read_answer(data) == (101, {"a": "b, c"}, len(data))


@pytest.mark.parametrize(
    ("target", "host", "more"),
    [("/ a", "x", []), ("/\r\n", "x", []), ("/", "x\r\nA: b", []), ("/", "x", [("A:", "b")])],
)
def test_a_request_cannot_be_given_lines(target, host, more):
    with pytest.raises(ValueError):
        client.request_head(target, host, KEY, more=more)


def test_the_page_says_what_the_corpus_says():
    page = PAGE.read_text("utf-8")
    assert page == with_tables(page), "run: python tests/wire/corpus_loader.py"
