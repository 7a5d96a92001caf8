"""Request bodies: forms, files, charsets, sizes, own processors, JSON, and what is refused."""

import json

from compat_kit import R, form, multipart

import cherrypy


def described(value):
    if isinstance(value, list):
        return "[" + ", ".join(described(v) for v in value) + "]"
    if hasattr(value, "file"):
        data = value.file.read() if value.file else value.value
        size = len(data)
        return f"<{value.filename!r} {value.content_type} {size} {data[:20]!r}>"
    return repr(value)


def shout(entity):
    entity.processed = entity.fp.read().upper()


class Root:
    @cherrypy.expose
    def params(self, **kw):
        return " ".join(f"{k}={described(v)}" for k, v in sorted(kw.items()))

    @cherrypy.expose
    def both(self, **kw):
        r = cherrypy.request
        return f"{sorted(r.params.items())} | {sorted(r.body.params.items())}"

    @cherrypy.expose
    def raw(self):
        body = cherrypy.request.body
        return f"{body.content_type} {body.length} {body.charset} {body.read()!r}"

    @cherrypy.expose
    def lines(self):
        body = cherrypy.request.body
        return repr([body.readline(), body.readline(3), list(body)])

    @cherrypy.expose
    def chunks(self):
        body = cherrypy.request.body
        return repr([body.read(2), body.read(3), body.read(), body.read()])

    @cherrypy.expose
    def fullvalue(self):
        return repr(cherrypy.request.body.fullvalue())

    @cherrypy.expose
    def rfile(self):
        return repr(cherrypy.request.rfile.read(int(cherrypy.request.headers["Content-Length"])))

    @cherrypy.expose
    def parts(self):
        return " ".join(
            f"{p.name}:{p.content_type.value}:{p.filename}:{p.fullvalue()!r}"
            for p in cherrypy.request.body.parts
        )

    @cherrypy.expose
    def own(self):
        return repr(cherrypy.request.body.processed)

    @cherrypy.expose
    def info(self):
        body = cherrypy.request.body
        return repr(
            (
                type(body).__name__,
                body.maxbytes,
                sorted(body.processors),
                body.attempt_charsets,
                str(body.content_type),
                body.name,
                body.filename,
                cherrypy.request.process_request_body,
            )
        )

    @cherrypy.expose
    @cherrypy.tools.json_in()
    def json(self):
        return repr(getattr(cherrypy.request, "json", "unset"))

    @cherrypy.expose
    @cherrypy.tools.json_in(force=False)
    def json_optional(self, **kw):
        return repr((getattr(cherrypy.request, "json", "unset"), kw))

    @cherrypy.expose
    @cherrypy.tools.json_in(content_type=["application/vnd.x+json"])
    def json_typed(self):
        return repr(cherrypy.request.json)

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def json_out(self, what="dict"):
        return {
            "dict": {"a": [1, None, "é"]},
            "list": [1, 2],
            "none": None,
            "str": "x",
            "bad": object(),
        }[what]

    @cherrypy.expose
    @cherrypy.tools.json_out(content_type="application/vnd.y+json")
    def json_out_typed(self):
        return []

    @cherrypy.expose
    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def json_echo(self):
        return cherrypy.request.json

    @cherrypy.expose
    @cherrypy.tools.json_out()
    def json_error(self):
        raise cherrypy.HTTPError(409, "conflict")

    @cherrypy.expose
    @cherrypy.tools.decode(encoding="latin-1")
    def decoded(self, **kw):
        return repr(sorted(kw.items()))

    @cherrypy.expose
    @cherrypy.tools.decode(default_encoding="utf-16")
    def decoded_default(self, **kw):
        return repr(sorted(kw.items()))

    @cherrypy.expose
    def late_maxbytes(self):
        cherrypy.request.body.maxbytes = 2
        return repr(cherrypy.request.body.read())


def setup(folder):
    def instance():
        cherrypy.request.body.processors.clear()
        cherrypy.request.body.default_proc = cherrypy.HTTPError(406, "Content type not supported")

    cherrypy.tools.only_known = cherrypy.Tool("before_request_body", instance)
    cherrypy.tree.mount(
        Root(),
        "",
        {
            "/own": {"request.body.processors": {"text/shout": shout}},
            "/params/small": {"request.body.maxbytes": 20},
            "/raw/unprocessed": {},
            "/raw/small": {"request.body.maxbytes": 20},
        },
    )
    cherrypy.tree.mount(Root(), "/small", {"/": {"request.body.maxbytes": 20}})
    cherrypy.tree.mount(Root(), "/unread", {"/": {"request.process_request_body": False}})
    cherrypy.tree.mount(
        Root(), "/latin", {"/": {"request.body.attempt_charsets": ["us-ascii", "iso-8859-1"]}}
    )
    cherrypy.tree.mount(
        Root(), "/attempts", {"/": {"request.body.attempt_charsets": ["us-ascii", "utf-8"]}}
    )
    cherrypy.tree.mount(Root(), "/query", {"/": {"request.query_string_encoding": "iso-8859-1"}})
    cherrypy.tree.mount(Root(), "/known", {"/": {"tools.only_known.on": True}})


FORM = "application/x-www-form-urlencoded"


def posted(path, body, kind=FORM, method="POST", **headers):
    return {
        "path": path,
        "method": method,
        "body": body,
        "headers": {"Content-Type": kind, **headers},
    }


REQUESTS = [
    R("form", "/params", **form(a="1", b="two words", c="&=+%")),
    R("form repeated", **posted("/params", b"a=1&a=2&b=3")),
    R("form semicolons", **posted("/params", b"a=1;b=2")),
    R("form blank", **posted("/params", b"a=&b&=c")),
    R("form empty", **posted("/params", b"")),
    R("form and query", **posted("/both?a=q&z=1", b"a=b&c=d")),
    R("form utf-8", **posted("/params", b"a=%C3%A9%E2%82%AC")),
    R("form raw utf-8", **posted("/params", "a=é€".encode())),
    R("form declared latin-1", **posted("/params", b"a=%E9", FORM + ";charset=ISO-8859-1")),
    R("form not utf-8", **posted("/params", b"a=%E9")),
    R("form unknown charset", **posted("/params", b"a=1", FORM + ";charset=nonsense")),
    R("form utf-16", **posted("/params", b"a=%FF%FE%4B%21", FORM + ";charset=utf-16")),
    R("form bad escapes", **posted("/params", b"a=%zz&b=%4")),
    R("form attempts", **posted("/latin/params", b"a=%E9")),
    R("form attempts fail", **posted("/attempts/params", b"a=%E9")),
    R("form attempts declared", **posted("/attempts/params", b"a=%E9", FORM + ";charset=latin-1")),
    R("form put", **posted("/params", b"a=1", method="PUT")),
    R("form patch", **posted("/params", b"a=1", method="PATCH")),
    R("form delete", **posted("/params", b"a=1", method="DELETE")),
    R("form get with body", **posted("/params?b=2", b"a=1", method="GET")),
    R("form without type", "/params", "POST", body=b"a=1"),
    R("form spaces in type", **posted("/params", b"a=1", FORM + " ; charset = utf-8")),
    R(
        "form chunked",
        raw=b"POST /params HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\na=1\r\n4;ext=1\r\n&b=2\r\n0\r\n\r\n",
    ),
    R("query latin-1", "/query/params?a=%E9"),
    R("query charset wrong", "/params?a=%E9"),
    R(
        "multipart",
        "/params",
        **multipart(
            ('Content-Disposition: form-data; name="a"', b"one"),
            ('Content-Disposition: form-data; name="b"', b"two\r\nlines"),
            ('Content-Disposition: form-data; name="a"', b"again"),
        ),
    ),
    R(
        "multipart file",
        "/params",
        **multipart(
            (
                'Content-Disposition: form-data; name="f"; filename="x.txt"\r\n'
                "Content-Type: text/plain",
                b"file body\r\n-not a boundary\r\n",
            ),
            ('Content-Disposition: form-data; name="t"', b"text"),
        ),
    ),
    R(
        "multipart big file",
        "/params",
        **multipart(
            (
                'Content-Disposition: form-data; name="f"; filename="big.bin"\r\n'
                "Content-Type: application/octet-stream",
                bytes(range(256)) * 800,
            )
        ),
    ),
    R(
        "multipart big field",
        "/params",
        **multipart(('Content-Disposition: form-data; name="f"', b"x" * 3000)),
    ),
    R(
        "multipart empty file",
        "/params",
        **multipart(
            (
                'Content-Disposition: form-data; name="f"; filename=""\r\n'
                "Content-Type: application/octet-stream",
                b"",
            )
        ),
    ),
    R(
        "multipart unicode",
        "/params",
        **multipart(
            ('Content-Disposition: form-data; name="a"', "é€".encode()),
            ('Content-Disposition: form-data; name="f"; filename="né.txt"', b"x"),
        ),
    ),
    R(
        "multipart filename star",
        "/params",
        **multipart(
            ("Content-Disposition: form-data; name=\"f\"; filename*=UTF-8''n%C3%A9.txt", b"x")
        ),
    ),
    R(
        "multipart part charset",
        "/params",
        **multipart(
            (
                'Content-Disposition: form-data; name="a"\r\n'
                "Content-Type: text/plain; charset=ISO-8859-1",
                b"\xe9",
            )
        ),
    ),
    R(
        "multipart not utf-8",
        "/params",
        **multipart(('Content-Disposition: form-data; name="a"', b"\xe9")),
    ),
    R(
        "multipart quoted names",
        "/params",
        **multipart(('Content-Disposition: form-data; name="a\\"b"; filename="c;d.txt"', b"x")),
    ),
    R("multipart without name", "/params", **multipart(("Content-Disposition: form-data", b"x"))),
    R(
        "multipart folded header",
        "/params",
        **multipart(('Content-Disposition: form-data;\r\n name="folded"', b"x")),
    ),
    R(
        "multipart parts",
        "/parts",
        **multipart(
            ('Content-Disposition: form-data; name="a"', b"1"),
            (
                'Content-Disposition: form-data; name="f"; filename="x"\r\nContent-Type: image/png',
                b"\x89PNG",
            ),
        ),
    ),
    R(
        "multipart preamble",
        "/params",
        "POST",
        headers={"Content-Type": "multipart/form-data; boundary=B"},
        body=b'preamble\r\n--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--B--\r\nend',
    ),
    R(
        "multipart quoted boundary",
        "/params",
        "POST",
        headers={"Content-Type": 'multipart/form-data; boundary="a b"'},
        body=b'--a b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--a b--\r\n',
    ),
    R("multipart no boundary", **posted("/params", b"xx", "multipart/form-data")),
    R("multipart bad boundary", **posted("/params", b"xx", 'multipart/form-data; boundary="\x01"')),
    R(
        "multipart truncated",
        "/params",
        "POST",
        headers={"Content-Type": "multipart/form-data; boundary=B"},
        body=b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n1',
    ),
    R(
        "multipart other kind",
        "/parts",
        "POST",
        headers={"Content-Type": "multipart/mixed; boundary=B"},
        body=b"--B\r\nContent-Type: text/x\r\n\r\n1\r\n--B\r\n\r\n2\r\n--B--\r\n",
    ),
    R("raw text", **posted("/raw", b"plain text", "text/plain")),
    R("raw charset", **posted("/raw", b"plain text", "text/plain; charset=latin-1")),
    R("raw no type", "/raw", "POST", body=b"bytes"),
    R("raw get", "/raw"),
    R("raw lines", **posted("/lines", b"one\ntwo\nthree", "text/plain")),
    R("raw pieces", **posted("/chunks", b"0123456789", "text/plain")),
    R("raw fullvalue", **posted("/fullvalue", "é".encode(), "text/plain")),
    R("raw fullvalue bad", **posted("/fullvalue", b"\xe9", "text/plain")),
    R("unread rfile", **posted("/unread/rfile", b"a=1&b=2")),
    R("unread params", **posted("/unread/params", b"a=1&b=2")),
    R("own processor", **posted("/own", b"quiet", "text/shout")),
    R("info", **posted("/info", b"", "text/plain")),
    R("known refused", **posted("/known/params", b"a=1")),
    R("small enough", **posted("/small/params", b"a=1")),
    R("small too large", **posted("/small/params", b"a=" + b"x" * 30)),
    R("small raw", **posted("/small/raw", b"x" * 30, "text/plain")),
    R(
        "small multipart",
        "/small/params",
        **multipart(('Content-Disposition: form-data; name="a"', b"12345")),
    ),
    R("late maxbytes", **posted("/late_maxbytes", b"12345", "text/plain")),
    R("no length", "/params", "POST", headers={"Content-Type": FORM}),
    R(
        "expect continue",
        raw=b"POST /raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
    ),
    R("json", **posted("/json", b'{"a": [1, 2]}', "application/json")),
    R("json charset", **posted("/json", '{"a": "é"}'.encode(), "application/json; charset=utf-8")),
    R("json text type", **posted("/json", b'"x"', "text/javascript")),
    R("json wrong type", **posted("/json", b"{}", "text/plain")),
    R("json form", **posted("/json", b"a=1")),
    R("json invalid", **posted("/json", b"{a: 1}", "application/json")),
    R("json empty", **posted("/json", b"", "application/json")),
    R("json not utf-8", **posted("/json", b'"\xe9"', "application/json")),
    R("json no length", "/json", "POST", headers={"Content-Type": "application/json"}),
    R("json get", "/json"),
    R("json optional", **posted("/json_optional", b"[1]", "application/json")),
    R("json optional form", **posted("/json_optional", b"a=1")),
    R("json typed", **posted("/json_typed", b"{}", "application/vnd.x+json")),
    R("json typed wrong", **posted("/json_typed", b"{}", "application/json")),
    *(R(f"json out {w}", f"/json_out?what={w}") for w in ("dict", "list", "none", "str", "bad")),
    R("json out typed", "/json_out_typed"),
    R("json echo", **posted("/json_echo", json.dumps({"é": "€"}).encode(), "application/json")),
    R("json error", "/json_error"),
    R("decode tool", **posted("/decoded", b"a=%E9")),
    R("decode tool default", **posted("/decoded_default", b"a=%FF%FE%4B%21")),
]
