"""Pages as programs have them, that read their session by way of helpers."""

from __future__ import annotations

import collections
import contextlib
import datetime
import functools
import html
import json
import logging
import os
import sqlite3
import string
import tempfile
import threading
import urllib.parse
from dataclasses import dataclass

import jinja2
import mako.lookup

import cherrypy
from cherrypy import expose

log = logging.getLogger("session_pages")
lock = threading.Lock()
hits = collections.Counter()

folder = tempfile.mkdtemp(prefix="templates-")
with open(os.path.join(folder, "base.html"), "w") as _file:
    _file.write("<p>{% block content %}{% endblock %}</p>")
with open(os.path.join(folder, "hello.html"), "w") as _file:
    _file.write(
        "{% extends 'base.html' %}{% block content %}{{ user.name or user }}{% for n in things %}{{ n }}{% endfor %}{% endblock %}"
    )
jinja = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)

mako_folder = tempfile.mkdtemp(prefix="templates-")
with open(os.path.join(mako_folder, "hello.html"), "w") as _file:
    _file.write(
        "<%inherit file='base.html'/>\n<%! import json %>${user} ${json.dumps(things)}\n% for n in things:\n${n}\n% endfor\n"
    )
with open(os.path.join(mako_folder, "base.html"), "w") as _file:
    _file.write("<html>${self.body()}</html>")
lookup = mako.lookup.TemplateLookup(directories=[mako_folder])


class Database:
    """Stands for a model layer."""

    def __init__(self):
        self.users = {"zoe": "Zoe"}

    def name_of(self, login):
        with lock:
            return self.users.get(login, "nobody")

    @contextlib.contextmanager
    def transaction(self):
        yield self


database = Database()


@dataclass
class Card:
    title: str
    text: str = ""

    def render(self):
        return f"{self.title}: {self.text}"


def current_user():
    return cherrypy.session.get("user")


def require_login(page):
    @functools.wraps(page)
    def checked(*args, **kwargs):
        if not current_user():
            raise cherrypy.HTTPRedirect(
                "/login?" + urllib.parse.urlencode({"from": cherrypy.request.path_info})
            )
        return page(*args, **kwargs)

    return checked


def require_role(role):
    def decorate(page):
        @functools.wraps(page)
        def checked(self, *args, **kwargs):
            roles = cherrypy.session.get("roles", [])
            if role not in roles:
                raise cherrypy.HTTPError(403, "You need to be " + role)
            return page(self, *args, **kwargs)

        return checked

    return decorate


class Base:
    title = "Shop"

    def __init__(self):
        self.database = database
        self.settings = {"colour": "red"}
        self.counts = {}

    @property
    def user(self):
        return cherrypy.session.get("user")

    @staticmethod
    def quoted(text):
        return html.escape(str(text))

    @classmethod
    def heading(cls):
        return f"<h1>{cls.title}</h1>"

    def session_values(self):
        return {key: cherrypy.session[key] for key in cherrypy.session}

    def layout(self, body, **more):
        parts = [self.heading(), body]
        parts.append(", ".join(f"{key}={value}" for key, value in sorted(more.items())))
        return "\n".join(parts)

    def render(self, template, **words):
        words.setdefault("things", cherrypy.session.get("things", []))
        return jinja.get_template(template).render(title=self.title, **words)

    def render_mako(self, template, **words):
        return lookup.get_template(template).render(**words)


class Readers(Base):
    """All of them answer while another request has the session."""

    @expose
    def helper_method(self):
        return self.layout(self.quoted(self.user))

    @expose
    def json_of_all(self):
        cherrypy.response.headers["Content-Type"] = "application/json"
        return json.dumps(dict(cherrypy.session.items())).encode()

    @expose
    @cherrypy.tools.json_out()
    def json_by_tool(self):
        return {"user": current_user(), "things": list(cherrypy.session.get("things", []))}

    @expose
    def with_jinja(self):
        return self.render("hello.html", user=cherrypy.session.get("user"))

    @expose
    def with_mako(self):
        return self.render_mako("hello.html", user=self.user, things=cherrypy.session["things"])

    @expose
    @require_login
    def for_users(self):
        return "for " + current_user()

    @expose
    @require_role("admin")
    def for_admins(self):
        log.info("%s looks", cherrypy.session["user"])
        return f"for {self.user}"

    @expose
    def by_database(self):
        name = self.database.name_of(cherrypy.session["user"])
        with self.database.transaction() as there:
            return self.layout(name, other=there.name_of("x"))

    @expose
    def comprehension(self):
        things = [str(thing) for thing in cherrypy.session.get("things", []) if thing]
        total = sum(len(thing) for thing in things)
        return self.layout(" ".join(things), total=total, colour=self.settings["colour"])

    @expose
    def nested(self):
        session = cherrypy.session

        def show(key, default=None):
            return repr(session.get(key, default))

        return ", ".join(map(show, ["user", "n"])) + (lambda key: str(session[key]))("n")

    @expose
    def from_import(self):
        from cherrypy import session

        return json.dumps(session["things"])

    @expose
    def by_serving(self):
        return str(cherrypy.serving.session.get("n"))

    @expose
    def by_getattr(self):
        session = getattr(cherrypy, "session", None)
        return str(session.get("n")) if hasattr(cherrypy, "session") else "none"

    @expose
    def cards(self):
        cards = [Card(thing) for thing in cherrypy.session["things"]]
        cards.append(Card("user", text=self.user))
        return "".join(card.render() for card in cards)

    @expose
    def streamed(self):
        yield "<ul>"
        for thing in cherrypy.session["things"]:
            yield f"<li>{self.quoted(thing)}</li>"
        yield "</ul>"

    @expose
    def own_list(self):
        things = list(cherrypy.session["things"])
        things.append("more")
        things.sort(key=lambda thing: str(thing).lower())
        found = dict(cherrypy.session)
        found["more"] = 1
        found.update(n=2)
        return str(things) + str(len(found))

    @expose
    def counted(self):
        hits["page"] += 1
        self.counts["page"] = self.counts.get("page", 0) + 1
        try:
            return str(cherrypy.session["n"])
        except KeyError as error:
            cherrypy.log(f"no {error}")
            raise cherrypy.NotFound() from error
        finally:
            log.debug("done")

    @expose
    def super_class(self):
        return self.layout("x")

    def layout(self, body, **more):
        return super().layout(body, user=self.user, **more)

    @expose
    def given(self, *args, **params):
        number = int(params.get("n", "0").strip() or 0) + cherrypy.session["n"]
        return f"{number} {cherrypy.request.params.get('x')} {cherrypy.request.headers.get('Host')}"

    @expose
    def usual_words(self):
        since = cherrypy.session.get("since") or datetime.datetime.now(datetime.timezone.utc)
        names = list(map(str.upper, cherrypy.session["things"]))
        shown = string.Template("$user").substitute(user=cherrypy.session.get("user", {}))
        return "%s %s %d" % (since.isoformat(), shown, len(names))  # noqa: UP031 - what is tested is a page with % formatting

    @expose
    def rows(self):
        connection = sqlite3.connect(":memory:")
        try:
            rows = connection.execute("SELECT ?", (cherrypy.session["n"],)).fetchall()
            return "".join(f"<td>{row[0]}</td>" for row in rows)
        finally:
            connection.close()

    @expose
    def basket(self):
        basket = cherrypy.session.get("basket") or []
        total = sum(item["price"] * item["n"] for item in basket)
        return json.dumps({"total": total, "names": sorted({item["name"] for item in basket})})

    @expose
    def whole_session(self):
        return json.dumps(self.session_values())


# --------------------------------------------------------------------------------- tools


def check_login():
    """As many write one: who is not logged in is sent away."""
    if cherrypy.session.get("user") is None:
        raise cherrypy.HTTPRedirect("/login")
    cherrypy.request.login = cherrypy.session["user"]


def check_conditions(*args, **words):
    """As of the recipe that many applications have: conditions in the configuration of a page."""
    conditions = cherrypy.request.config.get("auth.require", None)
    if conditions is not None:
        username = cherrypy.session.get("user")
        if not username:
            raise cherrypy.HTTPRedirect("/login")
        for condition in conditions:
            if not condition():
                raise cherrypy.HTTPError(403)


def member_of(group):
    def check():
        return group in cherrypy.session.get("roles", ())

    return check


def require(*conditions):
    def decorate(page):
        if not hasattr(page, "_cp_config"):
            page._cp_config = {}
        page._cp_config.setdefault("auth.require", []).extend(conditions)
        return page

    return decorate


def framed(page, *args, **words):
    """Around the page."""
    return f"[{page(*args, **words)} for {cherrypy.session.get('user')}]"


def count_visits():
    cherrypy.session["visits"] = cherrypy.session.get("visits", 0) + 1


class Hooked:
    """Pages behind tools."""

    @expose
    @require(member_of("admin"))
    def page(self):
        return f"{cherrypy.session['n']}"

    @expose
    def aside(self):
        return "nothing of a session"


READERS = [name for name, value in vars(Readers).items() if getattr(value, "exposed", False)]
