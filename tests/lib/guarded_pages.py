"""Pages of which nobody can tell what they do, and whatever may lie in a session in memory."""

from __future__ import annotations

import threading

from session_kit import Pages, until

from cherrypy.framework.errors import HTTPRedirect
from cherrypy.framework.helpers import expose
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site as owner
from cherrypy.lib import sessions

WRITE = {"X-Write": "1"}


class Thing:
    """An object of the program."""

    def __init__(self, **more):
        self.n = 0
        self.__dict__.update(more)


class Other(Thing):
    pass


def put_n(session):
    session["n"] = session.get("n", 0) + 1


def away(session, key, by=0):
    session[key].n += by
    raise HTTPRedirect("/nothing")


def fail(session, key):
    session[key].n += 1
    raise ValueError


#: What pages do, by name; more than anybody goes through.
DEEDS = {
    "look": lambda session, key: repr(session.get(key)),
    "n": lambda session, key: str(session[key].n),
    "raise": lambda session, key: setattr(session[key], "n", session[key].n + 1),
    "len": lambda session, key: str(len(session[key])),
    "in": lambda session, key: str(key in session),
    "keys": lambda session, key: ",".join(session.keys()),
    "iter": lambda session, key: ",".join(session),
    "items": lambda session, key: str(len(session.items())),
    "values": lambda session, key: str(len(session.values())),
    "pop": lambda session, key: str(session.pop(key).n),
    "setdefault": lambda session, key: str(session.setdefault(key, 5)),
    "update": lambda session, key: session.update({key: Thing(n=7)}),
    "del": lambda session, key: session.__delitem__(key),
    "clear": lambda session, key: session.clear(),
    "grow": lambda session, key: session[key].append(1),
    "grow_deep": lambda session, key: session[key][0]["x"][1].append(1),
    "away": away,
    "away_raise": lambda session, key: away(session, key, 1),
    "fail": fail,
    "set": lambda session, key, value: session.__setitem__(key, value),
    "count": lambda session, key: put_n(session),
    "read_byte": lambda session, key: repr(session[key].read(1)),
    "next": lambda session, key: str(next(session[key])),
    **{f"more {number}": lambda session, key: None for number in range(30)},
}


class Shop(Pages):
    """Of its pages, nobody can tell what they do."""

    def __init__(self):
        super().__init__()
        self.kept = {}
        self.runs = 0

    @expose
    def start(self):
        owner.session.update(self.kept)
        owner.session["n"] = 0
        return "started"

    @expose
    def unknown(self, deed, key="k"):
        done = DEEDS[deed](owner.session, key)
        return f"{done} {owner.session.locked}"

    @expose
    def change(self):
        """What another request does, which has the lock: it changes what the first one has looked at."""
        owner.session["n"] += 1
        owner.session["plain"].append("theirs")
        owner.session["k"].n += 100
        return "x"

    @expose
    def pause_then(self, first, deed, key="k"):
        """Look at something; wait, the first time; do something."""
        before = DEEDS[first](owner.session, "plain")
        n = owner.session["n"]
        self.runs += 1
        if serving.request.headers.get("X-Write") and self.runs == 1:
            self.entered.set()
            assert self.go.wait(20)
        done = DEEDS[deed](owner.session, key)
        DEEDS["set"](owner.session, "seen", (n, before))
        return f"{done} {owner.session.locked}"

    @expose
    def hold_and_change(self):
        owner.session["held"] = True
        if "k" in owner.session:
            owner.session["k"].n += 1
        self.entered.set()
        assert self.go.wait(20)
        return "held"


def unknown(site, headers, deed, key="k", **how):
    """What a page says, and whether it had the lock at the end. Nobody waits long."""
    answer = site("/unknown", f"deed={deed}&key={key}", headers=headers, **how)
    assert answer.status == 200, answer.text
    return answer.text.rpartition(" ")[::2]


def waits(site, headers, deed, key="k", **how):
    """Tell whether a page waits for who has the lock."""
    found = []
    thread = threading.Thread(target=lambda: found.append(unknown(site, headers, deed, key, **how)))
    thread.start()
    try:
        until(lambda: found or waited_for())
        return not found
    finally:
        site.app.root.go.set()
        thread.join(20)
        assert found


def waited_for():
    """Tell whether somebody waits for the lock of a session."""
    return any(lock.waiters for lock in list(sessions.RamSession.locks.values()))


def big(size=30_000):
    return list(range(size))
