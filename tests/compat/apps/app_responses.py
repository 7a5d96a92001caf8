"""Responses: kinds of bodies, streaming, statuses, headers, cookies, HEAD, lengths."""

import io

from compat_kit import R

import cherrypy


class Closing:
    """An iterable that counts its closings."""

    closed = 0

    def __init__(self, n=3):
        self.n = n

    def __iter__(self):
        for i in range(self.n):
            yield b"%d," % i

    def close(self):
        type(self).closed += 1


class Root:
    @cherrypy.expose
    def body(self, kind):
        kinds = {
            "str": "text é",
            "bytes": b"bytes \xe9",
            "none": None,
            "empty": "",
            "zero": b"",
            "list": ["a", "b"],
            "byteslist": [b"a", b"b"],
            "mixed": ["a", b"b"],
            "emptylist": [],
            "tuple": ("a", "b"),
            "bytearray": bytearray(b"array"),
            "int": 42,
            "true": True,
            "dict": {"a": 1},
            "object": object,
            "float": 1.5,
            "zeroint": 0,
            "false": False,
            "file": io.BytesIO(b"in memory"),
            "strfile": io.StringIO("text file"),
            "closing": Closing(),
            "iter": iter(["i", "j"]),
            "intlist": [1, 2],
            "noneinside": ["a", None],
            "memoryview": memoryview(b"view"),
            "set": {"one"},
        }
        if kind == "generator":
            return (x for x in ("g", "h", ""))
        return kinds[kind]

    @cherrypy.expose
    def generator(self):
        yield "a"
        yield "é"
        yield b"c"

    @cherrypy.expose
    def generator_error(self):
        yield "a"
        raise ValueError("in generator")

    @cherrypy.expose
    def generator_http_error(self):
        yield "a"
        raise cherrypy.HTTPError(418, "late")

    @cherrypy.expose
    def generator_none(self):
        yield "a"
        yield None

    @cherrypy.expose
    def assigned(self):
        cherrypy.response.body = b"assigned"

    @cherrypy.expose
    def assigned_and_returned(self):
        cherrypy.response.body = b"assigned"
        return "returned"

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream(self, fail="", length="", early=""):
        if length:
            cherrypy.response.headers["Content-Length"] = length
        if early:
            raise ValueError("before streaming")

        def content():
            for i in range(3):
                yield f"{i},"
                if fail == str(i):
                    raise ValueError("while streaming")

        return content()

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream_fails_first(self):
        def content():
            raise ValueError("first")
            yield b""

        return content()

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream_empty_first(self):
        yield ""
        yield "after empty"

    @cherrypy.expose
    def stream_set_inside(self):
        cherrypy.response.stream = True
        return ["x", "y"]

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream_str(self):
        return "a string"

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream_closing(self):
        return Closing()

    @cherrypy.expose
    def closings(self):
        return str(Closing.closed)

    @cherrypy.expose
    def status(self, value, kind="str"):
        cherrypy.response.status = int(value) if kind == "int" else value
        return "body"

    @cherrypy.expose
    def status_bytes(self):
        cherrypy.response.status = b"201 Bytes"
        return "body"

    @cherrypy.expose
    def status_none(self):
        cherrypy.response.status = None
        return "body"

    @cherrypy.expose
    def header(self, name, value, then="ok"):
        cherrypy.response.headers[name] = value
        return then

    @cherrypy.expose
    def headers(self):
        h = cherrypy.response.headers
        h["X-Int"] = 42
        h["x-CASE-name"] = "v"
        h["X-Unicode"] = "é"
        h["X-Euro"] = "€"
        h["X-None"] = None
        h["X-Bytes"] = b"bytes"
        return ", ".join(sorted(h))

    @cherrypy.expose
    def lists(self):
        cherrypy.response.headers["X-Many"] = ["a", "b"]
        cherrypy.response.headers["Vary"] = "Accept"
        cherrypy.lib.set_vary_header(cherrypy.response, "Cookie")
        return "lists"

    @cherrypy.expose
    def remove(self):
        del cherrypy.response.headers["Content-Type"]
        return "no type"

    @cherrypy.expose
    def length(self, n):
        cherrypy.response.headers["Content-Length"] = n
        return "ten bytes."

    @cherrypy.expose
    def request_headers(self):
        h = cherrypy.request.headers
        return repr([(k, v) for k, v in sorted(h.items()) if k.startswith("X-")]) + repr(
            (
                h.get("x-a"),
                "X-A" in h,
                h.get("nothing"),
                [str(e) for e in h.elements("Accept")],
                h.values("X-A") if 0 else 0,
            )
        )

    @cherrypy.expose
    def cookies(self):
        c = cherrypy.request.cookie
        return repr([(k, c[k].value) for k in sorted(c)])

    @cherrypy.expose
    def set_cookies(self):
        c = cherrypy.response.cookie
        c["one"] = "first"
        c["two"] = 'with "quotes" and; semi'
        c["two"]["path"] = "/"
        c["two"]["max-age"] = 3600
        c["three"] = "x"
        c["three"]["secure"] = 1
        c["three"]["httponly"] = True
        c["three"]["domain"] = "compat.test"
        return "set"

    @cherrypy.expose
    def set_cookie_samesite(self):
        cherrypy.response.cookie["s"] = "v"
        cherrypy.response.cookie["s"]["samesite"] = "Strict"
        return "set"

    @cherrypy.expose
    def set_cookie_then_fail(self):
        cherrypy.response.cookie["kept"] = "yes"
        cherrypy.response.headers["X-Kept"] = "no"
        cherrypy.response.headers["ETag"] = "x"
        raise cherrypy.HTTPError(400, "failed")

    @cherrypy.expose
    def unicode_type(self):
        cherrypy.response.headers["Content-Type"] = "text/plain"
        return "é"

    @cherrypy.expose
    def binary_type(self):
        cherrypy.response.headers["Content-Type"] = "image/png"
        return b"\x89PNG"

    @cherrypy.expose
    def latin(self):
        cherrypy.response.headers["Content-Type"] = "text/html;charset=iso-8859-1"
        return "é"

    @cherrypy.expose
    def surrogate(self):
        return "bad \udce9"

    @cherrypy.expose
    def collapse(self):
        cherrypy.response.body = [b"a", b"b"]
        return cherrypy.response.collapse_body()

    @cherrypy.expose
    def big(self, n):
        return "x" * int(n)

    @cherrypy.expose
    def big_generator(self, n):
        return (b"y" * 1000 for _ in range(int(n)))

    @cherrypy.expose
    def response_defaults(self):
        r = cherrypy.response
        return repr((r.status, sorted(r.headers), r.stream, r.header_list, type(r.cookie).__name__))

    @cherrypy.expose
    def repr_(self):
        return repr(cherrypy.response.collapse_body())

    @cherrypy.expose
    def output(self):
        def injected():
            cherrypy.response.header_list.append((b"X-Raw", b"a"))

        cherrypy.request.hooks.attach("on_end_resource", injected)
        return "out"

    @cherrypy.expose
    def bad_pair(self, which):
        def bad():
            pair = {"key": ("text", b"x"), "value": (b"text", "x")}[which]
            cherrypy.response.header_list.append(pair)

        cherrypy.request.hooks.attach("on_end_resource", bad)
        return "bad pair"

    @cherrypy.expose
    def json_number(self):
        return 1


class Bodies(Root):
    _cp_config = {"tools.encode.on": False}


def setup(folder):
    cherrypy.tree.mount(Root(), "", {"/": {"tools.encode.on": True}})
    cherrypy.tree.mount(Bodies(), "/plain")
    cherrypy.tree.mount(Root(), "/ten", {"/": {"tools.encode.on": True}})


KINDS = (
    "str",
    "bytes",
    "none",
    "empty",
    "zero",
    "list",
    "byteslist",
    "mixed",
    "emptylist",
    "tuple",
    "bytearray",
    "int",
    "true",
    "dict",
    "float",
    "zeroint",
    "false",
    "file",
    "strfile",
    "closing",
    "iter",
    "intlist",
    "noneinside",
    "memoryview",
    "set",
    "generator",
)

REQUESTS = [
    *(R(f"body {k}", f"/body?kind={k}") for k in KINDS),
    *(R(f"plain body {k}", f"/plain/body?kind={k}") for k in KINDS),
    *(R(f"head {k}", f"/body?kind={k}", "HEAD") for k in ("str", "none", "generator", "file")),
    *(
        R(name.replace("_", " "), "/" + name)
        for name in (
            "generator",
            "generator_error",
            "generator_http_error",
            "generator_none",
            "assigned",
            "assigned_and_returned",
            "stream",
            "stream_fails_first",
            "stream_empty_first",
            "stream_set_inside",
            "stream_str",
            "stream_closing",
            "closings",
            "status_bytes",
            "status_none",
            "headers",
            "lists",
            "remove",
            "set_cookies",
            "set_cookie_samesite",
            "set_cookie_then_fail",
            "unicode_type",
            "binary_type",
            "latin",
            "surrogate",
            "collapse",
            "response_defaults",
            "repr_",
            "output",
        )
    ),
    R("stream head", "/stream", "HEAD"),
    R("stream 1.0", "/stream", http="1.0"),
    R("stream fails", "/stream?fail=1"),
    R("stream fails before", "/stream?early=1"),
    R("stream with length", "/stream?length=6"),
    R("stream too long", "/stream?length=3"),
    R("stream too short", "/stream?length=20"),
    *(
        R(f"status {v}", f"/status?value={v.replace(' ', '%20')}")
        for v in (
            "200",
            "200 Fine",
            "201 Created",
            "204",
            "204 Nothing",
            "205",
            "304",
            "299 Own",
            "404",
            "404 Own reason",
            "500",
            "599 Last",
            "600",
            "781",
            "99",
            "100",
            "199",
            "error",
            "",
            "200.5",
            "-200",
            "1000 Big",
        )
    ),
    *(R(f"int status {v}", f"/status?kind=int&value={v}") for v in (200, 202, 204, 451, 777, 0)),
    R("head 204", "/status?value=204", "HEAD"),
    R("header", "/header?name=X-Own&value=v"),
    R("header type", "/header?name=Content-Type&value=text/x"),
    R("header server", "/header?name=Server&value=mine"),
    R("header location", "/header?name=Location&value=/x"),
    R("header connection", "/header?name=Connection&value=close"),
    R("header date kept", "/header?name=X-Date&value=now"),
    R("length right", "/length?n=10"),
    R("length short", "/length?n=3"),
    R("length long", "/length?n=20"),
    R("length garbage", "/length?n=abc"),
    R(
        "request headers",
        "/request_headers",
        headers={"X-A": "1", "x-lower": "2", "X-EMPTY": "", "Accept": "a/b;q=0.5, c/d, e/f;q=0.9"},
    ),
    R("request header rfc 2047", "/request_headers", headers={"X-A": "=?utf-8?q?=C3=A9?="}),
    R(
        "request header latin-1",
        raw=b"GET /request_headers HTTP/1.1\r\nHost: x\r\nX-A: \xe9\r\nConnection: close\r\n\r\n",
    ),
    R(
        "request headers repeated",
        raw=b"GET /request_headers HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n"
        b"X-B: 2\r\nX-A: 3\r\nConnection: close\r\n\r\n",
    ),
    R("cookies", "/cookies", headers={"Cookie": 'a=1; b="two"; c=x=y; d='}),
    R("cookies none", "/cookies"),
    R("cookies quoted", "/cookies", headers={"Cookie": 'a="semi\\073 colon"; b=2'}),
    R("cookies twice", "/cookies", headers={"Cookie": "a=1; a=2"}),
    R("cookies malformed", "/cookies", headers={"Cookie": "good=1; foo[bar]=1; last=3"}),
    R("cookies odd", "/cookies", headers={"Cookie": "SM#/#x=1; good=1"}),
    R("cookies json", "/cookies", headers={"Cookie": 'good=3; j={"a":1}; z=3'}),
    R("cookies reserved", "/cookies", headers={"Cookie": "a=1; path=/x; expires=2; b=3"}),
    R("big", "/big?n=100000"),
    R("big generator", "/big_generator?n=200"),
    R("bad pair key", "/bad_pair?which=key"),
    R("bad pair value", "/bad_pair?which=value"),
]
