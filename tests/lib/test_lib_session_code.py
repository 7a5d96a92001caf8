"""What the code of a page shows of what it does with its session, and what it does not."""

from __future__ import annotations

import time

import pytest

import cherrypy
from cherrypy.lib.reading import code


def reads_1(self):
    return cherrypy.session["n"]


def reads_2(self, key="n"):
    found = cherrypy.session.get(key, "nothing")
    return f"{found!r}, {len(cherrypy.session.items())} of {time.time():.0f}"


def reads_3(self):
    session = cherrypy.session
    if "user" not in session:
        raise cherrypy.HTTPRedirect("/login")
    total = sum([len(one) for one in session.values()])
    return ", ".join(sorted(str(key) for key in session)) + str(total)


def reads_4(self, **words):
    n = 0
    for _key, _value in words.items():
        n = n + 1
    return {"n": n, "user": cherrypy.session.get("user")}


def writes_1(self):
    cherrypy.session["n"] = 1


def writes_2(self):
    del cherrypy.session["n"]


def writes_3(self):
    return cherrypy.session.pop("n", None)


def writes_4(self):
    cherrypy.session["list"].append(1)


def writes_5(self):
    cherrypy.session["user"].name = "x"


def writes_6(self):
    found = cherrypy.session["list"]
    found += [1]


def writes_7(self):
    return self.get()


def writes_8(self):
    return help_to_write()


def writes_9(self):
    return [cherrypy.session.update({"n": one}) for one in (1, 2)]


def writes_10(self):
    return [lambda: cherrypy.session.clear() or 1]


def writes_11(self):
    from cherrypy import session

    return session.get("n")


def writes_12(self):
    return setattr(cherrypy.session["user"], "n", 1)


def writes_13(self):
    cherrypy.tools.sessions.regenerate()


def writes_14(self):
    other = self
    return other.get()


def writes_15(self):
    global counted
    counted = cherrypy.session.get("n")


def writes_16(self):
    cherrypy.session["list"][1:] = []


counted = None


def help_to_write():
    cherrypy.session["n"] = 1


PAGES = [value for name, value in globals().items() if name.startswith(("reads_", "writes_"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
def test_what_the_code_of_a_page_shows(page):
    assert code.only_reads(page, True) is page.__name__.startswith("reads")


def test_what_a_page_reaches_from_outside_is_not_known():
    inner = help_to_write

    def wrapped(self):
        return inner()

    assert not code.only_reads(wrapped, True)
    assert not code.only_reads(eval("lambda self: cherrypy.session['n']", {}), True)
    long = eval(f"lambda self: [{'cherrypy.session, ' * 2000}]", {"cherrypy": cherrypy})
    assert not code.only_reads(long, True)
