"""What templates of Jinja and Mako can come to, and whether they leave what they are given as it is.

Law: their files are looked through as text; one that says more than it need is not believed.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import Any

from . import libraries
from .values import NotKnown

__all__ = ("held_by_template", "keeps")

FILES = 1000  # that are looked through
LONGEST = 5_000_000  # bytes of them together

_IMPORT = re.compile(rb"\b(?:from\s+([\w.]+)\s+)?import\b\s*([\w., ]*)")
#: What Python in a template could do anything with.
_REACHES = re.compile(
    rb"cherrypy|\bexec\b|\beval\b|__\w+__|\b[gs]etattr\b|\bdelattr\b|<%\s*namespace[^>]*\bmodule\s*="
)
_CHANGES = re.compile(
    rb"(?:\.\s*|\[\s*['\"])(?:append|appendleft|add|clear|discard|extend|insert|move_to_end|pop|popitem|popleft|remove|"
    rb"reverse|rotate|setdefault|sort|subtract|update|\w+_update|__\w+__)\b|\|\s*attr\b|\|\s*map\s*\("
)
_SETS = re.compile(rb"[\])\w]\s*(?:[-+*/%&|^]|//|\*\*|<<|>>)=|\]\s*=[^=]|\bdel\s|\.\w+\s*=[^=]")
#: Functions of other modules might change what they are given.
_USUAL_IMPORT = re.compile(rb"<%!\s*import\s+(?:json|datetime|math|time|html)\s*%>")


def _root(obj: Any) -> str:
    name = type.__getattribute__(type(obj), "__module__")
    return name.partition(".")[0] if isinstance(name, str) else ""


def held_by_template(obj: Any) -> list[Any] | None:
    """Return what an object of a template engine holds; None for any other. Raises NotKnown."""
    root = _root(obj)
    if root == "jinja2" and isinstance(
        obj, (sys.modules["jinja2"].Environment, sys.modules["jinja2"].Template)
    ):
        own = dict(vars(obj))
        for name in (
            "cache",
            "blocks",
            "root_render_func",
            "_module",
            "_debug_info",
            "_uptodate",
            "name",
            "filename",
        ):
            own.pop(name, None)
        return list(own.values())
    if root == "mako":
        texts = _texts(obj)
        if texts is None:
            raise NotKnown("templates that cannot be looked through")
        for text in texts:
            _see(text)
        own = dict(vars(obj))
        return [own.get("template_args"), own.get("lookup")]
    return None


def _see(text: bytes) -> None:
    if _REACHES.search(text):
        raise NotKnown("templates with code")
    for module, names in _IMPORT.findall(text):
        wanted = [module] if module else names.split(b",")
        for one in wanted:
            name = one.split()[0].decode("ascii", "replace") if one.split() else ""
            if libraries.home(name) != libraries.LIBRARY:
                raise NotKnown("templates with code")


def keeps(obj: Any) -> bool:
    """Tell whether the templates that an object makes, or is, leave what they are given as it is."""
    root = _root(obj)
    if root not in ("jinja2", "mako"):
        return False
    texts = _texts(obj)
    if texts is None:
        return False
    mako = root == "mako"
    if not mako and not _is_usual(vars(obj).get("environment", obj)):
        return False
    if mako and any(_IMPORT.search(_USUAL_IMPORT.sub(b"", text)) for text in texts):
        return False
    return not any(_CHANGES.search(text) or (mako and _SETS.search(text)) for text in texts)


def _is_usual(environment: Any) -> bool:
    """Tell whether templates of Jinja can call nothing but what Jinja brings along."""
    defaults: Any = sys.modules["jinja2.defaults"]
    usual = [
        *defaults.DEFAULT_NAMESPACE.values(),
        *defaults.DEFAULT_FILTERS.values(),
        *defaults.DEFAULT_TESTS.values(),
    ]
    known = set(map(id, usual))
    spaces = (environment.globals, environment.filters, environment.tests)
    held = [value for space in spaces for value in space.values()]
    return not environment.extensions and all(
        id(value) in known or isinstance(value, (str, int, float, type(None))) for value in held
    )


def _texts(obj: Any) -> list[bytes] | None:
    """Return the texts of all the templates that there are; None if they are not to be had."""
    own = dict(vars(obj))
    if _root(obj) == "mako":
        args = own.get("template_args") or {}
        if args.get("preprocessor") or args.get("imports") or args.get("lexer_cls"):
            return None
        texts = _in_files(own.get("directories") or [])
        if own.get("lookup") is not None:
            more = _texts(own["lookup"])
            texts = None if texts is None or more is None else texts + more
        if "_source" in own or "filename" in own:
            source = own.get("_source")
            module = own.get("module")
            raw = source if source is not None else getattr(module, "_source", None)
            if raw is None and own.get("filename"):
                found = _in_files([own["filename"]])
                return None if found is None or texts is None else texts + found
            if raw is None:
                return None
            texts = (
                None
                if texts is None
                else [*texts, raw if isinstance(raw, bytes) else raw.encode("utf-8", "replace")]
            )
        elif texts is not None:
            for template in list(getattr(own.get("_collection"), "values", list)()):
                # Those that were put there as text.
                if getattr(template, "filename", None) is None:
                    return None
        return texts
    return _of_loader(own.get("loader", own.get("environment")))


def _of_loader(loader: Any) -> list[bytes] | None:
    if _root(loader) != "jinja2":
        return None
    kind, own = type(loader).__name__, dict(vars(loader))
    if kind == "Environment":
        return _of_loader(own.get("loader"))
    if kind == "FileSystemLoader":
        return _in_files(own["searchpath"])
    if kind == "PackageLoader" and own.get("_archive") is None:
        return _in_files([own["_template_root"]])
    if kind == "DictLoader":
        return [str(text).encode("utf-8", "replace") for text in own["mapping"].values()]
    if kind in ("ChoiceLoader", "PrefixLoader"):
        found: list[bytes] = []
        below = own.get("loaders") or list((own.get("mapping") or {}).values())
        for one in below:
            texts = _of_loader(one)
            if texts is None:
                return None
            found += texts
        return found
    return None


def _in_files(places: Any) -> list[bytes] | None:
    """Return what the files in directories hold; None when there is too much."""
    texts: list[bytes] = []
    left, folders = LONGEST, 0
    for place in map(os.fspath, places):
        walk = [("", [], [place])] if os.path.isfile(place) else os.walk(place)
        for folder, _, names in walk:
            folders += 1
            for path in (os.path.join(folder, name) for name in names):
                if len(texts) >= FILES or left <= 0 or folders > FILES:
                    return None
                try:
                    if not stat.S_ISREG(os.stat(path).st_mode):
                        return None  # who opens a pipe waits
                    with open(path, "rb") as file:
                        texts.append(file.read(left))
                except OSError:
                    return None
                left -= len(texts[-1])
    return texts
