"""Sessions: the same laws for every store."""

from __future__ import annotations

import threading
import time

import pytest
import session_kit

from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessions


class Root:
    def __init__(self):
        self.entered = threading.Event()
        self.go = threading.Event()

    @expose
    def count(self):
        session = owner.session
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @expose
    def slow_count(self):
        n = owner.session.get("n", 0)
        self.entered.set()
        self.go.wait(5)
        owner.session["n"] = n + 1
        return str(n + 1)

    @expose
    def nothing(self):
        return "nothing"

    @expose
    def read(self):
        return repr(owner.session.get("n"))

    @expose
    def load(self):
        owner.session.load()
        return owner.session.id

    @expose
    def about(self):
        session = serving.session
        return repr((session.id, session.originalid, session.missing, session.regenerated))

    @expose
    def regenerate(self):
        before = owner.session.id
        owner.tools.sessions.regenerate()
        return f"{before} {owner.session.id}"

    @expose
    def expire(self):
        sessions.expire()
        return "x"

    @expose
    def delete(self):
        owner.session.delete()
        return "x"

    @expose
    def fail(self):
        owner.session["n"] = 100
        raise ValueError

    @expose
    def stream(self):
        def body():
            owner.session["n"] = 7
            yield b"x"

        return body()

    @expose
    def release(self):
        owner.session.release_lock()
        owner.session["n"] = 3
        return repr(owner.session.locked)

    @expose
    def length(self):
        return str(len(owner.session))


@pytest.fixture(params=session_kit.KINDS)
def store(request, tmp_path):
    return session_kit.store(request.param, tmp_path)


@pytest.fixture
def conf(store):
    return session_kit.configuration(store)


@pytest.fixture
def kept(store):
    """Return what the store holds, locks and all."""
    return store.kept


def back(answer):
    return {"Cookie": answer.cookie}


def test_a_counter(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    assert first.body == b"1"
    assert len(kept()) == 1
    second = site("/count", headers=back(first))
    assert second.body == b"2"
    assert second.cookie == first.cookie
    assert site("/count").body == b"1"
    assert len(kept()) == 2
    if conf.get("tools.sessions.storage_type") != "memcached":  # which does not tell
        assert site("/length", headers=back(first)).body == b"2"


def test_the_cookie(serve, conf):
    cookie = serve(Root(), conf)("/count")["Set-Cookie"]
    parts = cookie.split("; ")
    assert parts[0].startswith("session_id=")
    assert len(parts[0]) == len("session_id=") + 40
    assert [part.partition("=")[0] for part in parts[1:]] == [
        "expires",
        "HttpOnly",
        "Max-Age",
        "Path",
        "SameSite",
    ]
    assert "SameSite=Lax" in parts
    assert "Path=/" in parts
    assert "Max-Age=3600" in parts


@pytest.mark.parametrize(
    ("settings", "present", "absent"),
    [
        ({"secure": True}, ["Secure"], []),
        ({"httponly": False}, [], ["HttpOnly"]),
        ({"samesite": "Strict"}, ["SameSite=Strict"], ["SameSite=Lax"]),
        ({"samesite": "None"}, ["SameSite=None", "Secure"], []),
        ({"samesite": None}, [], ["SameSite"]),
        ({"partitioned": True}, ["Partitioned", "Secure"], []),
        ({"domain": "example.com"}, ["Domain=example.com"], []),
        ({"path": "/p"}, ["Path=/p"], ["Path=/;"]),
        ({"path_header": "X-Path"}, ["Path=/q"], []),
        ({"name": "sid"}, ["sid="], ["session_id"]),
        ({"persistent": False}, [], ["expires", "Max-Age"]),
        ({"timeout": 0.5}, ["Max-Age=30"], []),
    ],
)
def test_settings_of_the_cookie(serve, conf, settings, present, absent):
    conf.update({f"tools.sessions.{name}": value for name, value in settings.items()})
    cookie = serve(Root(), conf)("/count", headers={"X-Path": "/q"})["Set-Cookie"] + ";"
    for part in present:
        assert part in cookie
    for part in absent:
        assert part not in cookie


def test_a_path_from_a_field_adds_no_attributes(serve, conf):
    conf["tools.sessions.path_header"] = "X-Path"
    site = serve(Root(), conf)
    cookie = site("/count", headers={"X-Path": "/q; Domain=evil.example"})["Set-Cookie"]
    assert "evil" not in cookie
    assert "Path=/;" in cookie


def test_https_makes_it_secure(serve, conf):
    assert "; Secure" in serve(Root(), conf)("/count", scheme="https")["Set-Cookie"]
    conf["tools.sessions.secure"] = False
    assert "Secure" not in serve(Root(), conf)("/count", scheme="https")["Set-Cookie"]


def test_an_unused_session_leaves_nothing(serve, conf, kept):
    site = serve(Root(), conf)
    for path in ("/nothing", "/read", "/about"):
        assert site(path).status == 200
        assert kept() == []
    # Somebody who calls load() wants it.
    id = site("/load").text
    assert len(kept()) == 1
    assert site("/load", headers={"Cookie": f"session_id={id}"}).text == id


@pytest.mark.parametrize(
    "id", ["nope", "", "a" * 5000, "../../etc/passwd", "..", "x/y", "x.lock", "a%00b", "ü"]
)
def test_unknown_ids_are_never_adopted(serve, conf, kept, id):
    site = serve(Root(), conf)
    answer = site("/count", headers={"Cookie": f"session_id={id}"})
    assert answer.body == b"1"
    assert answer.cookie != f"session_id={id}"
    assert len(kept()) == 1
    new, original, missing, _ = eval(
        site("/about", headers={"Cookie": f"session_id={id}"}).body.decode("utf-8")
    )
    assert new != id
    assert original == id.encode().decode("latin-1") or original == id
    assert missing is True


def test_regenerate(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    answer = site("/regenerate", headers=back(first))
    before, after = answer.text.split()
    assert first.cookie == f"session_id={before}"
    assert answer.cookie == f"session_id={after}"
    assert len(answer.all("Set-Cookie")) == 1
    assert "HttpOnly" in answer["Set-Cookie"]
    assert len(kept()) == 1
    assert site("/count", headers=back(answer)).body == b"2"
    assert site("/count", headers=back(first)).body == b"1"


def test_expire(serve, conf):
    site = serve(Root(), conf)
    answer = site("/expire", headers=back(site("/count")))
    (cookie,) = answer.all("Set-Cookie")
    year = int(cookie.partition("expires=")[2][12:16])
    assert year <= time.gmtime().tm_year - 1 or "GMT" in cookie
    assert "Max-Age" not in cookie


def test_delete(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    assert site("/delete", headers=back(first)).status == 200
    assert kept() == []
    assert site("/count", headers=back(first)).body == b"1"


def test_errors_save_and_unlock(serve, conf, kept):
    site = serve(Root(), conf)
    first = site("/count")
    assert site("/fail", headers=back(first)).status == 500
    assert sessions.RamSession.locks == {}
    assert not any(name.endswith(".lock") for name in kept())
    assert site("/nothing", headers=back(first)).status == 200


def test_streams_are_saved_at_their_end(serve, conf):
    conf["response.stream"] = True
    site = serve(Root(), conf)
    first = site("/stream")
    assert site("/read", headers=back(first)).body == b"7"
    conf["response.stream"] = False
    site = serve(Root(), conf)
    second = site("/stream")
    assert site("/read", headers=back(second)).body == b"7"


def test_release_by_hand(serve, conf):
    site = serve(Root(), conf)
    first = site("/release", headers=back(site("/count")))
    assert first.body == b"False"
    assert site("/read", headers=back(first)).body == b"3"


def run_threads(*calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_no_update_is_lost(serve, conf, kept):
    site = serve(Root(), conf)
    headers = back(site("/count"))

    def client():
        for _ in range(25):
            assert site("/count", headers=headers).status == 200

    run_threads(*[client] * 8)
    assert site("/count", headers=headers).body == b"202"
    assert len(kept()) == 1


def test_whoever_leaves_the_session_alone_does_not_wait(serve, conf):
    root = Root()
    site = serve(root, conf)
    headers = back(site("/count"))
    slow = threading.Thread(target=lambda: site("/slow_count", headers=headers))
    slow.start()
    try:
        assert root.entered.wait(5)
        started = time.monotonic()
        assert site("/nothing", headers=headers).status == 200
        assert time.monotonic() - started < 2
    finally:
        root.go.set()
        slow.join(10)


def test_waiting_has_a_limit(serve, conf, caplog):
    root = Root()
    conf["tools.sessions.lock_timeout"] = 0.05
    site = serve(root, conf)
    headers = back(site("/count"))
    slow = threading.Thread(target=lambda: site("/slow_count", headers=headers))
    slow.start()
    try:
        assert root.entered.wait(5)
        answer = site("/count", headers=headers)
        assert answer.status == 503
        assert answer["Retry-After"] == "1"
    finally:
        root.go.set()
        slow.join(10)
    assert "slow_count" in caplog.text
    assert headers["Cookie"].partition("=")[2] not in caplog.text.partition("waited")[2]
    assert site("/count", headers=headers).body == b"3"


@pytest.mark.parametrize("locking_mode", ["explicit", "early"])
def test_other_ways_to_lock(serve, conf, locking_mode):
    conf["tools.sessions.locking"] = locking_mode

    class Look(Root):
        @expose
        def look(self):
            before = owner.session.locked
            owner.session.get("n")
            return repr((before, owner.session.locked))

    expected = {"explicit": (False, False), "early": (True, True)}[locking_mode]
    site = serve(Look(), conf)
    assert site("/look").text == repr(expected)
    assert sessions.RamSession.locks == {}
    assert site("/count").body == b"1"


def test_bad_settings(serve, conf):
    conf["tools.sessions.locking"] = "sometimes"
    assert serve(Root(), conf)("/count").status == 500
    conf["tools.sessions.locking"] = "implicit"
    conf["tools.sessions.storage_type"] = "nope"
    assert serve(Root(), conf)("/count").status == 500


def test_sessions_expire_and_are_cleaned_up(serve, conf, kept):
    # Memcached counts whole seconds by a clock of its own: one of them may be over at once.
    kind = conf.get("tools.sessions.storage_type", "ram")
    seconds = 3 if kind == "memcached" else 0.3
    conf["tools.sessions.timeout"] = seconds / 60
    conf["tools.sessions.clean_freq"] = 0
    site = serve(Root(), conf)
    first = site("/count")
    assert kept()
    time.sleep(seconds + 1.1)
    assert site("/count", headers=back(first)).body == b"1"
    time.sleep(seconds + 1.1)
    getattr(sessions, f"{kind.title()}Session")().clean_up()
    assert kept() == []


def test_the_cleaner_runs_by_itself(serve, conf, kept):
    # Memcached counts whole seconds by a clock of its own: two of them last for one at least.
    conf["tools.sessions.timeout"] = (2 if "memcached" in conf.values() else 0.2) / 60
    conf["tools.sessions.clean_freq"] = 0.1 / 60
    serve(Root(), conf)("/count")
    assert kept()
    deadline = time.monotonic() + 10
    while kept():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_attribute_on_the_package(serve, conf):
    site = serve(Root(), conf)
    assert "session" not in owner.__dict__
    headers = back(site("/count"))
    assert "session" in owner.__dict__
    del owner.session
    assert site("/count", headers=headers).body == b"2"


def test_own_storage_classes(serve):
    class RedisSession(sessions.RamSession):
        prepared = None

        @classmethod
        def setup(cls, **kwargs):
            cls.prepared = kwargs

    sessions.RedisSession = RedisSession
    try:
        conf = {
            "tools.sessions.on": True,
            "tools.sessions.storage_type": "redis",
            "tools.sessions.url": "u",
        }
        site = serve(Root(), conf)
        assert site("/count").body == b"1"
        assert RedisSession.prepared == {"url": "u"}
    finally:
        del sessions.RedisSession
    conf = {"tools.sessions.on": True, "tools.sessions.storage_class": RedisSession}
    assert serve(Root(), conf)("/count").body == b"1"


def test_the_id_may_be_put_into_the_request(serve, conf):
    from cherrypy.framework.tools import Tool, default_toolbox

    site = serve(Root(), conf)
    id = site("/count").cookie.partition("=")[2]

    def from_token():
        serving.request.cookie["session_id"] = serving.request.headers["X-Auth-Token"]

    default_toolbox.from_token = Tool("on_start_resource", from_token)
    try:
        site = serve(Root(), {**conf, "tools.from_token.on": True})
        assert site("/count", headers={"X-Auth-Token": id}).body == b"2"
    finally:
        del default_toolbox.from_token


def test_like_a_dict():
    session = sessions.RamSession()
    session["a"] = 1
    session.update({"b": 2})
    assert session.setdefault("c", 3) == 3
    assert sorted(session) == sorted(session.keys()) == ["a", "b", "c"]
    assert dict(session.items()) == {"a": 1, "b": 2, "c": 3}
    assert sorted(session.values()) == [1, 2, 3]
    assert "a" in session
    del session["a"]
    assert "a" not in session
    assert session.pop("b") == 2
    assert session.pop("b", None) is None
    assert session.pop("b") is False
    with pytest.raises(KeyError):
        session["b"]
    session.clear()
    assert not list(session)


def test_ram_locks_survive_a_clean_up():
    go = threading.Event()

    def lock():
        session = sessions.RamSession()
        session.acquire_lock()
        go.wait(5)
        session.release_lock()

    thread = threading.Thread(target=lock)
    thread.start()
    deadline = time.monotonic() + 5
    while not sessions.RamSession.locks and time.monotonic() < deadline:
        time.sleep(0.001)
    try:
        sessions.RamSession().clean_up()
        assert len(sessions.RamSession.locks) == 1
    finally:
        go.set()
        thread.join(5)
    assert sessions.RamSession.locks == {}


def _answer(site, **environ):
    """Return what the application gives to a server, not iterated and not closed."""
    return site.app({**ENVIRON, **environ}, lambda status, fields, exc_info=None: None)


ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/count",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "127.0.0.1",
    "wsgi.url_scheme": "http",
}


def test_a_saved_session_does_not_wait_for_the_server(serve, conf):
    site = serve(Root(), conf)
    assert _answer(site) == [b"1"]
    assert serving.request.app is None


def test_a_lock_is_held_until_the_response_is_closed(serve, conf, kept):
    class Held(Root):
        @expose
        def hold(self):
            serving.request._sessionsaved = True  # so that nobody saves and unlocks
            owner.session["held"] = True
            return "held"

    site = serve(Held(), conf)
    first = site("/count")
    answer = _answer(site, PATH_INFO="/hold", HTTP_COOKIE=first.cookie)
    deadline = time.monotonic() + 10
    while len(kept()) != 2:
        assert time.monotonic() < deadline, kept()
    answer.close()
    assert len(kept()) == 1


def test_the_cookie_is_seen_and_changed_by_handlers(serve, conf):
    class Looking(Root):
        @expose
        def look(self):
            morsel = serving.response.cookie["session_id"]
            morsel["samesite"] = "Strict"
            return f"{morsel.value} {list(serving.request.cookie)}"

    site = serve(Looking(), conf)
    first = site("/count")
    answer = site("/look", headers={"Cookie": f"other=1; {first.cookie}"})
    id = first.cookie.partition("=")[2]
    assert answer.text == f"{id} ['other', 'session_id']"
    assert len(answer.all("Set-Cookie")) == 1
    assert answer.cookie == first.cookie
    assert "SameSite=Strict" in answer["Set-Cookie"]


def test_the_proxy_does_what_the_session_does(serve, conf):
    class Proxied(Root):
        @expose
        def use(self):
            session = owner.session
            session["a"] = 1
            assert ("a" in session, "b" in session) == (True, False)
            assert (session["a"], session.get("a"), session.get("b", 2)) == (1, 1, 2)
            return ",".join(session.keys())

    assert serve(Proxied(), conf)("/use").text == "a"


def test_a_short_life_is_not_none(serve, conf):
    answer = serve(Root(), {**conf, "tools.sessions.timeout": 0.01})("/count")
    assert "Max-Age=1;" in answer["Set-Cookie"]
