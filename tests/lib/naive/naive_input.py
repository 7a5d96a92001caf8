"""Input as one reads it in an afternoon: forms, charsets, credentials and cookies of those who mean well."""

from __future__ import annotations

import codecs
import re
import tempfile
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from asking_kit import Site
from input_checks import Pages

import cherrypy
from cherrypy.framework.body import Entity
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving


def site(root: Any = None, **conf: Any) -> Any:
    return Site(root or Pages(), {name.replace("__", "."): value for name, value in conf.items()})


# ---------------------------------------------------------------------------------------- forms


def _reads_forms(process: Callable[[Any], None]) -> Any:
    return site(request__body__processors={"multipart/form-data": process})


def _closed_later(process: Callable[[Any], None], open_ones: list[Any]) -> Any:
    """By the test, as warnings are errors here."""
    built = _reads_forms(process)
    built.open_ones = open_ones
    return built


def split_at_boundaries(folder: Path) -> Any:
    """`body.read().split(b'--' + boundary)`"""

    def process(entity: Any) -> None:
        boundary = entity.content_type.params["boundary"].encode("ascii")
        for part in entity.fp.read().split(b"--" + boundary)[1:-1]:
            head, body = part.split(b"\r\n\r\n", 1)
            name = re.search(rb'name="(.*?)"', head)
            entity.params[name[1].decode()] = body[:-2].decode()  # type: ignore[index]  # the naive way: that a part has a name is taken for granted

    return _reads_forms(process)


def looks_for_it_each_time(folder: Path) -> Any:
    """`while boundary not in data: data += body.read(1000)`"""

    def process(entity: Any) -> None:
        data = b""
        while b"\r\n--b--" not in data:
            data += entity.fp.read(1000)
        entity.params["f"] = len(data)

    return _reads_forms(process)


def cuts_off_each_part(folder: Path) -> Any:
    """`part, body = body[:end], body[end:]`"""

    def process(entity: Any) -> None:
        body = entity.fp.read()
        while (end := body.find(b"--b", 3)) >= 0:
            part, body = body[:end], body[end:]
            entity.params["f"] = part.partition(b"\r\n\r\n")[2].decode()

    return _reads_forms(process)


def a_file_for_each_part(folder: Path) -> Any:
    """`tempfile.TemporaryFile()` for each part that has a file name"""

    def process(entity: Any) -> None:
        files: list[Any] = []
        for part in entity.fp.read().split(b"--b\r\n")[1:]:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - left open: the naive way leaks it
            file.write(part.partition(b"\r\n\r\n")[2])
            files.append(file)
        entity.params["f"] = files

        open_ones.extend(files)

    open_ones: list[Any] = []
    return _closed_later(process, open_ones)


# ------------------------------------------------------------------------------------- charsets


def _decodes(decode: Callable[[bytes, str], str]) -> Any:
    def process(entity: Any) -> None:
        body = entity.fp.read()
        text = decode(body, entity.content_type.params.get("charset", "utf-8"))
        entity.params.update(pair.partition("=")[::2] for pair in text.split("&"))

    return site(request__body__processors={"application/x-www-form-urlencoded": process})


def decodes_anything(folder: Path) -> Any:
    """`urllib.parse.parse_qs(body.decode(charset))`"""
    from urllib.parse import unquote_to_bytes

    return _decodes(lambda body, charset: unquote_to_bytes(body).decode(charset))


def decodes_with_any_codec(folder: Path) -> Any:
    """`codecs.decode(body, charset)`"""

    def decode(body: bytes, charset: str) -> str:
        try:
            return str(codecs.decode(body, charset))
        except Exception:
            raise cherrypy.HTTPError(400) from None

    return _decodes(decode)


# ----------------------------------------------------------------------------------- credentials


def _digest(parse: Callable[[str], dict[str, str]]) -> Any:
    class Own(Pages):
        @expose
        def digest(self) -> None:
            field = serving.request.headers["Authorization"]
            said = parse(field.partition(" ")[2])
            if said["username"] != "u" or said["response"] != "right":
                raise cherrypy.HTTPError(401)

    return site(Own())


def splits_credentials(folder: Path) -> Any:
    """`dict(pair.split('=') for pair in credentials.split(', '))`"""
    return _digest(lambda text: dict(pair.split("=") for pair in text.split(", ")))  # type: ignore[misc]  # the naive way: pairs of any length


def looks_ahead(folder: Path) -> Any:
    """`re.split(',(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)', credentials)`"""
    commas = re.compile(',(?=(?:[^"]*"[^"]*")*[^"]*$)')
    return _digest(
        lambda text: {
            "username": "",
            **{
                pair.partition("=")[0].strip(): pair.partition("=")[2]
                for pair in commas.split(text)
            },
        }
    )


def remembers_each_nonce(folder: Path) -> Any:
    """A dict of the nonces that have come, against replays"""
    seen: dict[str, int] = {}

    def parse(text: str) -> dict[str, str]:
        nonce = text.partition('nonce="')[2].partition('"')[0]
        seen[nonce] = seen.get(nonce, 0) + 1
        return {"username": ""}

    return _digest(parse)


# ---------------------------------------------------------------------------------------- cookies


def _cookies(parse: Callable[[str], Any]) -> Any:
    class Own(Pages):
        @expose
        def cookies(self) -> str:
            return str(len(parse(serving.request.headers.get("Cookie", ""))))

    return site(Own())


def the_librarys_cookies(folder: Path) -> Any:
    """`http.cookies.SimpleCookie(field)`"""
    return _cookies(SimpleCookie)


def each_cookie_by_itself(folder: Path) -> Any:
    """`for pair in field.split(';'): jar.load(pair)`"""

    def parse(field: str) -> SimpleCookie:
        jar: SimpleCookie = SimpleCookie()
        for pair in field.split(";"):
            name, _, value = pair.strip().partition("=")
            jar[name] = value
        return jar

    return _cookies(parse)


def unquotes_one_by_one(folder: Path) -> Any:
    """`while '\\\\' in value: value = value.replace('\\\\', '', 1)`"""

    def parse(field: str) -> dict[str, str]:
        name, _, value = field.partition("=")
        while (at := value.find("\\")) >= 0:
            value = value[:at] + value[at + 1 :]
        return {name: value}

    return _cookies(parse)


# ------------------------------------------------------------------------------------ descriptors


def keeps_what_was_refused(folder: Path) -> Any:
    """The body in a temporary file, which is closed at the end of the page"""
    open_ones: list[Any] = []

    def process(entity: Entity) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - left open: the naive way leaks it
        open_ones.append(file)
        entity.read(fp_out=file)
        file.seek(0)
        if not file.read().endswith(b"--b--\r\n"):
            raise cherrypy.HTTPError(400)
        open_ones.pop().close()

    return _closed_later(process, open_ones)


def _traced(made: Any) -> Any:
    made.open_ones = []
    inner = made.app

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - left open: the naive way leaks it
        made.open_ones.append(file)
        file.write(repr(environ).encode())
        seen: list[str] = []

        def start(status: str, fields: Any, exc_info: Any = None) -> Any:
            seen.append(status)
            return start_response(status, fields, exc_info)

        answer = inner(environ, start)
        if seen[-1] < "400":
            made.open_ones.pop().close()
        return answer

    made.app = app
    return made


def traces_requests(folder: Path) -> Any:
    """A trace of each request in a file, which is closed once it was served"""
    return _traced(site())


def traces_cookies(folder: Path) -> Any:
    """The same"""
    return _traced(each_cookie_by_itself(folder))
