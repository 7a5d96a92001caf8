"""What an application echoes of its input: error pages, redirects, links, and what the logs say."""

from __future__ import annotations

import logging
import threading
import time
from urllib.parse import urljoin

import pytest
from spine_kit import call, mount

from cherrypy.framework import logs
from cherrypy.framework.errors import HTTPError, HTTPRedirect, NotFound
from cherrypy.framework.helpers import expose, url
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site
from cherrypy.framework.tree import Tree
from kirsch.http.headers import HeaderMap


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Root:
    """Whose handler is the one that a test has put there."""

    def __init__(self, handler=None):
        self.handler = handler

    @expose
    def index(self, **params):
        return self.handler(**params)

    @expose
    def default(self, *args, **params):
        return self.handler(*args, **params)


def answer_of(handler, config=None, path="/", query="", **more):
    return call(mount(Root(handler), config), path, query, **more)


def raiser(exc):
    def handler(*args, **params):
        raise exc

    return handler


# --------------------------------------------------------------------------------- error pages


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize(
    "exc", [HTTPError(400, "<b>\ud800</b>"), NotFound("/<b>\udcff"), HTTPError("404 \ud800", "x")]
)
def test_a_message_that_is_no_text_is_still_an_answer(exc, shown):
    answer = answer_of(raiser(exc), {"request.show_tracebacks": shown})
    assert answer.code == exc.code
    assert "<b>" not in answer.text
    assert answer.error is None


def test_a_traceback_that_is_no_text_is_still_an_answer():
    answer = answer_of(raiser(ValueError("<\ud800>")), {"request.show_tracebacks": True})
    assert answer.code == 500
    assert "ValueError: &lt;\\ud800&gt;" in answer.text
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "page",
    [
        raiser(Mute()),
        lambda **kw: iter([5]),
        lambda **kw: iter([b"a", None]),
        lambda **kw: (1 / 0 for _ in "a"),
        lambda **kw: "\ud800",
        lambda **kw: None,
    ],
)
def test_a_page_that_fails_leaves_the_error_it_was_for(page):
    answer = answer_of(raiser(HTTPError(418, "tea")), {"error_page.default": page})
    assert answer.code == 418
    assert "tea<br />In addition, the custom error page failed:" in answer.text


def test_a_page_may_come_in_pieces():
    def page(**kwargs):
        yield kwargs["status"]
        yield b"; "
        yield kwargs["message"]

    answer = answer_of(raiser(HTTPError(418, "tea")), {"error_page.418": page})
    assert answer.text == "418 I'm a Teapot; tea"


@pytest.mark.parametrize(
    ("exc", "told"),
    [
        (ValueError("/etc/passwd/x is bad"), "ValueError\n"),
        (ValueError("cannot read '/srv/site/secret.ini'"), "ValueError\n"),
        (KeyError("C:\\site\\secret.ini"), "KeyError\n"),
        (OSError("cannot open /srv/secret"), "OSError\n"),
        (FileNotFoundError(2, "No such file", "/srv/x"), "FileNotFoundError: [Errno 2] No such"),
        (ValueError("no <template>"), "ValueError: no &lt;template&gt;\n"),
        (ValueError("see http://example.com/a/b"), "ValueError: see http://example.com/a/b"),
    ],
)
def test_a_page_that_fails_tells_no_path(exc, told):
    answer = answer_of(raiser(HTTPError(418)), {"error_page.default": raiser(exc)})
    assert f"<br />{told}" in answer.text
    assert "/srv" not in answer.text
    config = {"error_page.default": raiser(exc), "request.show_tracebacks": True}
    assert type(exc).__name__ + ": " in answer_of(raiser(HTTPError(418)), config).text


# ----------------------------------------------------------------------------- links, redirects


def test_a_redirect_to_what_is_no_text_is_an_answer():
    answer = answer_of(raiser_of_redirect("/a\ud800\u2028b"))
    assert answer.code == 303
    assert answer["Location"] == "http://localhost/a?%E2%80%A8b"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("half", ["\ud800", "\udcff"])
@pytest.mark.parametrize("where", ["field", "type", "value", "path", "status"])
def test_half_a_surrogate_pair_does_no_harm(where, half, stream):
    def handler():
        response = serving.response
        if where == "field":
            response.headers["X-A"] = f"a{half}b"
        elif where == "type":
            response.headers["Content-Type"] = f"text/plain{half}"
        elif where == "status":
            response.status = f"200 {half}"
        else:
            response.cookie["a"] = half if where == "value" else "b"
            if where == "path":
                response.cookie["a"]["path"] = half
        return "fine"

    answer = answer_of(handler, {"response.stream": stream})
    assert (answer.code, answer.text, answer.error) == (200, "fine", None)
    for name, value in answer.headers:
        assert f"{name}{value}".isascii()
    if where == "field":
        assert answer["X-A"] == "=?utf-8?b?YT9i?="
    elif where in ("value", "path"):
        assert len(answer.all("Set-Cookie")) == 1


class Strict(HeaderMap):
    use_rfc_2047 = False


@pytest.mark.parametrize("kind", ["field", "object", "name", "cookie", "only a cookie"])
def test_what_cannot_be_sent_has_an_ordinary_error_page(kind, caplog):
    def handler():
        response = serving.response
        if kind != "only a cookie":
            headers = response.headers
            response.headers = Strict(headers)
        if kind == "field":
            response.headers.update({"X-A": "\u1234", "X-B": "\u1235", "X-C": "fine"})
        elif kind == "object":
            response.headers.update({"X-A": Mute(), "X-B": Mute(), "X-C": "fine"})
        elif kind == "name":
            for name in ("", "X A", "X-\ud800", "X-\u20ac", "X-é", "X:", "X\x00:"):
                response.headers[name] = "no token"
            response.headers["X-C"] = "fine"
        elif kind == "cookie":
            response.cookie["a"] = "\u1234"
        else:
            response.cookie["a"] = "b"
            response.cookie["a"]["path"] = Mute()
        return "fine"

    config = {"request.show_tracebacks": False, "tools.log_tracebacks.on": True}
    with caplog.at_level(logging.ERROR):
        answer = answer_of(handler, config)
    assert answer.code == 500
    assert "Internal Server Error" in answer.text
    assert "Unrecoverable" not in answer.text
    assert dict(answer.headers).keys().isdisjoint({"X-A", "X-B", "Set-Cookie"})
    assert "no token" not in dict(answer.headers).values()
    if kind in ("field", "object", "name"):
        assert answer["X-C"] == "fine"
    assert "Traceback" in caplog.text


def raiser_of_redirect(to):
    def handler(**params):
        raise HTTPRedirect(to)

    return handler


HERE = "http://localhost/here"


@pytest.mark.parametrize("relative", [True, "server"])
@pytest.mark.parametrize(
    "target",
    ["//evil.example", "///evil.example/x", "/\\evil.example", "/\\/evil.example", "//\\evil"]
    + ["/javascript:alert(1)", "javascript:alert(1)", "/data:text/html,x", "/a:b/c", "/x?y:z"]
    + ["/./..//evil.example", "", "/here", "other", "/a/b"],
)
def test_a_relative_link_stays_on_this_server(relative, target):
    links = []

    def handler(*args, **params):
        links.append((url(target, relative=relative), url(target)))
        return ""

    call(mount(Root(handler)), "/here")
    link, absolute = links[0]
    # As a browser reads it: a backslash is a slash.
    resolved = urljoin(HERE, link.replace("\\", "/"))
    assert resolved.startswith("http://localhost/")
    if "\\" not in target and "//" not in target:
        assert resolved == absolute


# --------------------------------------------------------------------------------------- logs


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.setFormatter(logs.logfmt)
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def access():
    handler = Lines()
    site.log.access_log.addHandler(handler)
    yield handler.lines
    site.log.access_log.removeHandler(handler)


@pytest.fixture
def errors():
    handler = Lines()
    site.log.error_log.addHandler(handler)
    yield handler.lines
    site.log.error_log.removeHandler(handler)


def fields_of(line: str) -> list[str]:
    """The fields of a line, as programs read them: quotes, and backslashes before quotes."""
    fields, field, quoted = [], "", False
    position = 0
    while position < len(line):
        char = line[position]
        if char == "\\" and quoted and line[position + 1 : position + 2] in ('"', "\\"):
            field += line[position + 1]
            position += 1
        elif char == '"':
            quoted = not quoted
        elif char == " " and not quoted:
            fields.append(field)
            field = ""
        else:
            field += char
        position += 1
    assert not quoted
    return [*fields, field]


@pytest.mark.parametrize(
    "agent",
    ["a\\", '\\" 200 5 "-" "forged', '\\\\" x "', '"', '\\"\\', "\\" * 7, "c:\\dir\\file", 'a"b']
    + ["=?unicode_escape?q?=5Cud800?=", "\ud800", "a\udcffb", "a\nb", "a b"],
)
def test_no_agent_makes_fields_or_hides_a_line(access, errors, agent):
    answer_of(lambda: "x", HTTP_USER_AGENT=agent)
    assert errors == []
    (line,) = access
    assert "\n" not in line
    fields = fields_of(line)
    assert len(fields) == 9
    assert fields[4:6] == ["GET / HTTP/1.1", "200"]
    if agent.isascii() and agent.isprintable() and "=?" not in agent and "\\\\" not in agent:
        assert fields[8] == agent


def test_a_host_is_one_word(access):
    def handler():
        from cherrypy.framework.serving import serving

        serving.request.remote.name = '1.2.3.4 - admin "x'
        return ""

    answer_of(handler)
    assert access[0].startswith('1.2.3.4\\x20-\\x20admin\\x20\\"x - - [')


def test_no_message_passes_for_a_record_or_steers_the_terminal(errors):
    text = "bad\n[21/Nov/2026:03:40:45] ENGINE Bus STOPPED\x1b[2J\x9b\r\u2028\u202e\ud800"
    answer_of(raiser(ValueError(text)))
    (record,) = [one for one in errors if "ValueError" in one]
    assert (
        "\n [21/Nov/2026:03:40:45] ENGINE Bus STOPPED\\x1b[2J\\x9b\\r\\u2028\\u202e\\ud800"
        in record
    )
    assert record.count("\n[") == 0
    site.log("first\nsecond\tthird é")
    assert errors[-1].endswith(" first\nsecond\tthird é")


def test_a_record_is_not_lost_to_what_cannot_be_encoded(tmp_path, capfd):
    log = logs.LogManager("hostile")
    log.error_file = str(tmp_path / "error.log")
    log.error("before \udc80 after")
    log.error_file = ""
    assert "before \\udc80 after" in (tmp_path / "error.log").read_text("utf-8")
    assert "Logging error" not in capfd.readouterr().err


def test_a_log_file_that_cannot_be_opened_again_goes_on(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    name = folder / "error.log"
    log = logs.LogManager("reopened")
    log.error_file = str(name)
    log.error("one")
    kept = tmp_path / "kept"
    folder.rename(kept)
    log.reopen_files()
    log.error("two")
    text = (kept / "error.log").read_text()
    assert "A log file cannot be opened again" in text
    assert str(name) in text
    assert text.index("one") < text.index("two")
    # And a file that cannot be had does not replace one that can.
    with pytest.raises(OSError):
        log.error_file = str(folder / "other.log")
    log.error("three")
    assert "three" in (kept / "error.log").read_text()
    folder.mkdir()
    log.reopen_files()
    log.error("four")
    assert "four" in name.read_text()
    log.error_file = ""


# --------------------------------------------------------------------------------------- tree


def test_a_path_of_many_segments_takes_linear_time():
    tree = Tree()
    tree.mount(None, "/app")
    tree.mount(None, "/app/deep/er")
    started = time.process_time()
    many = "x/" * 200_000
    assert tree.script_name("/" + many) is None
    assert tree.script_name("/app/" + many) == "/app"
    assert tree.script_name("/application/" + many) is None
    assert tree.script_name("/app/deep/er/" + many) == "/app/deep/er"
    tree.mount(None, "")
    assert tree.script_name("/" + many) == ""
    assert tree.script_name("/app/deep/" + many) == "/app"
    assert time.process_time() - started < 2


def test_applications_come_and_go_under_load():
    tree = Tree()
    tree.mount(Root(lambda *args: "root"), "")
    other = Tree().mount(Root(lambda *args: "other"), "/other")
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            tree.apps["/other"] = other
            tree.apps.pop("/other")
            root = tree.apps.pop("")
            tree.apps[""] = root

    thread = threading.Thread(target=change)
    thread.start()
    try:
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            for path in ("/other/x", "/x"):
                answer = call(tree, path)
                assert answer.error is None
                assert answer.code in (200, 404)
                tree.direct(path)
    finally:
        over.set()
        thread.join(5)
