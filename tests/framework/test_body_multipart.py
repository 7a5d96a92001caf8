"""Multipart bodies: forms, files, nested entities, and everything that can be wrong."""

from __future__ import annotations

import io
import random
import time
import tracemalloc

import pytest
from framework_asking import ask, expose

from cherrypy.framework.body import Part
from cherrypy.framework.multipart import BoundaryReader, valid_boundary
from cherrypy.framework.serving import serving

FORM = "multipart/form-data; boundary=XX"
FIELD = b'Content-Disposition: form-data; name="%s"'
FILE = b'Content-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: text/plain'


def form(*parts, boundary=b"XX", end=b"--\r\n", before=b"", after=b""):
    out = [before]
    for headers, body in parts:
        out.append(b"--" + boundary + b"\r\n" + headers + b"\r\n\r\n" + body + b"\r\n")
    return b"".join([*out, b"--", boundary, end, after])


class Root:
    @expose
    def index(self, **params):
        self.params = {name: self.shown(value) for name, value in params.items()}
        self.parts = list(serving.request.body.parts)
        return repr(self.params)

    def shown(self, value):
        if isinstance(value, list):
            return [self.shown(item) for item in value]
        if isinstance(value, Part):
            content = value.file.read() if value.file else None
            return (value.filename, content, value.content_type.value)
        return value


def send(body, content_type=FORM, **more):
    root = Root()
    answer = ask(root, "/", "", body, content_type, **more)
    return answer, getattr(root, "params", None), getattr(root, "parts", None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (form((FIELD % b"a", b"1"), (FIELD % b"b", b"2")), {"a": "1", "b": "2"}),
        (form((FIELD % b"a", b"1"), (FIELD % b"a", b"2")), {"a": ["1", "2"]}),
        (form((FIELD % b"a", b"x" * 5000)), {"a": "x" * 5000}),
        (form((FIELD % b"a", b"")), {"a": ""}),
        (form((FIELD % b"a", "ä€".encode())), {"a": "ä€"}),
        (
            form((FIELD % b"a" + b"\r\nContent-Type: text/plain; charset=latin-1", b"\xe4")),
            {"a": "ä"},
        ),
        (
            form((FILE % (b"f", b"x.txt"), b"a\r\nb\r\n")),
            {"f": ("x.txt", b"a\r\nb\r\n", "text/plain")},
        ),
        (form((FILE % (b"f", b""), b"")), {"f": ("", None, "text/plain")}),
        (
            form((FIELD % b"a", b"1"), before=b"preamble\r\n", after=b"epilogue\r\n--XX\r\n"),
            {"a": "1"},
        ),
        (form((FIELD % b"a", b"1"), end=b"-- \t\r\n"), {"a": "1"}),
        (form((FIELD % b"a", b"1"), end=b"--"), {"a": "1"}),
        (b"--XX \t\r\n" + FIELD % b"a" + b"\r\n\r\n1\r\n--XX--\r\n", {"a": "1"}),
        (
            form((FIELD % b"a", b"1\r\n--XXY\r\n--X\r\n2\r\n--XX\n")),
            {"a": "1\r\n--XXY\r\n--X\r\n2\r\n--XX\n"},
        ),
        (form((FIELD % b"a", b"\r\n\r\n")), {"a": "\r\n\r\n"}),
        (form((b'Content-Disposition: form-data;\r\n name="a"', b"1")), {"a": "1"}),
        (form(), {}),
        (b"", {}),
    ],
)
def test_forms(body, expected):
    answer, params, _ = send(body)
    assert answer.code == 200, answer.text
    assert params == expected


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('filename="file"name.csv"', 'file"name.csv'),
        ('filename="foo, bar.csv"', "foo, bar.csv"),
        ('filename="file; name.csv"', "file; name.csv"),
        ("filename=plain.csv", "plain.csv"),
        (r'filename="a;b \"c\" \\d.txt"', r'a;b "c" \d.txt'),
        (r'filename="C:\dir\x.txt"', r"C:\dir\x.txt"),
        ("filename=\"e\"; filename*=utf-8''%e2%82%ac%20x", "€ x"),
        ("filename*=iso-8859-1'de'%e4", "ä"),
        ("filename=\"plain\"; filename*=nope''%e4", "plain"),
        ('filename="€.txt"', "€.txt"),
    ],
)
def test_file_names(disposition, filename):
    body = form((f'Content-Disposition: form-data; name="f"; {disposition}'.encode(), b"1"))
    answer, params, _ = send(body)
    assert answer.code == 200, answer.text
    assert params["f"][0] == filename


def test_a_latin_1_file_name():
    body = form((b'Content-Disposition: form-data; name="f"; filename="\xe4.txt"', b"1"))
    assert send(body)[1]["f"][0] == "ä.txt"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (form((FIELD % b"a", b"1"))[:-8], FORM, 400),
        (b"--XX\r\n" + FIELD % b"a" + b"\r\n", FORM, 400),
        (b"--XX\r\n" + FIELD % b"a", FORM, 400),
        (b"--XX\r\n", FORM, 400),
        (b"no boundary anywhere", FORM, 400),
        (form((b"no colon", b"1")), FORM, 400),
        (form((FIELD % b"a", b"1")).replace(b"\r\n", b"\n"), FORM, 400),
        (form((FIELD % b"a", b"\xff")), FORM, 400),
        (form((FIELD % b"a" + b"\r\nContent-Type: text/plain; charset=nope", b"\xff")), FORM, 400),
        (b"x", "multipart/form-data", 400),
        (b"x", 'multipart/form-data; boundary="a\x01"', 400),
        (b"x", "multipart/form-data; boundary=" + "a" * 300, 400),
        (b"x", "multipart/form-data; boundary=é", 400),
        (form((b"X: " + b"y" * 20000, b"1")), FORM, 413),
        (form(*[(FIELD % b"a", b"1")] * 5001), FORM, 413),
    ],
)
def test_what_is_wrong_is_the_clients_fault(body, content_type, code):
    answer, params, _ = send(body, content_type)
    assert answer.code == code
    assert params is None


def test_limits_can_be_set():
    for key, value in (("maxparts", 1), ("maxfield", 3000), ("maxbytes", 4000)):
        config = {"/": {f"request.body.{key}": value}}
        big = form((FIELD % b"a", b"x" * 200000), (FIELD % b"b", b"2"))
        assert send(big, config=config)[0].code == 413, key


def test_nested_parts_have_limits_and_stop_at_the_outer_boundary():
    inner = form((FILE % (b"q", b"z"), b"in"), boundary=b"YY")
    nested = FIELD % b"a" + b"\r\nContent-Type: multipart/mixed; boundary=YY"
    answer, params, _ = send(form((nested, inner), (FIELD % b"b", b"2")))
    assert answer.code == 200
    assert params["b"] == "2"
    assert "a" in params
    # An inner entity without its end does not swallow the next part.
    assert send(form((nested, inner[:-6]), (FIELD % b"b", b"2")))[0].code == 400
    body = b"x"
    for depth in range(8):
        boundary = b"B%d" % depth
        kind = b"\r\nContent-Type: multipart/mixed; boundary=B%d" % (depth - 1) if depth else b""
        body = form((b"X: y" + kind, body), boundary=boundary)
    assert send(body, "multipart/mixed; boundary=B7")[0].code == 400


def test_mixed_entities_keep_their_parts():
    answer, params, parts = send(
        form((FIELD % b"a", b"1"), (b"X: y", b"2")), "multipart/mixed; boundary=XX"
    )
    assert answer.code == 200
    assert params == {"a": "1", "parts": "2"}
    assert [part.name for part in parts] == ["a", None]


def test_nameless_parts_of_a_form_stay_parts():
    _, params, parts = send(form((b"X: y", b"v"), (FIELD % b"a", b"1")))
    assert params == {"a": "1"}
    assert [part.value for part in parts] == [b"v"]


def test_fields_longer_than_maxrambytes_are_files(monkeypatch):
    made = []
    original = Part.make_file

    def make_file(self):
        made.append(original(self))
        return made[-1]

    monkeypatch.setattr(Part, "make_file", make_file)
    assert send(form((FIELD % b"a", b"12")))[1] == {"a": "12"}
    assert made == []
    monkeypatch.setattr(Part, "maxrambytes", 1)
    assert send(form((FIELD % b"a", b"12")))[1] == {"a": "12"}
    assert len(made) == 1


def test_temporary_files_are_closed_with_the_request():
    class Keep(Root):
        @expose
        def index(self, f):
            self.file = f.file
            assert not f.file.closed
            return f.fullvalue()

    root = Keep()
    answer = ask(root, "/", "", form((FILE % (b"f", b"x"), b"content")), FORM)
    assert answer.text == "content"
    assert root.file.closed


def test_a_part_class_of_ones_own():
    class Own(Part):
        def default_proc(self):
            self.value = self.fp.read()[::-1]

    from cherrypy.framework.body import RequestBody

    class Root2(Root):
        pass

    class Body(RequestBody):
        part_class = Own

    def use(request=None):
        request = serving.request
        request.body = Body(request.rfile, request.headers, request_params=request.params)

    config = {"/": {"hooks.before_request_body": use}}
    root = Root2()
    assert ask(root, "/", "", form((FIELD % b"a", b"abc")), FORM, config=config).code == 200
    assert root.params == {"a": "cba"}


# ---------------------------------------------------------------------------- the reader


class Dribble(io.BytesIO):
    """Gives at most so many bytes at a time, as sockets do."""

    def __init__(self, data, sizes):
        super().__init__(data)
        self.sizes = sizes

    def read(self, size=-1):
        most = self.sizes()
        return super().read(most if size is None or size < 0 else min(size, most))


def test_any_split_of_the_bytes_gives_the_same_parts():
    chance = random.Random(5)
    pieces = [b"\r\n", b"--XX", b"--", b"X", b"\r", b"\n", b"\r\n--XX-", b"\r\n--XX \r", b"text"]
    for _ in range(300):
        bodies = [
            b"".join(chance.choice(pieces) for _ in range(chance.randrange(12)))
            for _ in range(chance.randrange(1, 4))
        ]
        whole = form(*[(b"A: b", body) for body in bodies])
        results = []
        for sizes in (lambda: 10**6, lambda: 1, lambda: chance.randrange(1, 9)):
            reader = BoundaryReader(Dribble(whole, sizes), b"XX")
            parts = []
            try:
                while reader.advance():
                    parts.append(reader.read())
            except EOFError as exc:
                parts.append(str(exc))
            results.append(parts)
        assert results[0] == results[1] == results[2], whole


def test_a_part_is_a_file():
    reader = BoundaryReader(io.BytesIO(form((b"A: b", b"c\nd\n\ne"))), b"XX")
    assert reader.advance()
    assert reader.readline() == b"A: b\r\n"
    assert reader.readline(1) == b"\r"
    assert reader.read(1) == b"\n"
    assert reader.readlines(1) == [b"c\n"]
    assert reader.readlines() == [b"d\n", b"\n", b"e"]
    assert reader.readline() == reader.read() == b""
    assert not reader.advance()


@pytest.mark.parametrize("text", ["", "a\n", " ", "a ", "x" * 202, "ä"])
def test_boundaries_that_are_none(text):
    with pytest.raises(ValueError, match="Invalid boundary"):
        valid_boundary(text)


class Endless(io.RawIOBase):
    """A form with one large file, made while it is read."""

    def __init__(self, block, count):
        self.rest = iter(
            [b"--XX\r\n" + FILE % (b"f", b"x") + b"\r\n\r\n", *([block] * count), b"\r\n--XX--\r\n"]
        )
        self.buffer = b""

    def read(self, size=-1):
        if not self.buffer:
            self.buffer = next(self.rest, b"")
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data


@pytest.mark.parametrize(
    "block",
    [
        b"\0" * 65536,
        b"\r\n" * 32768,
        b"\r\n--X" * 13107,
        b"\r\n--XX " + b" " * 65529,
        b"\r\n--XXY" * 9362,
    ],
    ids=["zeros", "lines", "prefixes", "padding", "boundaries"],
)
def test_memory_is_bounded_and_time_linear_whatever_the_bytes(block):
    def upload(count):
        reader = BoundaryReader(Endless(block, count), b"XX")
        assert reader.advance()
        start = time.thread_time()
        size = sum(map(len, iter(reader.read_block, b"")))
        assert size > count * 60000
        return time.thread_time() - start

    tracemalloc.start()
    try:
        upload(20)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    for _ in range(3):
        once, four = upload(8), upload(32)
        if four < 7 * max(once, 0.005):
            return
    raise AssertionError(f"four times the body takes {four / once:.0f} times the time")
