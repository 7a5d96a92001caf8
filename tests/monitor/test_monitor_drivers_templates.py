"""jinja2, mako and genshi with their instruments on."""

from __future__ import annotations

import asyncio
import time

import pytest
from drivers_kit import serving, watching

jinja2 = pytest.importorskip("jinja2")
mako_template = pytest.importorskip("mako.template")


def nap(seconds=0.03):
    time.sleep(seconds)
    return "napped"


def summed(request):
    return abs(sum(request.layers.values()) - request.wall) < 1e-6


def test_rendering_of_jinja2_is_timed():
    files = {
        "page.html": "{% include 'part.html' %}{% for x in xs %}{{ x }}{% endfor %}",
        "part.html": "{{ nap() }}",
    }
    environment = jinja2.Environment(loader=jinja2.DictLoader(files), autoescape=True)
    with watching("jinja2"):
        with serving() as request:
            template = environment.get_template("page.html")
            assert template.render(nap=nap, xs="<a") == "napped&lt;a"
            time.sleep(0.02)
        assert request.steps == [("template", "jinja2 page.html")]
        assert request.layers["template"] >= 0.03
        assert request.layers["wsgi"] >= 0.02
        assert summed(request)
        with serving() as request:
            assert jinja2.Template("{{ 1 + 1 }}").render() == "2"
        assert request.steps == [("template", "jinja2")]
        with serving() as request:
            inner = jinja2.Template("inner")
            assert jinja2.Template("{{ inner.render() }}").render(inner=inner) == "inner"
        assert request.steps == [("template", "jinja2")]
        with pytest.raises(jinja2.UndefinedError):
            jinja2.Template("{{ a.b }}").render()
        assert isinstance(template, jinja2.Template)


def test_parts_of_jinja2_are_timed_without_what_is_between():
    with watching("jinja2"), serving() as request:
        template = jinja2.Template("{% for x in xs %}{{ nap() }}{{ x }}{% endfor %}")
        parts = []
        for part in template.generate(nap=nap, xs="ab"):
            parts.append(part)
            time.sleep(0.02)
        assert "".join(parts) == "nappedanappedb"
        stream = template.stream(nap=lambda: "", xs="ab")
        assert "".join(stream) == "ab"
    assert request.layers["template"] >= 0.06
    assert request.layers["wsgi"] >= 0.02 * len(parts)
    assert summed(request)
    assert request.steps.count(("template", "jinja2")) == 2


def test_jinja2_of_a_loop_works():
    environment = jinja2.Environment(enable_async=True)

    async def answer():
        return "later"

    async def main():
        template = environment.from_string("{{ answer() }}")
        assert await template.render_async(answer=answer) == "later"
        assert [part async for part in template.generate_async(answer=answer)] == ["later"]

    with watching("jinja2"):
        asyncio.run(main())
        assert environment.from_string("{{ answer() }}").render(answer=answer) == "later"


def test_rendering_of_mako_is_timed():
    with watching("mako"):
        with serving() as request:
            template = mako_template.Template("${nap()} ${x | h}")
            assert template.render(nap=nap, x="<") == "napped &lt;"
            assert template.render_unicode(nap=lambda: "", x="y") == " y"
        assert request.steps == [("template", "mako")] * 2
        assert request.layers["template"] >= 0.03
        assert summed(request)
        with serving() as request, pytest.raises(ZeroDivisionError):
            mako_template.Template("${1 / 0}", uri="/page.mako").render()
        assert request.steps == [("template", "mako /page.mako")]


def test_rendering_of_genshi_is_timed():
    markup = pytest.importorskip("genshi.template")
    with watching("genshi"), serving() as request:
        template = markup.MarkupTemplate("<p>${nap()}</p>")
        assert template.generate(nap=nap).render("xhtml") == "<p>napped</p>"
    assert request.layers["template"] >= 0.03
    assert request.steps == [("template", "genshi")]
    assert summed(request)
