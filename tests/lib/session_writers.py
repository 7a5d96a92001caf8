"""Pages that write to their session, hidden as well as can be: none may pass for one that reads."""

from __future__ import annotations

import functools
import os
import tempfile
import threading

import jinja2
import mako.lookup
from session_pages import Base, current_user, jinja

import cherrypy


def set_name(session, value):
    session["n"] = value


def give_name(**words):
    words["where"]["n"] = 5


def call(function, *args):
    return function(*args)


class Writer:
    def __init__(self, session):
        self.session = session

    def write(self):
        self.session["n"] = 1


class Flash:
    def __call__(self):
        return cherrypy.session.pop("flash", "")


def pop_flash():
    return cherrypy.session.pop("flash", "")


flashing = jinja2.Environment(loader=jinja2.DictLoader({"x": "{{ flash() }}{{ user }}"}))
flashing.globals["flash"] = pop_flash
flashing_object = jinja2.Environment(loader=jinja2.DictLoader({"x": "{{ flash() }}"}))
flashing_object.globals["flash"] = Flash()
knowing = jinja2.Environment(loader=jinja2.DictLoader({"x": "{{ cherrypy.session.clear() }}"}))
knowing.globals["cherrypy"] = cherrypy
changing = jinja2.Environment(loader=jinja2.DictLoader({"x": "{{ things.append(1) or '' }}"}))

writing_folder = tempfile.mkdtemp(prefix="templates-")
with open(os.path.join(writing_folder, "x"), "w") as _file:
    _file.write("<%! import cherrypy %>${cherrypy.session.clear()}")
writing_lookup = mako.lookup.TemplateLookup(directories=[writing_folder])

TABLE = {"write": pop_flash, "read": current_user}
change = pop_flash


class Writers(Base):
    """None of them may pass for a page that reads."""

    key = "n"
    action = staticmethod(pop_flash)
    flash = Flash()

    def __init__(self):
        super().__init__()
        self.planted = pop_flash
        self.writer = Writer(None)

    def _write(self):
        cherrypy.session["n"] = 1

    def by_helper(self):
        self._write()
        return "x"

    def by_argument(self):
        set_name(cherrypy.session, 1)

    def by_words(self):
        give_name(where=cherrypy.session)

    def by_setattr(self):
        setattr(cherrypy.session, "timeout", 1)  # noqa: B010 it is to be hidden

    def by_setattr_of_value(self):
        setattr(cherrypy.session["user"], "name", "x")  # noqa: B010 it is to be hidden

    def by_alias(self):
        s = cherrypy.session
        t = s
        t["n"] = 2

    def by_serving(self):
        cherrypy.serving.session["n"] = 1

    def by_vars(self):
        vars(cherrypy)["session"]["n"] = 1

    def by_callback(self):
        return call(pop_flash)

    def by_map(self):
        return list(map(cherrypy.session.pop, ["a", "b"]))

    def by_map_of_lambda(self):
        return list(map(lambda key: cherrypy.session.pop(key, 1), "ab"))  # noqa: C417 it is to be hidden

    def by_sort_key(self):
        return sorted(["a"], key=lambda key: cherrypy.session.setdefault(key, 1))

    def by_generator(self):
        def numbers():
            yield 1
            cherrypy.session["n"] = 1

        return "".join(str(n) for n in numbers())

    def by_yield(self):
        yield "x"
        cherrypy.session["n"] = 1

    def by_class_attribute(self):
        return self.action()

    def by_object_in_class(self):
        return self.flash()

    def by_instance_attribute(self):
        return self.planted()

    def by_writer(self):
        Writer(cherrypy.session).write()

    def by_table(self, what="write"):
        return TABLE[what]()

    def by_global(self):
        global change
        change = cherrypy.session
        return "x"

    def by_rebound(self):
        return change()

    def by_lambda(self):
        return (lambda s: s.clear())(cherrypy.session)

    def by_getattr(self, name="clear"):
        return getattr(cherrypy.session, name)()

    def by_getattr_of_constant(self):
        getattr(cherrypy.session, "clear")()  # noqa: B009 it is to be hidden

    def by_exec(self):
        exec("cherrypy.session['n'] = 1")

    def by_eval(self):
        return eval("cherrypy.session.clear()")

    def by_value(self):
        things = cherrypy.session["things"]
        things.append(1)

    def by_value_in_helper(self):
        self.extend(cherrypy.session.get("things", []))

    def extend(self, things):
        things += [1]

    def by_value_of_value(self):
        for thing in cherrypy.session.values():
            thing["n"] = 1

    def by_copy_that_is_flat(self):
        dict(cherrypy.session)["things"].append(1)

    def by_slot_of_box(self):
        box = {"things": cherrypy.session["things"]}
        box["things"].append(1)

    def by_partial(self):
        return functools.partial(set_name, cherrypy.session)(1)

    def by_thread(self):
        threading.Thread(target=self._write).start()

    def by_flash_of_template(self):
        return flashing.get_template("x").render(user=cherrypy.session.get("user"))

    def by_object_of_template(self):
        return flashing_object.get_template("x").render(user=cherrypy.session.get("user"))

    def by_framework_in_template(self):
        return knowing.get_template("x").render(user=cherrypy.session.get("user"))

    def by_session_in_template(self):
        return jinja.get_template("hello.html").render(user=cherrypy.session)

    def by_mako(self):
        return writing_lookup.get_template("x").render(user=cherrypy.session.get("user"))

    def by_store(self):
        from cherrypy.lib.sessions import RamSession

        RamSession.cache["x"][0]["n"] = 1

    def by_modules(self):
        import sys

        sys.modules["cherrypy"].session["n"] = 1

    def by_request(self):
        cherrypy.request.app.root._write()

    def by_request_attribute(self):
        cherrypy.request.kept = cherrypy.session
        cherrypy.request.kept["n"] = 1

    def by_attribute_of_self(self):
        self.kept = cherrypy.session
        self.kept["n"] = 1

    def by_delete(self):
        del cherrypy.session["n"]

    def by_regenerate(self):
        cherrypy.session.regenerate()

    def by_tool(self):
        cherrypy.tools.sessions.regenerate()

    def by_expire(self):
        cherrypy.lib.sessions.expire()

    @property
    def changed(self):
        cherrypy.session["n"] = 1
        return 1

    def by_property(self):
        return str(self.changed)

    def by_context(self):
        with Changing():
            return "x"

    def by_operator(self):
        return str(Changing() + 1)

    def by_text(self):
        return f"{Changing()}"

    def by_decorator(self):
        return "x"

    def by_default(self, session=None, what=pop_flash):
        return what()

    def by_method_of_unseen(self):
        return cherrypy.request.visitor.touch()

    def by_redirect(self):
        raise cherrypy.InternalRedirect("/by_helper")

    def by_walrus(self):
        if (s := cherrypy.session) is not None:
            s.update(n=1)

    def by_loop(self):
        for s in [cherrypy.session]:
            s["n"] = 1

    def by_unpacking(self):
        s, _ = cherrypy.session, 1
        s["n"] = 1

    def by_finally(self):
        try:
            return "x"
        finally:
            cherrypy.session["n"] = 1

    def by_methodcaller(self):
        import operator

        return operator.methodcaller("clear")(cherrypy.session)

    def by_setitem(self):
        import operator

        operator.setitem(cherrypy.session, "n", 1)

    def by_reduce(self):
        return functools.reduce(lambda s, key: s.pop(key), ["n"], cherrypy.session)

    def by_print(self):
        print("x", file=Printer())

    def by_sum(self):
        sum([[cherrypy.session["things"]]], [])[0].append(1)  # noqa: RUF017 it is to be hidden

    @functools.lru_cache(None)  # noqa: B019 it is to be hidden
    def cached(self):
        cherrypy.session["n"] = 1

    def by_cached_method(self):
        return self.cached()

    def by_dispatch(self):
        return shown(1)

    def by_iteration(self):
        return list(Numbers())

    def by_membership(self):
        return str(1 in Numbers())

    def by_body(self):
        return Body()

    def by_negation(self):
        return str(-Numbers())

    def by_nonlocal(self):
        kept = None

        def keep():
            nonlocal kept
            kept = cherrypy.session

        keep()
        kept["n"] = 1

    def by_star(self):
        set_name(*[cherrypy.session, 1])

    def by_unseen_context(self):
        with cherrypy.request.visitor as visitor:
            return str(visitor)

    def by_bunch(self):
        return Bunch(function=pop_flash).function()

    def by_bunch_of_session(self):
        Bunch(session=cherrypy.session).session["n"] = 1

    def by_settings(self):
        return cherrypy.request.config.get("change")()

    def by_settings_of_site(self):
        change = cherrypy.config.get("change")
        return change()

    def by_template_that_changes(self):
        return changing.get_template("x").render(things=cherrypy.session["things"])

    def by_function_for_template(self):
        template = jinja.get_template("hello.html")
        return template.render(things=cherrypy.session["things"], user=change_list)

    def by_deep_value(self):
        things, _ = cherrypy.session["things"], 1
        for key, value in {"things": things}.items():
            value.append(key)

    def by_method_descriptor(self):
        list.append(cherrypy.session["things"], 1)

    def by_sort(self):
        cherrypy.session["things"].sort()

    def by_class(self):
        class Local:
            cherrypy.session["n"] = 1

        return str(Local)

    def by_wrapped_method(self):
        return self.partial()

    partial = functools.partialmethod(lambda self, n: cherrypy.session.update(n=n), 1)


def change_list(things):
    things.append(1)


class Bunch:
    def __init__(self, **words):
        self.__dict__.update(words)


class Printer:
    def write(self, text):
        cherrypy.session["n"] = 1


class Numbers:
    def __getitem__(self, at):
        cherrypy.session["n"] = 1
        raise IndexError

    def __neg__(self):
        cherrypy.session["n"] = 1
        return 1


class Body:
    def __iter__(self):
        cherrypy.session["n"] = 1
        yield b""


@functools.singledispatch
def shown(value):
    return str(value)


@shown.register
def _(value: int):
    cherrypy.session["n"] = value


def _counting(page):
    @functools.wraps(page)
    def counted(self):
        cherrypy.session["hits"] = cherrypy.session.get("hits", 0) + 1
        return page(self)

    return counted


Writers.by_decorator = _counting(Writers.by_decorator)


class Changing:
    def __enter__(self):
        cherrypy.session["n"] = 1

    def __exit__(self, *_):
        pass

    def __add__(self, other):
        cherrypy.session["n"] = 1
        return 1

    def __str__(self):
        cherrypy.session["n"] = 1
        return ""


class Visitor:
    def __enter__(self):
        cherrypy.session["n"] = 1

    def __exit__(self, *_):
        pass

    def touch(self):
        cherrypy.session["n"] = 1


for _name in [name for name in vars(Writers) if name.startswith("by_")]:
    getattr(Writers, _name).exposed = True

WRITERS = [name for name, value in vars(Writers).items() if getattr(value, "exposed", False)]
