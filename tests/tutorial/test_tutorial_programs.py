"""The ten tutorials, each as a process, over real sockets: what they promise, and what visitors may do wrong."""

from __future__ import annotations

import ast
import hashlib
import http.client
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from tutorial_kit import FOLDER, MODULES, Tutorial, links, proper

from cherrypy.lib import reprconf

Serve = Callable[[str], Tutorial]


def test_there_are_ten() -> None:
    assert sorted(path.stem for path in FOLDER.glob("tut*.py")) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_short_and_explained(module: str) -> None:
    source = (FOLDER / f"{module}.py").read_text("utf-8")
    assert len(source.splitlines()) <= 75
    doc = ast.get_docstring(ast.parse(source))
    assert doc
    assert f"python -m cherrypy.tutorial.{module}" in doc
    assert source.count("\n    # ") + source.count("\n# ") >= 2


@pytest.mark.parametrize("module", MODULES)
def test_every_page_is_proper_html_and_links_lead_somewhere(serve: Serve, module: str) -> None:
    tutorial = serve(module)
    seen: dict[str, int] = {}
    todo = ["/"]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        answer = tutorial.ask(path)
        seen[path] = answer.status
        if answer.headers.get_content_type() == "text/html" and answer.status == 200:
            todo += [urljoin(path, link) for link in links(proper(answer))]
    wrong = {path: status for path, status in seen.items() if status != 200}
    expected = {"/nowhere": 404, "/closed": 403, "/broken": 500, "/moved": 301}
    assert wrong == (expected if module == "tut10_http_errors" else {})


def test_the_port_is_8080_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    def port() -> object:
        config = reprconf.Parser().dict_from_file(str(FOLDER / "tutorial.conf"))
        return config["global"]["server.socket_port"]

    monkeypatch.delenv("PORT", raising=False)
    assert port() == 8080
    monkeypatch.setenv("PORT", "8081")
    assert port() == 8081


def test_1_hello(serve: Serve) -> None:
    tutorial = serve("tut01_helloworld")
    assert "Hello world!" in tutorial.page("/")
    assert tutorial.ask("/more").status == 404


def test_a_copy_starts_itself_again_when_it_is_changed(tmp_path: Path) -> None:
    for name in ("tut01_helloworld.py", "tutorial.conf"):
        shutil.copy(FOLDER / name, tmp_path)
    copy = tmp_path / "tut01_helloworld.py"
    with socket.socket() as probe:  # the same one after the restart
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tutorial = Tutorial("a copy", str(copy), port=port)
    try:
        assert "Hello world!" in tutorial.page("/")
        copy.write_text(copy.read_text("utf-8").replace("Hello world!", "Hello again!"), "utf-8")
        deadline = time.monotonic() + 20
        while True:
            try:
                changed = "Hello again!" in tutorial.ask("/").text
                if changed and tutorial.log.count("Bus STARTED") == 2:
                    break
            except (OSError, http.client.HTTPException):
                pass  # between the two
            assert time.monotonic() < deadline, tutorial.log
            time.sleep(0.05)
    finally:
        assert tutorial.end() == 0


def test_2_pages_and_no_pages(serve: Serve) -> None:
    tutorial = serve("tut02_expose_methods")
    assert "There are 12 trees with cherries." in tutorial.page("/cherries")
    assert tutorial.page("/plums") == tutorial.page("/prunes") == tutorial.page("/damsons")
    for path in ("/count", "/count/plums", "/count?fruit=plums", "/trees", "/trees/plums"):
        assert tutorial.ask(path).status == 404


def test_3_get(serve: Serve) -> None:
    tutorial = serve("tut03_get_and_post")
    assert "Everything: cherry, damson, plum, sour cherry." in tutorial.page("/search")
    assert "cherry: cherry, sour cherry." in tutorial.page("/search?fruit=cherry")
    assert "&lt;script&gt;: nothing." in tutorial.page("/search?fruit=%3Cscript%3E")
    assert tutorial.ask("/search?vegetable=leek").status == 404


def test_3_post(serve: Serve) -> None:
    tutorial = serve("tut03_get_and_post")
    answer = tutorial.post("/order", "name=Zo%C3%AB+%3Cb%3E&count=3")
    assert answer.status == 200
    assert "Thank you, Zoë &lt;b&gt;: 3 kg, coming up." in proper(answer)
    mistakes = {
        "name=Zoe": 404,  # nothing for `count`
        "name=Zoe&count=1&price=0": 400,
        "name=Zoe&count=many": 400,
        "name=Zoe&count=": 400,
    }
    assert {body: tutorial.post("/order", body).status for body in mistakes} == mistakes
    assert "How many? Please give a number." in tutorial.post("/order", "name=Z&count=x").text
    assert tutorial.ask("/order?name=Zoe&count=1").status == 405


def test_4_folders(serve: Serve) -> None:
    tutorial = serve("tut04_complex_site")
    assert "<h1>Jam</h1>" in tutorial.page("/shop/jam/")
    assert "<h1>Hours</h1>" in tutorial.page("/shop/hours")
    answer = tutorial.ask("/shop")  # relative links need the slash
    assert (answer.status, answer.headers["Location"]) == (301, f"{tutorial.url}/shop/")


def test_5_inheritance(serve: Serve) -> None:
    tutorial = serve("tut05_derived_objects")
    home, cherries = tutorial.page("/"), tutorial.page("/cherries/")
    assert "<h1>Home</h1>" in home
    assert "Picked this morning." in home
    assert "<h1>Cherries</h1>" in cherries
    footer = '<a href="/">Home</a> · <a href="/cherries/">Cherries</a>'
    assert footer in home
    assert footer in cherries
    assert tutorial.ask("/header").status == tutorial.ask("/cherries/footer").status == 404


def test_6_positional_arguments(serve: Serve) -> None:
    tutorial = serve("tut06_default_method")
    assert "July 2026" in tutorial.page("/2026/7")
    assert "January 2026" in tutorial.page("/2026")
    assert "yes" in tutorial.page("/leap/2028")
    assert "no" in tutorial.page("/leap/2026")


@pytest.mark.parametrize(
    "path",
    [
        "/leap",
        "/leap/2028/7",
        "/leap/x",
        "/2026/13",
        "/2026/0",
        "/2026/7/1",
        "/x",
        "/" + "9" * 5000,
    ],
)
def test_6_addresses_that_do_not_fit(serve: Serve, path: str) -> None:
    assert serve("tut06_default_method").ask(path).status == 404


def test_7_two_visitors(serve: Serve) -> None:
    tutorial = serve("tut07_sessions")

    def visit(path: str, method: str = "GET", cookie: str = "") -> tuple[str, str]:
        answer = tutorial.ask(path, method, b"" if method == "POST" else None, Cookie=cookie)
        assert answer.status == (303 if method == "POST" else 200)
        return answer.text, (answer.headers["Set-Cookie"] or cookie).partition(";")[0]

    _, first = visit("/add", "POST")
    visit("/add", "POST", first)
    assert "basket: 2<" in visit("/", cookie=first)[0]
    assert "basket: 0<" in visit("/")[0]
    visit("/empty", "POST", first)
    assert "basket: 0<" in visit("/", cookie=first)[0]
    assert tutorial.ask("/add").status == 405


def test_8_pieces_leave_at_once(serve: Serve) -> None:
    tutorial = serve("tut08_generators_and_yield")
    assert tutorial.ask("/").headers["Content-Length"]
    received, arrivals = b"", []
    with socket.create_connection(("127.0.0.1", tutorial.port), timeout=20) as connection:
        connection.sendall(b"GET /cook HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while data := connection.recv(65536):
            received += data
            arrivals += [time.monotonic()] * data.count(b"<p>")
    head = received.partition(b"\r\n\r\n")[0].lower()
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert len(arrivals) == 6
    assert arrivals[-1] - arrivals[0] > 2  # five times half a second
    assert len(set(arrivals)) >= 4


def multipart(name: str, content: bytes) -> tuple[bytes, str]:
    head = f'--XX\r\nContent-Disposition: form-data; name="document"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--XX--\r\n", "multipart/form-data; boundary=XX"


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_9_up(serve: Serve, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    body, kind = multipart("a<b>&c.bin", content)
    answer = serve("tut09_files").ask("/upload", "POST", body, Content_Type=kind)
    assert answer.status == 200
    assert f"a&lt;b&gt;&amp;c.bin: {size} bytes." in proper(answer)
    assert hashlib.sha256(content).hexdigest() in answer.text


def test_9_up_without_a_file(serve: Serve) -> None:
    tutorial = serve("tut09_files")
    body, kind = multipart("", b"")
    assert tutorial.ask("/upload", "POST", body, Content_Type=kind).status == 400
    assert tutorial.post("/upload", "document=text").status == 400
    assert tutorial.post("/upload", "").status in (400, 404)


def test_9_down(serve: Serve) -> None:
    tutorial = serve("tut09_files")
    recipe = (FOLDER / "recipe.txt").read_bytes()
    answer = tutorial.ask("/recipe")
    assert answer.body == recipe
    assert answer.headers["Content-Type"].startswith("application/x-download")
    assert 'filename="cherry-jam.txt"' in answer.headers["Content-Disposition"]
    part = tutorial.ask("/recipe", Range="bytes=0-9")
    assert (part.status, part.body) == (206, recipe[:10])


def test_10_errors(serve: Serve) -> None:
    tutorial = serve("tut10_http_errors")
    missing = tutorial.ask("/no%3Cb%3Ewhere")
    assert missing.status == 404
    assert "Nothing grows here" in proper(missing)
    assert "<b>" not in missing.text
    assert "The garden is closed in winter." in tutorial.ask("/closed").text
    broken = tutorial.ask("/broken")
    assert broken.status == 500
    assert "IndexError" not in broken.text
    assert "IndexError: list index out of range" in tutorial.log
    moved = tutorial.ask("/moved")
    assert (moved.status, moved.headers["Location"]) == (301, f"{tutorial.url}/")
