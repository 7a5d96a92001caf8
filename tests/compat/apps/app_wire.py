"""What the server itself answers, framing, logging, and the traps of long-lived processes."""

from compat_kit import R

import cherrypy


class Root:
    @cherrypy.expose
    def index(self, **kw):
        return "index"

    @cherrypy.expose
    def echo(self):
        return cherrypy.request.body.read()

    @cherrypy.expose
    def upload(self):
        return f"thanks for {len(cherrypy.request.body.fp.read())}"

    @cherrypy.expose
    def unread(self):
        return "did not read"

    @cherrypy.expose
    def custom(self, cl):
        cherrypy.response.headers["Content-Length"] = cl
        return b"0123456789"

    @cherrypy.expose
    def err_before_read(self):
        return cherrypy.request.rfile.read()

    @cherrypy.expose
    @cherrypy.config(**{"response.stream": True})
    def stream(self):
        yield b"0"
        yield b"1"

    @cherrypy.expose
    def close(self):
        cherrypy.response.headers["Connection"] = "close"
        return "closing"

    @cherrypy.expose
    def path(self, *a, **kw):
        r = cherrypy.request
        return f"{r.path_info}|{r.query_string}|{r.request_line}|{a}"

    # --- logging

    @cherrypy.expose
    def lines(self):
        """The access lines so far, but for this one."""
        with open(FILES[0], encoding="utf-8") as f:
            wanted = ("/log", "/path", "/own_format", "/upload")
            return "".join(x for x in f if any(w in x for w in wanted))

    @cherrypy.expose
    def error_lines(self):
        with open(FILES[1], encoding="utf-8") as f:
            lines = [x for x in f.read().split("\n") if "ENGINE" not in x and x[:1] != " "]
            text = "\n".join(lines)
            return text[text.index("CONTEXT") :].replace("Traceback (most recent", "TRACE (")

    @cherrypy.expose
    def log(self, text="message", tb=""):
        if tb:
            try:
                raise ValueError("logged")
            except ValueError:
                cherrypy.log(text, "CONTEXT", traceback=True)
        else:
            cherrypy.log(text, "CONTEXT")
        return "logged"

    @cherrypy.expose
    def log_levels(self):
        import logging

        cherrypy.log("warned", "LEVEL", severity=logging.WARNING)
        cherrypy.log.error("errored")
        cherrypy.request.app.log("by app")
        return repr(
            (
                cherrypy.log.screen,
                cherrypy.log.appid,
                cherrypy.request.app.log.logger_root,
                cherrypy.log.error_log.name,
                cherrypy.log.access_log.name,
                cherrypy.log.access_log_format,
            )
        )

    @cherrypy.expose
    def login(self):
        cherrypy.request.login = "some one"
        return "x"

    @cherrypy.expose
    def own_format(self, on="1"):
        kind = type(cherrypy.log)
        if on == "1":
            kind.access_log_format = "{h} {r} {s} {i}"
        else:
            kind.access_log_format = KEPT[0]
        return "format"


KEPT = [cherrypy._cplogging.LogManager.access_log_format]
FILES = []


def setup(folder):
    FILES[:] = f"{folder}/access.log", f"{folder}/error.log"
    cherrypy.config.update(
        {
            "server.max_request_body_size": 1000,
            "server.max_request_header_size": 2000,
            "log.access_file": FILES[0],
            "log.error_file": FILES[1],
            "server.socket_timeout": 2,
        }
    )
    cherrypy.tree.mount(Root())


def raw(name, data):
    return R(name, raw=data)


H = b"Host: x\r\n"
C = b"Connection: close\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + H + b"Content-Type: text/plain\r\n"

REQUESTS = [
    R("index", "/"),
    raw(
        "keep alive", b"GET / HTTP/1.1\r\n" + H + b"\r\nGET /path/2 HTTP/1.1\r\n" + H + C + b"\r\n"
    ),
    raw(
        "keep alive 1.0", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n"
    ),
    raw("no keep alive 1.0", b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
    raw("keep alive then idle", b"GET / HTTP/1.1\r\n" + H + b"\r\n"),
    raw(
        "keep alive post", POST + b"Content-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n" + H + C + b"\r\n"
    ),
    raw(
        "keep alive unread",
        b"POST /unread HTTP/1.1\r\n" + H + b"Content-Type: text/plain\r\n"
        b"Content-Length: 5\r\n\r\nabcdeGET / HTTP/1.1\r\n" + H + C + b"\r\n",
    ),
    raw(
        "keep alive streamed",
        b"GET /stream HTTP/1.1\r\n" + H + b"\r\nGET / HTTP/1.1\r\n" + H + C + b"\r\n",
    ),
    raw("streamed 1.0 keep alive", b"GET /stream HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
    raw("close by handler", b"GET /close HTTP/1.1\r\n" + H + b"\r\n"),
    raw("no host", b"GET / HTTP/1.1\r\n" + C + b"\r\n"),
    raw("leading crlf", b"\r\nGET / HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("bare lf", b"GET / HTTP/1.1\nHost: x\n\n"),
    raw("garbage", b"garbage\r\n\r\n"),
    raw("two words", b"GET /\r\n\r\n"),
    raw("four words", b"GET / x HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("no version", b"GET / HTTPX\r\n\r\n"),
    raw("bad version", b"GET / HTTP/x.y\r\n\r\n"),
    raw("http 2.0", b"GET / HTTP/2.0\r\n" + H + b"\r\n"),
    raw("http 0.9", b"GET / HTTP/0.9\r\n" + H + b"\r\n"),
    raw("http 1.2", b"GET / HTTP/1.2\r\n" + H + C + b"\r\n"),
    raw("fragment", b"GET /path#frag HTTP/1.1\r\n" + H + b"\r\n"),
    raw("no leading slash", b"GET path HTTP/1.1\r\n" + H + b"\r\n"),
    raw("star", b"OPTIONS * HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("star get", b"GET * HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("connect", b"CONNECT example.test:80 HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("connect path", b"CONNECT /x HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("absolute", b"GET http://other.test/path/y?z=1 HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("absolute no path", b"GET http://other.test HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("lower method", b"get / HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("odd method", b"G@T / HTTP/1.1\r\n" + H + C + b"\r\n"),
    raw("header no colon", b"GET / HTTP/1.1\r\n" + H + b"nocolon\r\n" + C + b"\r\n"),
    raw("header space", b"GET / HTTP/1.1\r\n" + H + b"X Y: z\r\n" + C + b"\r\n"),
    raw("header space before colon", b"GET / HTTP/1.1\r\n" + H + b"X-Y : z\r\n" + C + b"\r\n"),
    raw("header folded", b"GET / HTTP/1.1\r\n" + H + b"X-Y: z\r\n more\r\n" + C + b"\r\n"),
    raw("header lf", b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n" + C + b"\r\n"),
    raw("header empty name", b"GET / HTTP/1.1\r\n" + H + b": z\r\n" + C + b"\r\n"),
    raw("header first is folded", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    raw("headers too large", b"GET / HTTP/1.1\r\n" + H + b"X: " + b"y" * 3000 + b"\r\n\r\n"),
    raw("line too long", b"GET /" + b"y" * 3000 + b" HTTP/1.1\r\n" + H + b"\r\n"),
    raw("length not a number", POST + C + b"Content-Length: x\r\n\r\nhi"),
    raw("length negative", POST + C + b"Content-Length: -1\r\n\r\nhi"),
    raw("length plus", POST + C + b"Content-Length: +2\r\n\r\nhi"),
    raw("lengths differ", POST + C + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi"),
    raw("lengths same", POST + C + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"),
    raw(
        "length and chunked",
        POST + C + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    raw("length too large", POST + C + b"Content-Length: 2000\r\n\r\n" + b"x" * 2000),
    raw(
        "chunked", POST + C + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n"
    ),
    raw(
        "chunked upper",
        POST + C + b"Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    ),
    raw(
        "chunked extension",
        POST + C + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
    ),
    raw(
        "chunked trailer",
        POST + C + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ),
    raw("chunked bad size", POST + C + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n"),
    raw(
        "chunked too large",
        POST + C + b"Transfer-Encoding: chunked\r\n\r\n7D0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n",
    ),
    raw("unknown coding", POST + C + b"Transfer-Encoding: gzip\r\n\r\nhi"),
    raw("expect", POST + C + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhi"),
    raw(
        "expect unread",
        b"POST /unread HTTP/1.1\r\n" + H + b"Content-Type: text/plain\r\n"
        b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhiGET / HTTP/1.1\r\n" + H + C + b"\r\n",
    ),
    raw(
        "expect 404",
        b"POST /nothing HTTP/1.1\r\n" + H + b"Content-Type: text/plain\r\n"
        b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhiGET / HTTP/1.1\r\n" + H + C + b"\r\n",
    ),
    R("custom length right", "/custom?cl=10"),
    R("custom length short", "/custom?cl=5"),
    R("custom length zero", "/custom?cl=0"),
    R("upload", "/upload", "POST", body=b"x" * 500, headers={"Content-Type": "text/plain"}),
    R(
        "upload too large",
        "/upload",
        "POST",
        body=b"x" * 1001,
        headers={"Content-Type": "text/plain"},
    ),
    R("post without length", "/upload", "POST", headers={"Content-Type": "text/plain"}),
    R("log", "/log"),
    R("log unicode", "/log?text=%E2%82%AC%C3%A9"),
    R("log newline", "/log?text=a%0Ab%5Cn"),
    R("log traceback", "/log?tb=1"),
    R("log levels", "/log_levels"),
    R("log login", "/login"),
    R("log agent", "/login", headers={"User-Agent": 'a "quoted" agent', "Referer": "http://r/"}),
    R("log own format", "/own_format"),
    R("log in own format", "/path?x=%0a"),
    R("log format back", "/own_format?on=0"),
    R("log escapes", "/path/%0a%22%5c?q=%22", headers={"User-Agent": 'esc\\n"é'}),
    R("access lines", "/lines", wait=0.1),
    R("error lines", "/error_lines", wait=0.1),
]
