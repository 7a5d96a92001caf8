"""The samples in the documentation of dispatch, config, logging and bodies run as printed."""

from __future__ import annotations

import re

import pytest
from framework_asking import ask

import cherrypy
from cherrypy.framework.site import site
from docs_kit import DOCS, samples

PAGES = ["dispatch", "config", "logging", "bodies"]


def get(app, path, method="GET"):
    path, _, query = path.partition("?")
    body = b"" if method == "PUT" else None
    answer = ask(app, path, query, body, method=method)
    assert answer.code == 200, answer.text
    return answer.text


def post(app, path, body, content_type):
    answer = ask(app, path, "", body, content_type)
    assert answer.code == 200, answer.text
    return answer.text


@pytest.mark.skipif(not hasattr(cherrypy, "expose"), reason="the front door is not there")
@pytest.mark.parametrize("page", PAGES)
def test_samples_run(page):
    blocks = samples(page)
    before = dict(site.config)
    screen = site.log.screen
    site.log.screen = False
    try:
        for number, block in enumerate(blocks):
            code = compile(block, f"{page}.md, block {number + 1}", "exec")
            exec(code, {"__name__": "sample", "get": get, "post": post})
    finally:
        site.log.screen = screen
        dict.clear(site.config)
        dict.update(site.config, before)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (DOCS / target).exists(), target
