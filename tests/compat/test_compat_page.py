"""docs/compatibility.md tells every wanted difference, and what it says of versions is what is run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import differences_page
from cherrypy._cpwsgi_server import CPWSGIServer
from differences import DIFFERENCES

import cherrypy

TOP = Path(__file__).resolve().parents[2]


def test_the_page_has_every_difference() -> None:
    page = differences_page.PAGE.read_text("utf-8")
    assert page == differences_page.with_tables(page), (
        "run: python tests/compat/differences_page.py"
    )
    for wanted in DIFFERENCES.values():
        assert differences_page.cell(wanted.reason) in page


def test_the_server_keeps_the_members_that_the_page_names() -> None:
    page = differences_page.PAGE.read_text("utf-8")
    told = page.partition("programs read and set:")[2].partition("\n* ")[0]
    server, _, rest = told.partition("(with ")
    pool, _, more = rest.partition(")")
    names = re.findall(r"`(\w+)`", server + more)
    assert len(names) == 9
    made = CPWSGIServer(cherrypy.server)
    assert [name for name in names if not hasattr(made, name)] == []
    assert [name for name in re.findall(r"`(\w+)`", pool) if not hasattr(made.requests, name)] == []


def test_every_app_with_differences_has_its_area() -> None:
    assert {key.partition("/")[0] for key in DIFFERENCES} == set(differences_page.AREAS)


def test_the_page_names_the_products_that_are_run() -> None:
    sys.path.insert(0, str(TOP))
    try:
        from downstream.products import PRODUCTS
    finally:
        sys.path.remove(str(TOP))
    page = differences_page.PAGE.read_text("utf-8")
    for product in PRODUCTS:
        assert f"| {product.name} | {product.version} |" in page
        for name, reason in product.left_out.items():
            assert reason, name
