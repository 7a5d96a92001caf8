"""Sessions, the cache, logins, compression, entity tags and bodies, in exact numbers."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from monitored import Monitored, until

import cherrypy
from cherrypy.lib import sessions


class Root:
    def __init__(self) -> None:
        self.gate = threading.Event()
        self.made = 0

    @cherrypy.expose
    def index(self) -> str:
        return "home"

    @cherrypy.expose
    def put(self, value: str = "1") -> str:
        cherrypy.session["value"] = value
        return "put"

    @cherrypy.expose
    def get(self) -> str:
        return str(cherrypy.session.get("value"))

    @cherrypy.expose
    def renew(self) -> str:
        cherrypy.session.regenerate()
        return "renewed"

    @cherrypy.expose
    def drop(self) -> str:
        cherrypy.session.delete()
        return "dropped"

    @cherrypy.expose
    def hold(self) -> str:
        cherrypy.session["held"] = 1
        self.made += 1
        self.gate.wait(10)
        return "held"

    @cherrypy.expose
    def made_once(self) -> str:
        self.made += 1
        self.gate.wait(10)
        return f"made {self.made}"

    @cherrypy.expose
    def text(self) -> str:
        return "word " * 1000

    @cherrypy.expose
    def form(self, **params: Any) -> str:
        return str(len(params))

    @cherrypy.expose
    @cherrypy.tools.json_in()
    @cherrypy.tools.json_out()
    def json(self) -> Any:
        return cherrypy.request.json


def cookie_of(fields: Any) -> str:
    return str(fields["Set-Cookie"]).partition(";")[0]


# -- sessions -----------------------------------------------------------------------------------------


@pytest.fixture(params=["ram", "file"])
def storage(request: Any, site: Monitored, tmp_path: Path, monkeypatch: Any) -> str:
    monkeypatch.setattr(sessions.RamSession, "cache", {})
    for cls in (sessions.RamSession, sessions.FileSession):
        monkeypatch.setattr(cls, "clean_thread", None)
    config = {
        "tools.sessions.on": True,
        "tools.sessions.storage_type": request.param,
        "tools.sessions.storage_path": str(tmp_path),
    }
    root = Root()
    site.mount(root, {"/": config})
    site.start(level=2)
    site.root = root  # type: ignore[attr-defined]  # for those that need it
    return str(request.param)


def test_the_life_of_sessions(site: Monitored, storage: str) -> None:
    _, fields, _ = site.whole("/put")
    cookie = cookie_of(fields)
    assert site.ask("/get", Cookie=cookie)[1] == b"1"
    site.whole("/put")  # another client
    assert site.counts("cherrypy.sessions.created") == {(storage,): 2}
    assert site.counts("cherrypy.sessions.active") == {(storage,): 2}
    assert site.counts("cherrypy.sessions.ended") == {}
    _, fields, _ = site.whole("/renew", Cookie=cookie)
    assert site.counts("cherrypy.sessions.ended") == {(storage, "regenerated"): 1}
    assert site.counts("cherrypy.sessions.created") == {(storage,): 3}
    new = cookie_of(fields)
    assert new != cookie
    site.ask("/get", Cookie=cookie)  # is worth nothing any more
    site.ask("/drop", Cookie=new)
    assert site.counts("cherrypy.sessions.ended") == {
        (storage, "regenerated"): 1,
        (storage, "missing"): 1,
        (storage, "deleted"): 1,
    }
    loads = site.counts("cherrypy.session.load.duration")
    assert loads == {(storage,): 5}
    saves = site.counts("cherrypy.session.save.duration")[(storage,)]
    assert saves in (3, 4)  # a store of files has no need to save what has not changed
    waits = site.counts("cherrypy.session.lock.wait")[(storage,)]
    assert waits >= 5
    sizes = site.counts("cherrypy.session.size")
    assert sizes == {} if storage == "ram" else sizes[(storage,)] >= 3
    layers = site.counts("cherrypy.time.session")
    assert layers[("", "/put")] == 2


def test_sessions_that_expire(site: Monitored, storage: str) -> None:
    cherrypy.tree.apps[""].config["/"]["tools.sessions.timeout"] = 0.01  # minutes
    for _ in range(4):
        site.whole("/put")
    cls = sessions.RamSession if storage == "ram" else sessions.FileSession
    assert site.counts("cherrypy.sessions.active") == {(storage,): 4}
    time.sleep(0.7)
    cls.clean_thread.callback.__self__.clean_up()
    assert site.counts("cherrypy.sessions.ended") == {(storage, "expired"): 4}


def test_waiting_for_a_session(site: Monitored, storage: str) -> None:
    root: Root = site.root  # type: ignore[attr-defined]  # as above
    _, fields, _ = site.whole("/put")
    cookie = cookie_of(fields)
    first = threading.Thread(target=site.ask, args=("/hold",), kwargs={"Cookie": cookie})
    first.start()
    until(lambda: root.made == 1)
    second = threading.Thread(target=site.ask, args=("/put?value=2",), kwargs={"Cookie": cookie})
    second.start()
    until(lambda: site.monitor.books.inflight()[1:])
    time.sleep(0.3)
    phases = {entry["path"]: entry["phase"] for entry in site.monitor.books.inflight()}
    assert phases == {"/hold": "app", "/put": "session"}
    root.gate.set()
    first.join(5)
    second.join(5)
    waited = site.series("cherrypy.session.lock.wait")[(storage,)]
    assert 0.25 < waited.most < 5
    assert site.series("cherrypy.time.session")["", "/put"].most > 0.25


def test_a_session_that_is_not_to_be_had(site: Monitored, tmp_path: Path) -> None:
    root = Root()
    config = {"tools.sessions.on": True, "tools.sessions.lock_timeout": 0.1}
    site.mount(root, {"/": config})
    site.start()
    _, fields, _ = site.whole("/put")
    cookie = cookie_of(fields)
    first = threading.Thread(target=site.ask, args=("/hold",), kwargs={"Cookie": cookie})
    first.start()
    until(lambda: root.made == 1)
    assert site.ask("/put?value=2", Cookie=cookie)[0] == 503
    root.gate.set()
    first.join(5)
    assert site.counts("cherrypy.session.lock.timeouts") == {("ram",): 1}


def test_a_storage_class_of_a_program_is_counted_too(site: Monitored) -> None:
    class OwnSession(sessions.RamSession):
        cache: dict[Any, Any] = {}

        def _load(self) -> Any:
            return super()._load()

    site.mount(
        Root(), {"/": {"tools.sessions.on": True, "tools.sessions.storage_class": OwnSession}}
    )
    site.start()
    site.ask("/put")
    assert site.counts("cherrypy.sessions.created") == {("own",): 1}
    assert site.counts("cherrypy.session.load.duration") == {("own",): 1}
    assert "_load" in vars(OwnSession)
    site.monitor.stop()
    assert "_save" not in vars(OwnSession)
    assert vars(OwnSession)["_load"].__qualname__.endswith("OwnSession._load")


# -- the cache ----------------------------------------------------------------------------------------


@pytest.fixture
def cached(site: Monitored, monkeypatch: Any) -> Root:
    monkeypatch.delattr(cherrypy, "_cache", raising=False)
    root = Root()
    root.gate.set()
    site.mount(
        root,
        {"/": {"tools.caching.on": True, "tools.etags.on": True, "tools.etags.autotags": True}},
    )
    site.start()
    return root


def test_what_the_cache_answers(site: Monitored, cached: Root) -> None:
    status, fields, _ = site.whole("/text")
    assert status == 200
    for _ in range(3):
        assert site.ask("/text")[0] == 200
    assert site.ask("/text", If_None_Match=fields["ETag"])[0] == 304
    time.sleep(1.1)  # ages are whole seconds
    assert site.ask("/text", Cache_Control="max-age=0")[0] == 200
    assert site.ask("/text", Cache_Control="no-cache")[0] == 200
    assert site.ask("/form", "POST", b"a=1")[0] == 200
    assert site.counts("cherrypy.cache.requests") == {
        ("miss",): 1,
        ("hit",): 3,
        ("not_modified",): 1,
        ("stale",): 1,
        ("bypass",): 2,
    }
    assert site.counts("cherrypy.cache.objects") == {(): 1}
    assert 5000 < site.counts("cherrypy.cache.bytes")[()] < 6000
    assert site.counts("cherrypy.time.cache") != {}
    # What the cache answers goes by the page that it spares.
    routes = {labels[1] for labels in site.counts("http.server.request.duration")}
    assert routes == {"/text", "/form"}


def test_what_leaves_the_cache(site: Monitored, cached: Root) -> None:
    site.ask("/text")
    cache: Any = cherrypy._cache  # type: ignore[attr-defined]  # made by the tool
    cache.delay = 0.2
    site.ask("/index")
    site.becomes("cherrypy.cache.evictions", {("expired",): 1})
    site.ask("/text", "POST", b"")
    site.becomes("cherrypy.cache.evictions", {("expired",): 1, ("deleted",): 1})


def test_waiting_for_a_response_that_is_being_made(site: Monitored, cached: Root) -> None:
    site.ask("/made_once")
    cache: Any = cherrypy._cache  # type: ignore[attr-defined]  # made by the tool
    # The variants of a URI are known when it has been stored once; then one makes, and one waits.
    cache._forget(next(iter(cache._entries.values())))
    cached.gate.clear()
    made = cached.made
    threads = [threading.Thread(target=site.ask, args=("/made_once",)) for _ in range(2)]
    threads[0].start()
    until(lambda: cached.made == made + 1)
    threads[1].start()
    until(lambda: "cache" in [entry["phase"] for entry in site.monitor.books.inflight()])
    cached.gate.set()
    for thread in threads:
        thread.join(5)
    assert site.counts("cherrypy.cache.stampede.wait") == {(): 1}


# -- who comes in -------------------------------------------------------------------------------------


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_logins_by_basic_authentication(site: Monitored) -> None:
    from cherrypy.lib.auth_basic import checkpassword_dict

    config = {
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "here",
        "tools.auth_basic.checkpassword": checkpassword_dict({"ada": "secret"}),
    }
    site.mount(Root(), {"/": config})
    site.start()
    assert site.ask()[0] == 401
    for _ in range(2):
        assert site.ask(Authorization=basic("ada", "wrong"))[0] == 401
    for _ in range(3):
        assert site.ask(Authorization=basic("ada", "secret"))[0] == 200
    assert site.counts("cherrypy.auth.attempts") == {
        ("basic", "none"): 1,
        ("basic", "bad"): 2,
        ("basic", "ok"): 3,
    }


def test_logins_by_digest_authentication(site: Monitored, monkeypatch: Any) -> None:
    from cherrypy.lib import auth_digest

    config = {
        "tools.auth_digest.on": True,
        "tools.auth_digest.realm": "here",
        "tools.auth_digest.get_ha1": auth_digest.get_ha1_dict_plain({"ada": "secret"}),
        "tools.auth_digest.key": "a key",
    }
    site.mount(Root(), {"/": config})
    site.start()

    def answer(nonce: str, password: str) -> str:
        ha1 = auth_digest.md5_hex(f"ada:here:{password}")
        ha2 = auth_digest.md5_hex("GET:/")
        response = auth_digest.md5_hex(f"{ha1}:{nonce}:00000001:c:auth:{ha2}")
        return (
            f'Digest username="ada", realm="here", nonce="{nonce}", uri="/", qop=auth, '
            f'nc=00000001, cnonce="c", response="{response}", algorithm=MD5'
        )

    nonce = auth_digest.synthesize_nonce("here", "a key")
    assert site.ask()[0] == 401
    assert site.ask(Authorization=answer(nonce, "wrong"))[0] == 401
    assert site.ask(Authorization=answer(nonce, "secret"))[0] == 200
    old = auth_digest.synthesize_nonce("here", "a key", int(time.time()) - 10_000)
    assert site.ask(Authorization=answer(old, "secret"))[0] == 401
    assert site.counts("cherrypy.auth.attempts") == {
        ("digest", "none"): 1,
        ("digest", "bad"): 1,
        ("digest", "ok"): 1,
        ("digest", "stale_nonce"): 1,
    }


def test_logins_by_a_form(site: Monitored) -> None:
    def check(username: str, password: str) -> str | None:
        return None if password == "secret" else "No."

    config = {
        "tools.sessions.on": True,
        "tools.session_auth.on": True,
        "tools.session_auth.check_username_and_password": check,
    }
    site.mount(Root(), {"/": config})
    site.start()
    kind = "application/x-www-form-urlencoded"
    assert b"<form" in site.ask()[1]
    bad = site.ask("/do_login", "POST", "username=ada&password=x", Content_Type=kind)
    assert b"No." in bad[1]
    status, fields, _ = site.whole(
        "/do_login", "POST", "username=ada&password=secret", Content_Type=kind
    )
    assert status == 303
    assert site.ask(Cookie=cookie_of(fields)) == (200, b"home")
    assert site.counts("cherrypy.auth.attempts") == {
        ("session", "none"): 1,
        ("form", "bad"): 1,
        ("form", "ok"): 1,
        ("session", "ok"): 1,
    }


# -- bytes --------------------------------------------------------------------------------------------


def test_bytes_before_and_after_compression(site: Monitored) -> None:
    site.mount(Root(), {"/": {"tools.gzip.on": True}})
    site.start()
    _, _, packed = site.whole("/text", Accept_Encoding="gzip")
    assert gzip.decompress(packed) == b"word " * 1000
    site.ask("/text")
    assert site.counts("cherrypy.gzip.bytes") == {
        ("in", "gzip"): 5000,
        ("out", "gzip"): len(packed),
    }
    assert site.counts("cherrypy.time.encode")["", "/text"] >= 1


def test_conditional_requests(site: Monitored) -> None:
    site.mount(Root(), {"/": {"tools.etags.on": True, "tools.etags.autotags": True}})
    site.start()
    _, fields, _ = site.whole("/text")
    assert site.ask("/text", If_None_Match=fields["ETag"])[0] == 304
    assert site.ask("/text", If_None_Match='"another"')[0] == 200
    assert site.ask("/text", If_Match='"another"')[0] == 412
    assert site.ask("/text", If_Match=fields["ETag"])[0] == 200
    assert site.counts("cherrypy.etag.validations") == {
        ("none",): 1,
        ("match",): 2,
        ("no_match",): 1,
        ("failed",): 1,
    }


def test_bodies_and_their_parts(site: Monitored) -> None:
    site.mount(Root())
    site.start()
    kind = "application/x-www-form-urlencoded"
    for _ in range(2):
        assert site.ask("/form", "POST", "a=1&b=2", Content_Type=kind)[1] == b"2"
    value = json.dumps({"a": 1})
    assert json.loads(site.ask("/json", "POST", value, Content_Type="application/json")[1]) == {
        "a": 1
    }
    body = (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n2\r\n'
        b'--x\r\nContent-Disposition: form-data; name="c"; filename="c.txt"\r\n\r\nfile\r\n--x--\r\n'
    )
    kind = "multipart/form-data; boundary=x"
    assert site.ask("/form", "POST", body, Content_Type=kind)[1] == b"3"
    assert site.counts("cherrypy.body.parts") == {
        ("urlencoded",): 2,
        ("json",): 1,
        ("multipart_field",): 2,
        ("multipart_file",): 1,
    }
    sizes = site.series("http.server.request.body.size")
    assert sizes["POST", "/form"].total == 14 + len(body)


# -- paths of their own -------------------------------------------------------------------------------


def test_a_path_may_be_left_out_named_and_have_an_apdex_of_its_own(site: Monitored) -> None:
    class Pages:
        @cherrypy.expose
        @cherrypy.tools.monitor(route="/named", apdex=0.005)
        def index(self) -> str:
            time.sleep(0.03)
            return "home"

        @cherrypy.expose
        @cherrypy.config(**{"tools.monitor.on": False})
        def alive(self) -> str:
            return "yes"

        @cherrypy.expose
        @cherrypy.config(**{"tools.monitor.on": False})
        def broken(self) -> str:
            raise ValueError

        @cherrypy.expose
        def ignored(self) -> str:
            return "ignored"

    site.mount(Pages())
    site.start(routes__ignore=["/ign*"])
    for _ in range(3):
        assert site.ask("/")[0] == 200
        assert site.ask("/alive")[0] == 200
        assert site.ask("/ignored")[0] == 200
        assert site.ask("/broken")[0] == 500
    assert site.counts("cherrypy.requests") == {("",): 3}
    assert site.counts("cherrypy.exceptions") == {}
    assert site.monitor.books.errors() == []
    assert site.counts("cherrypy.apdex.requests") == {("", "/named", "frustrated"): 3}
    assert site.counts("cherrypy.server.connections.accepted") == {(site.listener,): 12}
