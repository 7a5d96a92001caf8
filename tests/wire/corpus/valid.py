"""Well-formed requests and what must be made of them.

Each case: name, RFC section, bytes, the exchanges in order. An exchange names what differs from
``GET / HTTP/1.1`` with ``Host: x``, no body and a connection that stays.
"""


def case(name, rfc, data, *exchanges, rule=None, rest=b""):
    return {
        "name": name,
        "rfc": rfc,
        "data": data,
        "exchanges": [dict(e) for e in exchanges or ({},)],
        "rule": rule,
        "rest": rest,
    }


def get(target, **more):
    return {"target": target, "path": target, **more}


H = b"Host: x\r\n\r\n"
X = {"HTTP_HOST": "x"}


def with_field(name, rfc, line, extra, rule=None, **more):
    return case(
        name,
        rfc,
        b"GET / HTTP/1.1\r\n" + line + b"\r\n" + H,
        {"fields": {**extra, **X}, **more},
        rule=rule,
    )


def post(name, rfc, lines, body, *, fields, result, rule=None, rest=b"", **more):
    data = b"POST / HTTP/1.1\r\n" + lines + H + body
    exchange = {"method": "POST", "fields": {**fields, **X}, "body": result, **more}
    return case(name, rfc, data, exchange, rule=rule, rest=rest)


def chunked(name, rfc, body, result, rule=None, rest=b"", **more):
    return post(
        name,
        rfc,
        b"Transfer-Encoding: chunked\r\n",
        body,
        fields={"HTTP_TRANSFER_ENCODING": "chunked"},
        result=result,
        rule=rule,
        rest=rest,
        chunked=True,
        **more,
    )


def connection(name, minor, value, keep_alive, rfc="RFC 9112 9.3"):
    line = b"GET / HTTP/1.%d\r\n" % minor
    fields = dict(X)
    if value is not None:
        line += b"Connection: " + value + b"\r\n"
        fields["HTTP_CONNECTION"] = value.decode()
    return case(name, rfc, line + H, {"minor": minor, "fields": fields, "keep_alive": keep_alive})


BROWSER = b"""GET /user/42?tab=posts&x=1 HTTP/1.1
Host: www.example.com:8080
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0
Accept: text/html,application/xhtml+xml,*/*;q=0.8
Accept-Language: en-US,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Referer: https://www.example.com/some/page?with=query
Connection: keep-alive
Cookie: session_id=0123456789abcdef; theme=dark
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: same-origin
Cache-Control: max-age=0

""".replace(b"\n", b"\r\n")

WEBSOCKET = b"""GET /chat HTTP/1.1
Host: x
Upgrade: websocket
Connection: keep-alive, Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

""".replace(b"\n", b"\r\n")

CASES = [
    case("smallest", "RFC 9112 3", b"GET / HTTP/1.1\r\n" + H),
    case(
        "smallest 1.0",
        "RFC 9112 2.3",
        b"GET / HTTP/1.0\r\n\r\n",
        {"minor": 0, "fields": {}, "keep_alive": False},
    ),
    case(
        "browser",
        "RFC 9112 5",
        BROWSER,
        {
            "target": "/user/42?tab=posts&x=1",
            "path": "/user/42",
            "query": "tab=posts&x=1",
            "fields": {
                "HTTP_HOST": "www.example.com:8080",
                "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                "HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8",
                "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.5",
                "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
                "HTTP_REFERER": "https://www.example.com/some/page?with=query",
                "HTTP_CONNECTION": "keep-alive",
                "HTTP_COOKIE": "session_id=0123456789abcdef; theme=dark",
                "HTTP_UPGRADE_INSECURE_REQUESTS": "1",
                "HTTP_SEC_FETCH_DEST": "document",
                "HTTP_SEC_FETCH_MODE": "navigate",
                "HTTP_SEC_FETCH_SITE": "same-origin",
                "HTTP_CACHE_CONTROL": "max-age=0",
            },
        },
    ),
    case(
        "websocket handshake",
        "RFC 6455 4.1",
        WEBSOCKET,
        {
            "target": "/chat",
            "path": "/chat",
            "fields": {
                "HTTP_HOST": "x",
                "HTTP_UPGRADE": "websocket",
                "HTTP_CONNECTION": "keep-alive, Upgrade",
                "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
                "HTTP_SEC_WEBSOCKET_VERSION": "13",
            },
        },
    ),
    # methods
    *[
        case(f"method {m}", "RFC 9110 9.3", m.encode() + b" / HTTP/1.1\r\n" + H, {"method": m})
        for m in (
            "HEAD",
            "PUT",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "PATCH",
            "PROPFIND",
            "M-SEARCH",
            "LINK",
        )
    ],
    case(
        "method of odd token characters",
        "RFC 9110 5.6.2",
        b"!#$%&'*+-.^_`|~09A / HTTP/1.1\r\n" + H,
        {"method": "!#$%&'*+-.^_`|~09A"},
    ),
    case(
        "method of 32 bytes", "RFC 9112 3", b"A" * 32 + b" / HTTP/1.1\r\n" + H, {"method": "A" * 32}
    ),
    # targets
    case(
        "query",
        "RFC 9112 3.2.1",
        b"GET /a?b=c HTTP/1.1\r\n" + H,
        get("/a?b=c", path="/a", query="b=c"),
    ),
    case("empty query", "RFC 9112 3.2.1", b"GET /a? HTTP/1.1\r\n" + H, get("/a?", path="/a")),
    case(
        "question marks in query",
        "RFC 3986 3.4",
        b"GET /a?b?c/d? HTTP/1.1\r\n" + H,
        get("/a?b?c/d?", path="/a", query="b?c/d?"),
    ),
    case("parameters in path", "RFC 3986 3.3", b"GET /a;b=c/d HTTP/1.1\r\n" + H, get("/a;b=c/d")),
    case(
        "percent decoding",
        "RFC 3986 2.1",
        b"GET /a%20b%c3%A9?%20 HTTP/1.1\r\n" + H,
        get("/a%20b%c3%A9?%20", path="/a b\xc3\xa9", query="%20"),
    ),
    case(
        "percent twice", "RFC 3986 2.4", b"GET /%2541 HTTP/1.1\r\n" + H, get("/%2541", path="/%41")
    ),
    case(
        "encoded slash",
        "RFC 3986 2.2",
        b"GET /a%2fb%2Fc HTTP/1.1\r\n" + H,
        get("/a%2fb%2Fc", path="/a%2Fb%2Fc"),
        rule="percent-slash",
    ),
    case(
        "bad percent", "RFC 3986 2.1", b"GET /%zz%4 HTTP/1.1\r\n" + H, get("/%zz%4"), rule="percent"
    ),
    case(
        "encoded NUL",
        "RFC 3986 2.1",
        b"GET /a%00b HTTP/1.1\r\n" + H,
        get("/a%00b", path="/a\0b"),
        rule="percent-nul",
    ),
    case(
        "encoded CRLF",
        "RFC 3986 2.1",
        b"GET /a%0d%0ab HTTP/1.1\r\n" + H,
        get("/a%0d%0ab", path="/a\r\nb"),
        rule="percent-nul",
    ),
    case(
        "encoded hash and question mark",
        "RFC 3986 2.2",
        b"GET /a%23b%3Fc HTTP/1.1\r\n" + H,
        get("/a%23b%3Fc", path="/a#b?c"),
    ),
    case(
        "dot segments are the application's",
        "RFC 3986 5.2.4",
        b"GET /a/../%2e%2e/b HTTP/1.1\r\n" + H,
        get("/a/../%2e%2e/b", path="/a/../../b"),
    ),
    case(
        "two slashes",
        "RFC 9112 3.2.1",
        b"GET //evil/a HTTP/1.1\r\n" + H,
        get("//evil/a"),
        rule="double-slash",
    ),
    case(
        "visible characters",
        "RFC 9112 3.2",
        b'GET /a|b"<>{}^`[]\\ HTTP/1.1\r\n' + H,
        get('/a|b"<>{}^`[]\\'),
        rule="target-chars",
    ),
    case("asterisk", "RFC 9112 3.2.4", b"OPTIONS * HTTP/1.1\r\n" + H, get("*", method="OPTIONS")),
    case(
        "authority",
        "RFC 9112 3.2.3",
        b"CONNECT a.example:443 HTTP/1.1\r\n" + H,
        get("a.example:443", method="CONNECT"),
        rule="authority",
    ),
    case(
        "authority IPv6",
        "RFC 9112 3.2.3",
        b"CONNECT [::1]:443 HTTP/1.1\r\n" + H,
        get("[::1]:443", method="CONNECT"),
        rule="authority",
    ),
    case(
        "absolute",
        "RFC 9112 3.2.2",
        b"GET http://x/a%20b?c HTTP/1.1\r\n" + H,
        get("http://x/a%20b?c", scheme="http", path="/a b", query="c"),
    ),
    case(
        "absolute, another host",
        "RFC 9112 3.2.2",
        b"GET HTTPS://other:81/a HTTP/1.1\r\n" + H,
        get("HTTPS://other:81/a", scheme="https", path="/a", fields={"HTTP_HOST": "other:81"}),
        rule="absolute",
    ),
    case(
        "absolute without path",
        "RFC 9110 4.2.3",
        b"GET http://x?q HTTP/1.1\r\n" + H,
        get("http://x?q", scheme="http", path="/", query="q"),
    ),
    case(
        "absolute IPv6",
        "RFC 3986 3.2.2",
        b"GET http://[::1]:80/ HTTP/1.1\r\n" + H,
        get("http://[::1]:80/", scheme="http", path="/", fields={"HTTP_HOST": "[::1]:80"}),
    ),
    case(
        "absolute 1.0 without Host",
        "RFC 9112 3.2.2",
        b"GET http://y/ HTTP/1.0\r\n\r\n",
        get(
            "http://y/",
            scheme="http",
            path="/",
            minor=0,
            fields={"HTTP_HOST": "y"},
            keep_alive=False,
        ),
    ),
    # empty lines
    case(
        "one empty line before", "RFC 9112 2.2", b"\r\nGET / HTTP/1.1\r\n" + H, rule="empty-lines"
    ),
    case(
        "four empty lines before",
        "RFC 9112 2.2",
        b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n" + H,
        rule="empty-lines",
    ),
    # fields
    with_field("no space after the colon", "RFC 9112 5", b"A:b", {"HTTP_A": "b"}),
    with_field("whitespace around a value", "RFC 9112 5.1", b"A: \t b c \t ", {"HTTP_A": "b c"}),
    with_field("tab before a value", "RFC 9112 5.1", b"A:\tb", {"HTTP_A": "b"}),
    with_field("two blanks before a value", "RFC 9112 5.1", b"A:  b", {"HTTP_A": "b"}),
    with_field("blanks after a value", "RFC 9112 5.1", b"A: b \t", {"HTTP_A": "b"}),
    with_field("tab in a value", "RFC 9110 5.5", b"A: b\tc", {"HTTP_A": "b\tc"}),
    with_field("empty value", "RFC 9110 5.5", b"A:", {"HTTP_A": ""}),
    with_field("value of blanks", "RFC 9110 5.5", b"A:  \t", {"HTTP_A": ""}),
    with_field("colons in a value", "RFC 9110 5.5", b"A: b: c:", {"HTTP_A": "b: c:"}),
    with_field(
        "latin-1 value",
        "RFC 9110 5.5",
        b"A: \xe9\x80\xff",
        {"HTTP_A": "\xe9\x80\xff"},
        rule="obs-text",
    ),
    with_field(
        "odd characters in a name",
        "RFC 9110 5.1",
        b"!#$%&'*+.^`|~1a: b",
        {"HTTP_!#$%&'*+.^`|~1A": "b"},
    ),
    with_field("case of names", "RFC 9110 5.1", b"uSER-aGENT: b", {"HTTP_USER_AGENT": "b"}),
    with_field(
        "content fields have no prefix",
        "RFC 3875 4.1",
        b"content-TYPE: a/b",
        {"CONTENT_TYPE": "a/b"},
    ),
    with_field(
        "repeated list",
        "RFC 9110 5.3",
        b"A: 1\r\nB: x\r\na: 2\r\nA:",
        {"HTTP_A": "1, 2, ", "HTTP_B": "x"},
        rule="repeated",
    ),
    with_field(
        "repeated cookie",
        "RFC 9113 8.2.3",
        b"Cookie: a=1\r\nCookie: b=2",
        {"HTTP_COOKIE": "a=1; b=2"},
        rule="repeated",
    ),
    with_field(
        "equal types",
        "RFC 9110 5.3",
        b"Content-Type: a/b\r\nContent-Type: a/b",
        {"CONTENT_TYPE": "a/b"},
        rule="repeated-equal",
    ),
    with_field(
        "equal credentials",
        "RFC 9110 5.3",
        b"Authorization: a\r\nAuthorization: a",
        {"HTTP_AUTHORIZATION": "a"},
        rule="repeated-equal",
    ),
    with_field(
        "underscore",
        "RFC 9110 5.1",
        b"A_b: 1\r\nA-b: 2\r\na_B: 3",
        {"HTTP_A_B": "2"},
        rule="underscore",
    ),
    with_field(
        "underscore length frames nothing",
        "RFC 9110 8.6",
        b"Content_Length: 5\r\nTransfer_Encoding: chunked",
        {},
        rule="underscore",
    ),
    with_field(
        "underscore type is none",
        "RFC 9110 8.3",
        b"Content_Type: a/b\r\nX_Real-IP: 1",
        {},
        rule="underscore",
    ),
    # Host
    *[
        case(
            f"Host {host.decode() or 'empty'}",
            "RFC 9110 7.2",
            b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n",
            {"fields": {"HTTP_HOST": host.decode()}},
            rule=rule,
        )
        for host, rule in (
            (b"a.example:8080", None),
            (b"127.0.0.1:1", None),
            (b"[::1]", None),
            (b"[fe80::1]:80", None),
            (b"[v1.a:b]", None),
            (b"a_b-c~.%41:", None),
            (b"", "host-empty"),
            (b"=?iso-8859-1?q?foo=0Abar?=", "host-encoded-word"),
        )
    ],
    # persistence
    connection("1.1 stays", 1, None, True),
    connection("1.1 close", 1, b"close", False),
    connection("1.1 CLOSE in a list", 1, b"foo,\tCLOSE ,,bar", False),
    connection("1.1 keep-alive", 1, b"Keep-Alive", True),
    connection("1.1 close wins", 1, b"keep-alive, close", False),
    connection("1.1 upgrade", 1, b"Upgrade", True),
    connection("1.1 closed is not close", 1, b"closed", True),
    connection("1.0 goes", 0, None, False),
    connection("1.0 keep-alive", 0, b"Keep-Alive", True),
    connection("1.0 KEEP-ALIVE in a list", 0, b"x, KEEP-ALIVE", True),
    connection("1.0 close wins", 0, b"keep-alive, close", False),
    # bodies by length
    post(
        "length",
        "RFC 9112 6.2",
        b"Content-Length: 5\r\n",
        b"ab\r\nc",
        fields={"CONTENT_LENGTH": "5"},
        result=b"ab\r\nc",
        length=5,
    ),
    post(
        "length 0",
        "RFC 9110 8.6",
        b"Content-Length: 0\r\n",
        b"",
        fields={"CONTENT_LENGTH": "0"},
        result=b"",
        length=0,
    ),
    post(
        "length with zeros",
        "RFC 9110 8.6",
        b"Content-Length: 0003\r\n",
        b"abc",
        fields={"CONTENT_LENGTH": "0003"},
        result=b"abc",
        length=3,
    ),
    post(
        "length padded",
        "RFC 9110 5.6.3",
        b"Content-Length:\t3 \r\n",
        b"abc",
        fields={"CONTENT_LENGTH": "3"},
        result=b"abc",
        length=3,
    ),
    case(
        "GET with a body",
        "RFC 9110 9.3.1",
        b"GET / HTTP/1.1\r\nContent-Length: 2\r\n" + H + b"ab",
        {"fields": {"CONTENT_LENGTH": "2", **X}, "length": 2, "body": b"ab"},
    ),
    post(
        "a body that looks like a request",
        "RFC 9112 6.2",
        b"Content-Length: 18\r\n",
        b"GET /x HTTP/1.1\r\n\r",
        fields={"CONTENT_LENGTH": "18"},
        result=b"GET /x HTTP/1.1\r\n\r",
        length=18,
    ),
    # Expect
    post(
        "expect",
        "RFC 9110 10.1.1",
        b"Expect: 100-Continue\r\nContent-Length: 1\r\n",
        b"a",
        fields={"HTTP_EXPECT": "100-Continue", "CONTENT_LENGTH": "1"},
        result=b"a",
        length=1,
        expect=True,
    ),
    post(
        "expect nothing",
        "RFC 9110 10.1.1",
        b"Expect: 100-continue\r\nContent-Length: 0\r\n",
        b"",
        fields={"HTTP_EXPECT": "100-continue", "CONTENT_LENGTH": "0"},
        result=b"",
        length=0,
        rule="expect-1.0",
    ),
    post(
        "expect something else",
        "RFC 9110 10.1.1",
        b"Expect: tea\r\nContent-Length: 1\r\n",
        b"a",
        fields={"HTTP_EXPECT": "tea", "CONTENT_LENGTH": "1"},
        result=b"a",
        length=1,
        rule="expect-other",
    ),
    case(
        "expect in 1.0",
        "RFC 9110 10.1.1",
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
        {
            "method": "POST",
            "minor": 0,
            "fields": {"HTTP_EXPECT": "100-continue", "CONTENT_LENGTH": "1"},
            "length": 1,
            "body": b"a",
            "keep_alive": False,
        },
        rule="expect-1.0",
    ),
    # chunks
    chunked("chunked", "RFC 9112 7.1", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
    chunked("chunked, nothing", "RFC 9112 7.1", b"0\r\n\r\n", b""),
    chunked(
        "chunk digits",
        "RFC 9112 7.1",
        b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"01234567890123456789",
    ),
    chunked(
        "chunk size with zeros",
        "RFC 9112 7.1",
        b"00003\r\nabc\r\n000\r\n\r\n",
        b"abc",
        rule="chunk-zeros",
    ),
    chunked("chunk of line ends", "RFC 9112 7.1", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    chunked(
        "chunk that looks like the last",
        "RFC 9112 7.1",
        b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        b"0\r\n\r\n",
    ),
    chunked(
        "chunk extensions",
        "RFC 9112 7.1.1",
        b'3;a\r\nabc\r\n1;a=b;c="d\\"; e";f\r\nd\r\n0;x=y\r\n\r\n',
        b"abcd",
    ),
    chunked(
        "chunk extension whitespace",
        "RFC 9112 7.1.1",
        b"3 ; a = b\t;c\r\nabc\r\n0\r\n\r\n",
        b"abc",
        rule="bws",
    ),
    chunked(
        "trailers",
        "RFC 9112 7.1.2",
        b"3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 99\r\n\r\n",
        b"abc",
        rule="trailer",
    ),
    post(
        "chunked, another case",
        "RFC 9112 7",
        b"transfer-encoding: Chunked\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        fields={"HTTP_TRANSFER_ENCODING": "Chunked"},
        result=b"a",
        chunked=True,
    ),
    post(
        "chunked, expected",
        "RFC 9110 10.1.1",
        b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        fields={"HTTP_TRANSFER_ENCODING": "chunked", "HTTP_EXPECT": "100-continue"},
        result=b"a",
        chunked=True,
        expect=True,
    ),
    # several requests
    case(
        "pipelined",
        "RFC 9112 9.3.2",
        b"GET /a HTTP/1.1\r\n" + H + b"GET /b HTTP/1.1\r\n" + H + b"GET /b HTTP/1.1\r\n" + H,
        get("/a"),
        get("/b"),
        get("/b"),
    ),
    case(
        "pipelined after a body",
        "RFC 9112 9.3.2",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n" + H + b"abcGET /b HTTP/1.1\r\n" + H,
        {"method": "POST", "fields": {"CONTENT_LENGTH": "3", **X}, "length": 3, "body": b"abc"},
        get("/b"),
    ),
    case(
        "pipelined after chunks, an empty line between",
        "RFC 9112 2.2",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
        + H
        + b"1\r\na\r\n0\r\nT: u\r\n\r\n\r\nGET /b HTTP/1.1\r\n"
        + H,
        {
            "method": "POST",
            "fields": {"HTTP_TRANSFER_ENCODING": "chunked", **X},
            "chunked": True,
            "body": b"a",
        },
        get("/b"),
    ),
    case(
        "same fields, other version",
        "RFC 9112 9.3",
        b"GET / HTTP/1.1\r\n" + H + b"GET / HTTP/1.0\r\n" + H,
        {},
        {"minor": 0, "keep_alive": False},
    ),
    case(
        "same fields after an absolute target",
        "RFC 9112 3.2.2",
        b"GET http://y/ HTTP/1.1\r\n"
        + H
        + b"GET /a HTTP/1.1\r\n"
        + H
        + b"GET http://y/ HTTP/1.1\r\n"
        + H,
        get("http://y/", scheme="http", path="/", fields={"HTTP_HOST": "y"}),
        get("/a"),
        get("http://y/", scheme="http", path="/", fields={"HTTP_HOST": "y"}),
    ),
    case(
        "what follows a close is left",
        "RFC 9112 9.6",
        b"GET / HTTP/1.1\r\nConnection: close\r\n" + H + b"GET /b",
        {"fields": {"HTTP_CONNECTION": "close", **X}, "keep_alive": False},
        rest=b"GET /b",
    ),
    case(
        "unfinished next request",
        "RFC 9112 8",
        b"GET / HTTP/1.1\r\n" + H + b"GET /b HTT",
        rest=b"GET /b HTT",
    ),
]
