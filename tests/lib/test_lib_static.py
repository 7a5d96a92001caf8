"""Files as responses: one matrix of validators, ranges, names and ways out of the directory."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import pytest

from cherrypy.framework.helpers import expose
from cherrypy.lib import static

TEN = b"0123456789"
MODIFIED = "Sun, 09 Sep 2001 01:46:40 GMT"
BEFORE, AFTER = "Sun, 09 Sep 2000 01:46:40 GMT", "Sun, 09 Sep 2012 01:46:40 GMT"


class Root:
    @expose
    def default(self, *args):
        return "page"


@pytest.fixture
def folder(tmp_path):
    base = tmp_path / "www"
    (base / "sub").mkdir(parents=True)
    (base / "a.txt").write_bytes(TEN)
    os.utime(base / "a.txt", (1e9, 1e9))
    (base / "é b.txt").write_bytes(b"umlaut")
    (base / "x.unknown").write_bytes(b"q")
    (base / "100%25.txt").write_bytes(b"percent")
    (base / "sub" / "index.html").write_bytes(b"<p>idx")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "www-private").mkdir()
    (tmp_path / "www-private" / "s.txt").write_bytes(b"secret")
    return base


@pytest.fixture
def site(serve, folder):
    return serve(
        Root(),
        {
            "tools.staticdir.on": True,
            "tools.staticdir.dir": str(folder),
            "tools.staticdir.index": "index.html",
        },
    )


@pytest.fixture
def etag(site):
    return site("/a.txt")["ETag"]


def test_a_file(site):
    answer = site("/a.txt")
    assert answer.status == 200
    assert answer.body == TEN
    assert answer["Content-Type"] == "text/plain"
    assert answer["Content-Length"] == "10"
    assert answer["Last-Modified"] == MODIFIED
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["ETag"].startswith('"')


def test_head(site):
    answer = site("/a.txt", method="HEAD")
    assert (answer.status, answer.body, answer["Content-Length"]) == (200, b"", "10")


def test_other_methods_go_to_the_page(site):
    assert site("/a.txt", method="POST", body=b"").body == b"page"


def test_names(site):
    assert site("/é b.txt".encode().decode("latin-1")).body == b"umlaut"
    # Decoded once, not twice.
    assert site("/100%25.txt").body == b"percent"
    answer = site("/x.unknown")
    assert answer["Content-Type"] == "application/octet-stream"


def test_what_is_not_there_goes_to_the_page(site):
    for path in ("/nope", "/a.txt/", "/sub/nope", "/a.txt\0", "/\0", "/sub\0/index.html"):
        assert site(path).body == b"page", path


def test_index(site):
    for path in ("/sub/", "/sub"):
        assert site(path).body == b"<p>idx"
    assert site("/sub/")["Content-Type"] == "text/html"


def test_the_index_of_the_section_itself_has_a_slash(serve, folder):
    conf = {
        "tools.staticdir.on": True,
        "tools.staticdir.dir": str(folder / "sub"),
        "tools.staticdir.index": "index.html",
        "tools.trailing_slash.on": True,
    }
    site = serve(Root(), sections={"/s": conf})
    assert site("/s/").body == b"<p>idx"
    answer = site("/s")
    assert (answer.status, answer["Location"]) == (301, "http://127.0.0.1/s/")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/sub/../../secret.txt",
        "//../secret.txt",
        "/..",
        "/../www-private/s.txt",
        "/sub/..",
        "/../../../../../../etc/passwd",
    ],
)
def test_no_way_out(site, path):
    answer = site(path)
    assert answer.status == 403
    assert b"secret" not in answer.body.replace(path.encode(), b"")


def test_absolute_paths_and_encoded_dots_stay_inside(site):
    for path in ("//etc/passwd", "/etc/passwd", "/%2e%2e/secret.txt", "/..%2fsecret.txt"):
        answer = site(path)
        assert answer.body == b"page", path


def test_windows_names(monkeypatch, tmp_path):
    monkeypatch.setattr(static, "_WINDOWS", True)
    for branch in (
        "aux",
        "AUX.txt",
        "com1.html",
        "a.txt::$DATA",
        "c:/x",
        "a.txt.",
        "a.txt ",
        "nul",
    ):
        assert static._contained(str(tmp_path), branch) is None, branch
    with pytest.raises(static.HTTPError):
        static._contained(str(tmp_path), "..\\x")
    assert static._contained(str(tmp_path), "auxiliary.txt") is not None


@pytest.mark.parametrize(
    ("headers", "status", "body", "content_range"),
    [
        ({"Range": "bytes=0-3"}, 206, b"0123", "bytes 0-3/10"),
        ({"Range": "bytes=-3"}, 206, b"789", "bytes 7-9/10"),
        ({"Range": "bytes=5-"}, 206, b"56789", "bytes 5-9/10"),
        ({"Range": "bytes=0-999"}, 206, TEN, "bytes 0-9/10"),
        ({"Range": "bytes=0-1,100-200"}, 206, b"01", "bytes 0-1/10"),
        ({"Range": "bytes=0-9,0-9,0-9"}, 206, TEN, "bytes 0-9/10"),
        ({"Range": "bytes=100-"}, 416, None, "bytes */10"),
        ({"Range": "bytes=4-2"}, 200, TEN, None),
        ({"Range": "items=0-1"}, 200, TEN, None),
        ({"Range": "bytes=0-3", "If-Range": MODIFIED}, 206, b"0123", "bytes 0-3/10"),
        ({"Range": "bytes=0-3", "If-Range": BEFORE}, 200, TEN, None),
        ({"Range": "bytes=0-3", "If-Range": AFTER}, 200, TEN, None),
        ({"Range": "bytes=0-3", "If-Range": "ETAG"}, 206, b"0123", "bytes 0-3/10"),
        ({"Range": "bytes=0-3", "If-Range": '"stale"'}, 200, TEN, None),
        ({"Range": "bytes=0-3", "If-Range": "W/ETAG"}, 200, TEN, None),
        ({"Range": "bytes=0-3", "If-Range": "rubbish"}, 200, TEN, None),
        ({"Range": "bytes=0-3", "If-None-Match": "ETAG"}, 304, b"", None),
        ({"If-Modified-Since": MODIFIED}, 304, b"", None),
        ({"If-Modified-Since": AFTER}, 304, b"", None),
        ({"If-Modified-Since": BEFORE}, 200, TEN, None),
        ({"If-Modified-Since": "rubbish"}, 200, TEN, None),
        ({"If-Unmodified-Since": MODIFIED}, 200, TEN, None),
        ({"If-Unmodified-Since": AFTER}, 200, TEN, None),
        ({"If-Unmodified-Since": BEFORE}, 412, None, None),
        ({"If-None-Match": "ETAG"}, 304, b"", None),
        ({"If-None-Match": 'W/ETAG, "x"'}, 304, b"", None),
        ({"If-None-Match": "*"}, 304, b"", None),
        ({"If-None-Match": '"x"'}, 200, TEN, None),
        ({"If-None-Match": '"x"', "If-Modified-Since": MODIFIED}, 200, TEN, None),
        ({"If-Match": "ETAG"}, 200, TEN, None),
        ({"If-Match": "*"}, 200, TEN, None),
        ({"If-Match": '"x"'}, 412, None, None),
        ({"If-Match": "ETAG", "If-Unmodified-Since": BEFORE}, 200, TEN, None),
    ],
)
def test_conditions(site, etag, headers, status, body, content_range):
    headers = {name: value.replace("ETAG", etag) for name, value in headers.items()}
    answer = site("/a.txt", headers=headers)
    assert answer.status == status
    assert answer["Content-Range"] == content_range
    if body is not None:
        assert answer.body == body
    if status in (200, 206):
        assert answer["Content-Length"] == str(len(body))


def test_several_ranges(site):
    answer = site("/a.txt", headers={"Range": "bytes=0-1,4-5"})
    assert answer.status == 206
    assert answer["Content-Length"] == str(len(answer.body))
    kind, _, boundary = answer["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    head, first, second, tail = answer.body.split(b"--" + boundary.encode())
    assert (head, tail) == (b"", b"--\r\n")
    assert first == b"\r\nContent-type: text/plain\r\nContent-range: bytes 0-1/10\r\n\r\n01\r\n"
    assert second == b"\r\nContent-type: text/plain\r\nContent-range: bytes 4-5/10\r\n\r\n45\r\n"


def test_old_clients_get_no_ranges(site):
    answer = site(
        "/a.txt",
        headers={"Range": "bytes=0-3"},
        protocol="HTTP/1.0",
        ACTUAL_SERVER_PROTOCOL="HTTP/1.1",
    )
    assert (answer.status, answer.body) == (200, TEN)


def test_a_changed_file_has_another_etag(site, folder, etag):
    (folder / "a.txt").write_bytes(b"other")
    answer = site("/a.txt", headers={"If-None-Match": etag})
    assert (answer.status, answer.body) == (200, b"other")
    assert answer["ETag"] != etag


def test_settings_of_staticdir(serve, folder):
    base = {"tools.staticdir.on": True, "tools.staticdir.dir": str(folder)}
    assert serve(Root(), {**base, "tools.staticdir.match": r"\.html$"})("/a.txt").body == b"page"
    assert serve(Root(), {**base, "tools.staticdir.match": r"\.txt$"})("/a.txt").body == TEN
    types = {**base, "tools.staticdir.content_types": {"unknown": "a/b"}}
    assert serve(Root(), types)("/x.unknown")["Content-Type"] == "a/b"
    relative = {**base, "tools.staticdir.dir": folder.name}
    assert serve(Root(), relative)("/a.txt").status == 500
    relative["tools.staticdir.root"] = str(folder.parent)
    assert serve(Root(), relative)("/a.txt").body == TEN
    missing = {"tools.staticdir.on": True, "request.show_tracebacks": True}
    section = serve(Root(), missing)
    assert "staticdir() missing" in section("/a.txt").text


def test_sections(serve, folder):
    site = serve(
        Root(),
        sections={"/files": {"tools.staticdir.on": True, "tools.staticdir.dir": str(folder)}},
    )
    assert site("/files/a.txt").body == TEN
    assert site("/a.txt").body == b"page"


def test_staticfile(serve, folder):
    path = str(folder / "a.txt")
    on = {"tools.staticfile.on": True, "tools.staticfile.filename": path}
    assert serve(Root(), on)("/whatever").body == TEN
    on["tools.staticfile.filename"] = path + "x"
    assert serve(Root(), on)("/whatever").body == b"page"
    on["tools.staticfile.filename"] = "a.txt"
    assert serve(Root(), on)("/whatever").status == 500
    on["tools.staticfile.root"] = str(folder)
    assert serve(Root(), on)("/whatever").body == TEN


class Handlers:
    def __init__(self, folder):
        self.path = str(folder / "a.txt")
        self.bodies = []

    def keep(self, body):
        self.bodies.append(body)
        return body

    @expose
    def file(self):
        return self.keep(static.serve_file(self.path))

    @expose
    def attachment(self):
        return static.serve_file(self.path, disposition="attachment")

    @expose
    def named(self):
        return static.serve_file(self.path, "text/x", "inline", 'é"; b.txt')

    @expose
    def download(self):
        return static.serve_download(self.path, "日本.txt")

    @expose
    def memory(self):
        return static.serve_fileobj(io.BytesIO(b"abcdef"), "text/x", "attachment", "q.txt")

    @expose
    def text(self):
        return static.serve_fileobj(io.StringIO("abc"), "text/plain")

    @expose
    def half(self):
        file = open(self.path, "rb")  # noqa: SIM115 - the response closes it
        file.seek(3)
        return self.keep(static.serve_fileobj(file))

    @expose
    def pipe(self):
        read, write = os.pipe()
        os.write(write, b"pipe")
        os.close(write)
        return static.serve_fileobj(os.fdopen(read, "rb"), "text/x")

    @expose
    def relative(self):
        return static.serve_file("a.txt")

    @expose
    def directory(self):
        return static.serve_file(os.path.dirname(self.path))

    @expose
    def nope(self):
        return static.serve_file(self.path + "x")


@pytest.fixture
def handlers(serve, folder):
    root = Handlers(folder)
    site = serve(root)
    site.root = root
    return site


def test_serve_file(handlers):
    answer = handlers("/file")
    assert answer.body == TEN
    (body,) = handlers.root.bodies
    assert body.input.closed
    assert body.input.name.endswith("a.txt")


def test_the_file_is_closed_when_nobody_reads_it(handlers):
    handlers("/file", method="HEAD")
    handlers("/file", headers={"Range": "bytes=50-"})
    handlers("/file", headers={"If-None-Match": "*"})
    assert [body.input.closed for body in handlers.root.bodies] == [True]


def test_dispositions(handlers):
    assert handlers("/attachment")["Content-Disposition"] == 'attachment; filename="a.txt"'
    named = handlers("/named")
    assert named["Content-Type"].startswith("text/x")
    assert named["Content-Disposition"] == (
        'inline; filename="\\"; b.txt"; filename*=UTF-8\'\'%C3%A9%22%3B%20b.txt'
    )
    download = handlers("/download")
    assert download["Content-Type"] == "application/x-download"
    assert download["Content-Disposition"] == (
        "attachment; filename=\".txt\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.txt"
    )


@pytest.mark.parametrize("name", ["a\nb", "a\r\nSet-Cookie: x=1", "a\x00b", "a\x7fb"])
def test_names_cannot_end_the_line(name):
    field = static._make_content_disposition("attachment", name)
    assert field.isprintable()


def test_file_objects(handlers):
    answer = handlers("/memory")
    assert (answer.body, answer["Content-Length"]) == (b"abcdef", "6")
    answer = handlers("/memory", headers={"Range": "bytes=1-2"})
    assert (answer.status, answer.body, answer["Content-Range"]) == (206, b"bc", "bytes 1-2/6")
    assert handlers("/pipe").body == b"pipe"
    assert handlers("/pipe", headers={"Range": "bytes=1-2"}).status == 200
    assert handlers("/text").body == b"abc"
    assert handlers("/half").body == TEN[3:]
    answer = handlers("/half", headers={"Range": "bytes=0-1,3-3"})
    assert b"\r\n\r\n34\r\n" in answer.body
    assert b"\r\n\r\n6\r\n" in answer.body
    assert all(body.input.closed for body in handlers.root.bodies)


def test_errors_of_serve_file(handlers):
    assert handlers("/relative").status == 500
    for path in ("/directory", "/nope"):
        answer = handlers(path)
        assert answer.status == 404
        assert "/tmp" not in answer.text


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="only on systems with owners of files")
def test_unreadable_files_are_not_there(serve):
    # Not below `tmp_path`, where nobody but us gets at all.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        for file in ("open.txt", "shut.txt"):
            Path(name, file).write_bytes(TEN)
        conf = {"tools.staticdir.on": True, "tools.staticdir.dir": os.path.realpath(name)}
        site = serve(Root(), conf)
        assert (site("/shut.txt").body, site("/open.txt").body) == (TEN, TEN)
        os.chmod(Path(name, "shut.txt"), 0)
        me = os.geteuid()
        if me == 0:
            os.seteuid(65534)  # root may read everything
        try:
            # The file beside it says that it is the file, and nothing above.
            assert (site("/shut.txt").body, site("/open.txt").body) == (b"page", TEN)
            assert site("/shut.txt", headers={"Range": "bytes=0-1"}).body == b"page"
            assert site("/shut.txt", method="HEAD").status == 200  # of the page
            assert site("/shut.txt", method="HEAD")["Content-Length"] == "4"
        finally:
            if me == 0:
                os.seteuid(me)


def test_special_files_are_not_served(site, folder):
    # Nobody writes to it: to open it must not wait for somebody who does.
    os.mkfifo(folder / "fifo")
    assert site("/fifo").body == b"page"
    assert site("/fifo", headers={"Range": "bytes=0-1"}).body == b"page"


class Wrapper:
    """What a server gives as `wsgi.file_wrapper`."""

    def __init__(self, file, block=65536):
        self.file = file
        self.closed = 0

    def __iter__(self):
        return iter(lambda: self.file.read(100_000), b"")

    def close(self):
        self.closed += 1
        self.file.close()


@pytest.fixture
def wrapped(site, folder):
    (folder / "big.bin").write_bytes(bytes(range(256)) * 1000)
    made = []

    def wrapper(file, block=65536):
        made.append(Wrapper(file, block))
        return made[-1]

    def ask(path="/big.bin", **how):
        made.clear()
        return site(path, **how, **{"wsgi.file_wrapper": wrapper}), made

    ask.site = site
    return ask


def test_servers_that_send_files_get_the_file(wrapped):
    answer, made = wrapped()
    assert (answer.status, len(answer.body)) == (200, 256_000)
    assert answer["Content-Length"] == "256000"
    assert answer["Accept-Ranges"] == "bytes"
    assert [one.closed for one in made] == [1]
    assert made[0].file.closed
    assert made[0].file.name.endswith("big.bin")


@pytest.mark.parametrize(
    ("how", "status", "length"),
    [
        ({"method": "HEAD"}, 200, 0),
        ({"path": "/a.txt"}, 200, 10),
        ({"headers": {"Range": "bytes=0-99999"}}, 206, 100_000),
        ({"headers": {"Range": "bytes=0-9,20-29"}}, 206, None),
    ],
)
def test_what_is_not_a_whole_big_file_is_not_wrapped(wrapped, how, status, length):
    answer, made = wrapped(**how)
    assert answer.status == status
    assert length is None or len(answer.body) == length
    assert made == []


def test_the_rest_of_a_file_is_wrapped_too(wrapped):
    answer, made = wrapped(headers={"Range": "bytes=200000-"})
    assert (answer.status, len(answer.body), len(made)) == (206, 56_000, 1)


def test_a_request_whose_end_is_awaited_keeps_its_file(wrapped):
    ended = []
    wrapped.site.app.merge({"/": {"hooks.on_end_request": lambda: ended.append(1)}})
    answer, made = wrapped()
    assert (len(answer.body), made, ended) == (256_000, [], [1])


def test_a_file_that_shrinks_meanwhile(site, folder, monkeypatch):
    real = os.fstat

    def fstat(fd):
        found = real(fd)
        (folder / "a.txt").write_bytes(b"01234")
        return found

    monkeypatch.setattr(static.os, "fstat", fstat)
    answer = site("/a.txt")
    assert (answer.body, answer["Content-Length"]) == (b"01234", "5")


def test_plain_and_conditional_requests_are_told_the_same(site):
    plain, full = site("/a.txt"), site("/a.txt", headers={"If-None-Match": '"other"'})
    assert dict(plain.fields) == {**dict(full.fields), "Date": plain["Date"]}
    assert plain.body == full.body


def test_folders_and_files_may_be_paths(serve, folder):
    """Objects of pathlib in place of texts, absolute and relative to a root."""
    static = {"tools.staticdir.on": True, "tools.staticdir.dir": folder}
    rooted = {"tools.staticdir.on": True, "tools.staticdir.root": folder.parent}
    rooted["tools.staticdir.dir"] = Path(folder.name)
    one = {"tools.staticfile.on": True, "tools.staticfile.filename": folder / "a.txt"}
    part = {"tools.staticfile.on": True, "tools.staticfile.root": folder}
    part["tools.staticfile.filename"] = Path("a.txt")
    sections = {"/static": static, "/rooted": rooted, "/one": one, "/part": part}
    site = serve(Root(), sections=sections)
    for path in ("/static/a.txt", "/rooted/a.txt", "/one", "/part"):
        assert site(path).body == TEN, path
    assert site("/static//../secret.txt").status == 403
