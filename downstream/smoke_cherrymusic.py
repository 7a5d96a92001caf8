"""The server of CherryMusic as its source has it: the first visit, a login, folders, files and playlists."""

from __future__ import annotations

import http.client
import json
import os
import re
import sys
import tempfile
from pathlib import Path

from smoke_kit import ask, check, free_port, process

SONG = bytes(range(256)) * 40


def api(port: int, cookie: str, action: str, **data: object) -> object:
    """What an action of the JSON interface gives, or its status."""
    form = {"data": json.dumps(data)} if data else {}
    status, text, _ = ask(port, f"/api/{action}", cookie, form)
    return json.loads(text)["data"] if status == 200 else status


def part(port: int, path: str, cookie: str) -> tuple[int, str | None, bytes]:
    """The first bytes of a file."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        link.request("GET", path, headers={"Cookie": cookie, "Range": "bytes=256-259"})
        answer = link.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()
    finally:
        link.close()


def first_visit(port: int) -> str:
    """Make the administrator; give the cookie of the session."""
    status, text, cookie = ask(port, "/")
    check("the first visit", (status, "create admin user" in text), (200, True))
    fields = {"username": "admin", "password": "geheim", "login": "create admin user"}
    status, text, cookie = ask(port, "/", cookie, fields)
    check("an administrator is made", (status, "jplayer" in text.lower()), (200, True))
    check("nobody can make another", "No, you can't." in ask(port, "/", "", fields)[1], True)
    return cookie


def talk(port: int) -> None:
    cookie = first_visit(port)
    found = api(port, cookie, "listdir", directory="")
    check("the folder", [e["path"] for e in found], ["J\u00e4ger.mp3"])  # type: ignore[attr-defined]  # JSON
    check("strangers get no list", api(port, "", "listdir", directory=""), 401)
    song = "/serve/J%C3%A4ger.mp3"
    check("a part of a song", part(port, song, cookie), (206, "audio/mpeg", SONG[256:260]))
    check("strangers get no song", part(port, song, "")[2] == SONG[256:260], False)
    style = re.findall(r"res/[^\"']+\.css", ask(port, "/", cookie)[1])
    check("its styles", {ask(port, f"/{one}", cookie)[0] for one in style}, {200})
    check("its icon", ask(port, "/favicon.ico", cookie)[0], 200)
    made = {"playlist": [{"url": "a", "title": "A"}], "public": True, "playlistname": "mine"}
    check("a playlist is kept", api(port, cookie, "saveplaylist", **made), "success")
    shown = api(port, cookie, "showplaylists")
    check("and shown", [one["title"] for one in shown], ["mine"])  # type: ignore[attr-defined]  # JSON
    status, text, _ = ask(port, "/api/v1/", cookie)
    check("the new interface", (status, json.loads(text)), (200, ["users"]))
    check("a logout", api(port, cookie, "logout"), None)
    check("who left gets no list", api(port, cookie, "listdir", directory=""), 401)
    login = {"username": "admin", "password": "geheim", "login": "login"}
    status, text, again = ask(port, "/", "", login)
    check("a login", (status, "jplayer" in text.lower()), (200, True))
    wrong = ask(port, "/", "", login | {"password": "x"})[2]
    check("a wrong one", api(port, wrong, "listdir", directory=""), 401)
    check("a right one", len(api(port, again, "listdir", directory="")), 1)  # type: ignore[arg-type]  # JSON


def main() -> None:
    source = next(path.parent for path in Path("source").resolve().glob("*/*/cherrymusic"))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("data", "config", "music"):
            (Path(folder) / name).mkdir()
        (Path(folder) / "music" / "J\u00e4ger.mp3").write_bytes(SONG)
        os.environ.update(XDG_DATA_HOME=f"{folder}/data", XDG_CONFIG_HOME=f"{folder}/config")
        os.chdir(source)
        port = free_port()
        settings = (f"media.basedir={folder}/music", "server.keep_session_in_ram=False")
        command = (sys.executable, "cherrymusic", "--port", str(port), "--conf", *settings)
        with process(port, sys.executable, "cherrymusic", "--newconfig", waits=False) as child:
            child.wait(30)
        (Path(folder) / "config/cherrymusic/cherrymusic.conf.new").rename(
            Path(folder) / "config/cherrymusic/cherrymusic.conf"
        )
        with process(port, *command) as child:
            talk(port)
            child.terminate()
            check("it ends at a signal", child.wait(20) in (0, -15), True)


if __name__ == "__main__":
    main()
