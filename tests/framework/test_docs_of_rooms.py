"""The samples in the documentation of dispatch, config, logging and bodies run as printed."""

from __future__ import annotations

import importlib
import re

import pytest

import cherrypy
from cherrypy.framework.site import site
from docs_kit import DOCS, samples

PAGES = ["dispatch", "config", "logging", "bodies"]


@pytest.mark.skipif(not hasattr(cherrypy, "expose"), reason="the front door is not there")
@pytest.mark.parametrize("page", PAGES)
def test_samples_run(page):
    blocks = samples(page)
    before = dict(site.config)
    names = {name: getattr(importlib.import_module("samples"), name) for name in ("get", "post")}
    screen = site.log.screen
    site.log.screen = False
    try:
        for number, block in enumerate(blocks):
            code = compile(block, f"{page}.md, block {number + 1}", "exec")
            exec(code, {"__name__": "sample", **names})
    finally:
        site.log.screen = screen
        dict.clear(site.config)
        dict.update(site.config, before)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (DOCS / target).exists(), target
