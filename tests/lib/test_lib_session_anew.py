"""What is begun anew is as if it had only come now; and nothing is lost, however its page goes about it."""

from __future__ import annotations

from concurrent import futures
from concurrent.futures import ThreadPoolExecutor

import pytest
import session_kit
from security_kit import served
from session_kit import Pages, Slow, ask, back

from cherrypy.framework.application import Application
from cherrypy.framework.errors import HTTPError, InternalRedirect
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.framework.tools import Tool, Toolbox
from cherrypy.framework.wsgi import ExceptionTrapper
from cherrypy.lib import sessionreads
from cherrypy.lib.reading import verdicts

pytestmark = pytest.mark.usefixtures("program")

KINDS = ["ram", "file"]
WRITE = {"X-Write": "1"}


@pytest.fixture(autouse=True)
def nothing_can_be_known(monkeypatch):
    """Nothing is learned yet, and no code shows anything."""
    monkeypatch.setattr(sessionreads, "_reads_only", {})
    monkeypatch.setattr(verdicts, "verdict", lambda *_: None)


@pytest.fixture
def kind():
    return "ram"


@pytest.fixture
def conf(kind, tmp_path):
    return session_kit.configuration(session_kit.store(kind, tmp_path))


class Shop(Pages):
    """Counts how often its pages run."""

    def __init__(self):
        super().__init__()
        self.runs = 0
        self.seen = []

    def pause(self, times=1):
        """Wait, the first time."""
        if not serving.request.headers.get("X-Write"):
            return
        self.runs += 1
        if self.runs <= times:
            self.entered.set()
            assert self.go.wait(20)
            self.go.clear()

    @expose
    def start(self):
        owner.session["d"] = {"n": 0}
        owner.session["n"] = 0
        return "x"

    @expose
    def raise_n(self):
        n = owner.session["n"]
        self.seen.append((serving.request.prev, dict(serving.request.headers)))
        self.pause()
        owner.session["n"] = n + 1
        return str(n + 1)

    @expose
    def deep(self):
        """As `/raise_n`, in a value."""
        owner.session["d"]["n"] += 1
        return str(owner.session["d"]["n"])

    @expose
    def stubborn(self):
        """Try again, whatever has failed."""
        for _ in range(3):
            n = owner.session["n"]
            self.pause()
            try:
                owner.session["n"] = n + 1
            except Exception:
                continue
            return str(n + 1)

    @expose
    def twice(self):
        n = owner.session["n"]
        self.pause()
        owner.session.load()
        owner.session["n"] = n + 1
        return str(n + 1)

    @expose
    def late_lock(self):
        n = owner.session["n"]
        self.pause()
        owner.session.acquire_lock()
        owner.session["n"] = n + 1
        return str(n + 1)

    @expose
    def renew(self):
        owner.session.get("n")
        self.pause()
        owner.session.regenerate()
        owner.session["user"] = "bob"
        return owner.session.id

    @expose
    def renew_locked(self):
        owner.session.acquire_lock()
        return self.renew()

    @expose
    def too_late(self):
        n = owner.session["n"]
        self.pause()
        serving.response.timed_out = True
        owner.session["n"] = n + 1

    @expose
    def parts(self):
        """Change something in place before the body begins."""
        n = owner.session["d"]["n"]
        self.pause()
        owner.session["d"]["n"] = n + 1
        return iter([b"x", b"y"])

    parts._cp_config = {"response.stream": True}

    @expose
    def in_place_twice(self):
        owner.session["d"]["n"] += 1
        owner.session.load()
        return "x"

    @expose
    def done_soon(self):
        """Be done with the session long before the end."""
        n = owner.session["d"]["n"]
        self.pause()
        owner.session["d"]["n"] = n + 1
        owner.session.release_lock()
        return str(n + 1)

    @expose
    def moved(self):
        d = owner.session["d"]
        d["n"] += 1
        raise InternalRedirect("/look?key=d")

    @expose
    def broken(self):
        owner.session["d"]["n"] += 1
        raise RuntimeError

    @expose
    def plainly_broken(self):
        raise RuntimeError

    @expose
    def refused(self):
        owner.session["d"]["n"] += 1
        raise HTTPError(409)

    def __getattr__(self, name):
        """A page that is another function each time."""
        if name != "made":
            raise AttributeError(name)

        def made():
            n = owner.session["n"]
            self.pause(2)
            owner.session["n"] = n + 1
            return str(n + 1)

        made.exposed = True
        return made


def begun_anew(site, path, headers, other="/raise_n"):
    """Ask for a page that writes, with another request between; the answer, and what the other one was told."""
    with Slow(site, path, {**headers, **WRITE}) as slow:
        between = site(other, headers=headers)
        assert between.status == 200
        return slow.end()


@pytest.fixture
def site(serve, conf):
    return serve(Shop(), conf)


@pytest.mark.parametrize("kind", KINDS)
def test_who_catches_it_and_tries_again(site):
    headers = back(site("/start"))
    assert begun_anew(site, "/stubborn", headers).status == 200
    assert ask(site, "/look", headers)[0].startswith("2 ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/twice", "/late_lock"])
def test_what_was_read_before_it_was_loaded_once_more(site, path):
    headers = back(site("/start"))
    assert begun_anew(site, path, headers).text == "2"


@pytest.mark.parametrize("kind", ["ram"])
def test_what_was_changed_in_place_before_it_was_loaded_once_more(site):
    headers = back(site("/start"))
    site("/in_place_twice", headers=headers)
    assert site("/look", "key=d", headers=headers).text.startswith("{'n': 1}")


@pytest.mark.parametrize("kind", KINDS)
def test_who_gives_a_lock_back_that_he_never_took(site):
    headers = back(site("/start"))
    assert begun_anew(site, "/done_soon", headers, "/deep").text == "2"


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_is_sent_piece_by_piece(site):
    """What was changed before it begins is not too late to be done once more."""
    headers = back(site("/start"))
    assert begun_anew(site, "/parts", headers, "/deep").text == "xy"
    assert site("/look", "key=d", headers=headers).text.startswith("{'n': 2}")


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_timed_out_is_not_begun_anew(site):
    headers = back(site("/start"))
    assert begun_anew(site, "/too_late", headers).status == 503
    assert site.app.root.runs == 1
    assert ask(site, "/look", headers)[0].startswith("1 ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/renew", "/renew_locked"])
def test_what_was_removed_meanwhile_does_not_come_back_under_another_id(site, path):
    headers = back(site("/start"))
    id = begun_anew(site, path, headers, "/delete").text
    renewed = {"Cookie": f"session_id={id}"}
    assert ask(site, "/look", renewed, "key=user")[0].startswith("'bob' ")
    assert ask(site, "/look", renewed, "key=n")[0].startswith("None ")


@pytest.mark.parametrize("path", ["/no_such_page", "/plainly_broken"])
def test_an_error_page_that_writes(serve, conf, path):
    root = Shop()
    conf["error_page.default"] = lambda **_: root.raise_n()
    site = serve(root, conf)
    headers = back(site("/start"))
    with Slow(site, path, {**headers, **WRITE}) as slow:
        site("/raise_n", headers=headers)
        assert slow.end().text.strip() == "2"
    assert ask(site, "/look", headers)[0].startswith("2 ")


@pytest.mark.parametrize("path", ["/moved", "/broken", "/refused"])
def test_what_was_changed_in_place_by_who_does_not_come_to_the_end(site, path):
    headers = back(site("/start"))
    site(path, headers=headers)
    assert site("/look", "key=d", headers=headers).text.startswith("{'n': 1}")


@pytest.mark.parametrize("kind", KINDS)
def test_pages_that_are_made_for_each_request(site):
    headers = back(site("/start"))
    root = site.app.root
    with Slow(site, "/made", {**headers, **WRITE}) as slow:
        site("/raise_n", headers=headers)
        root.entered.clear()
        root.go.set()
        assert root.entered.wait(10)  # it has begun anew, and waits once more
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(site, "/raise_n", headers=headers)
            assert futures.wait([other], 0.3).not_done
            slow.end()
            assert other.result(20).text == "3"
    assert ask(site, "/look", headers)[0].startswith("3 ")


def test_it_is_no_redirect(site):
    headers = back(site("/start"))
    begun_anew(site, "/raise_n", headers, "/stubborn")
    (first, one), (second, two) = site.app.root.seen
    assert first is second is None
    assert one == two


def test_without_the_middleware_of_redirects(serve, conf):
    app = Application(Shop(), "", {"/": conf})
    app.wsgiapp.pipeline = [("ExceptionTrapper", ExceptionTrapper)]
    site = serve(app)
    headers = back(site("/start"))
    assert begun_anew(site, "/raise_n", headers, "/stubborn").text == "2"


# ----------------------------------------------------------------------------- what is left of it


class Watched(Shop):
    """Notes what happens to its requests."""

    def __init__(self):
        super().__init__()
        self.ended = []
        self.resources = 0

    @expose
    def told(self, a):
        request, response = serving.request, serving.response
        n = owner.session["n"]
        self.runs += 1
        if self.runs == 1:
            response.headers["X-First"] = "1"
            response.cookie["first"] = "1"
            response.status = 201
            request.path_info, request.query_string = "/elsewhere", "x=1"
            self.entered.set()
            assert self.go.wait(20)
        owner.session["n"] = n + 1
        return f"{n + 1} {request.path_info} {request.query_string} {request.prev}"

    def end(self):
        self.ended.append((serving.request, owner.session.locked))

    def resource(self):
        self.resources += 1


@pytest.fixture
def watched(monkeypatch):
    root = Watched()
    box = Toolbox("watching")
    box.end = Tool("on_end_request", root.end, priority=99)
    box.resource = Tool("on_end_resource", root.resource)
    return root, {"watching.end.on": True, "watching.resource.on": True}, {"watching": box}


@pytest.mark.parametrize("native", [False, True])
def test_nothing_of_the_first_one_is_left(conf, watched, native, caplog):
    root, more, toolboxes = watched
    caplog.set_level("INFO")
    limit = {"on": True, "limit": 4, "window": 3600, "name": f"anew {native}"}
    conf.update({f"tools.rate_limit.{name}": value for name, value in limit.items()})
    with served(root, {"/": conf}, native) as get:
        app = owner.tree.apps[""]
        app.toolboxes.update(toolboxes)
        app.merge({"/": more})
        cookie = get("/start").cookies
        session_kit.until(lambda: root.ended)
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(get, "/told?a=%20b", cookie=cookie)
            assert root.entered.wait(10)
            assert get("/raise_n", cookie=cookie).text == "1"
            root.go.set()
            answer = slow.result(20)
        session_kit.until(lambda: len(root.ended) == 4)
        assert (answer.status, answer.text) == (200, "2 /told a=%20b None")
        assert answer["X-First"] is None
        assert "first=" not in answer.cookies
        assert get("/look", cookie=cookie).status == 200  # the fourth
    assert len({request for request, _ in root.ended}) == 5
    assert [locked for _, locked in root.ended] == [False] * 5
    assert root.resources == 5
    lines = [line for line in caplog.text.splitlines() if "GET /told" in line]
    assert len(lines) == 1
