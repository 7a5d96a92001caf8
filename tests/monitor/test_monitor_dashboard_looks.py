"""How the dashboard looks where there is little room, without scripts, and when there is much to say."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Iterator

import pytest
from dashboard_kit import BROWSER, Site, loaded, served, until

from cherrypy.monitor.dashboard import drawings, live, markup

sys.path.append(BROWSER)

import chromium

PHONE, DESK = 390, 1440


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site that goes on being asked."""
    with served({"engine.monitor.slow_threshold": 0.1}) as one, loaded(one):
        until(lambda: len(one.look("/api/routes").json) >= 6)
        until(lambda: one.look("/api/board?board=overview&range=5m").json["charts"])
        until(lambda: any(entry["route"] == "/report" for entry in one.look("/api/slow").json))
        yield one


def show(browser: chromium.Browser, url: str, width: int, script: bool = True) -> None:
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=width < 600,
    )
    browser.call("Emulation.setScriptExecutionDisabled", value=not script)
    if script:
        browser.open(url)
        browser.until("Number(document.body.dataset.beats) > 0")
        return
    browser.call("Page.navigate", url="about:blank")
    browser.until("location.href === 'about:blank'")
    browser.call("Page.navigate", url=url)
    browser.until("document.readyState === 'complete' && !!document.querySelector('footer')")


@pytest.fixture
def scripts(browser: chromium.Browser) -> Iterator[None]:
    """They run again afterwards."""
    yield
    browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_what_an_action_says_is_shown_whole(
    browser: chromium.Browser, site: Site, width: int
) -> None:
    """However many processes it names; and that it is waited for is said at once."""
    show(browser, site.url + "/runtime", width)
    long = "1 of 2 processes: 0 objects were collected. " + "The process 7 has not answered. " * 6
    browser.run(
        "window.asked = new Promise((answer) => { window.answer = answer; }); "
        "window.fetch = () => window.asked; null"
    )
    browser.click('form[action$="/runtime/collect"] button')
    said = "document.getElementById('said')"
    assert browser.run(f"{said}.textContent") == "Waiting for an answer …"
    told = f"{{json: async () => ({{said: {json.dumps(long)}}})}}"
    browser.run(f"window.answer({told}); null")
    browser.until(f"{said}.textContent.startsWith('1 of 2')")
    assert browser.run(f"{said}.scrollWidth <= {said}.clientWidth")
    assert browser.run(f"{said}.scrollHeight <= {said}.clientHeight")
    assert browser.run(f"{said}.clientWidth") > width / 2
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [PHONE, 820, DESK])
def test_figures_of_drawings_are_not_cut_off(
    browser: chromium.Browser, site: Site, scripts: None, width: int
) -> None:
    show(browser, site.url + "/?range=5m", width, script=False)
    outside = """[...document.querySelectorAll('svg.drawing')].flatMap((svg) => {
        const box = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('text')].filter((one) => {
            const {left, right, top, bottom} = one.getBoundingClientRect();
            return left < box.left - 1 || right > box.right + 1 || top < box.top - 1 || bottom > box.bottom + 1;
        }).map((one) => one.textContent);
    })"""
    assert browser.run("document.querySelectorAll('svg.drawing text').length") > 20
    assert browser.run(outside) == []
    # Nothing is left empty below what was drawn, and the page's own name is seen among all.
    gap = """Math.max(...[...document.querySelectorAll('.chart:not(.wide) .plot')].map(
        (one) => one.clientHeight - one.querySelector('svg').getBoundingClientRect().height))"""
    assert browser.run(gap) < 8
    assert browser.run("document.documentElement.scrollWidth") <= width
    show(browser, site.url + "/profile", width, script=False)
    place = "document.querySelector('nav [aria-current]').getBoundingClientRect().right"
    assert browser.run(place) <= width


def test_a_waterfall_can_be_read_on_a_telephone(browser: chromium.Browser, site: Site) -> None:
    page = site.look("/slow?route=/report").text
    path = "/slow/one?id=" + page.partition("/slow/one?id=")[2].partition('"')[0]
    show(browser, site.url + path, PHONE)
    heights = """[...document.querySelectorAll('.waterfall text')].map(
        (one) => one.getBoundingClientRect().height)"""
    assert min(browser.run(heights)) >= 11
    # Bars begin where labels end, and within the screen.
    bar = "document.querySelector('.waterfall rect').getBoundingClientRect().left"
    label = """Math.max(...[...document.querySelectorAll('.waterfall text[x="0"]')].map(
        (one) => one.getBoundingClientRect().right))"""
    assert browser.run(label) <= browser.run(bar) < 0.6 * PHONE
    inside = """(() => {
        const box = document.querySelector('.waterfall').getBoundingClientRect();
        return [...document.querySelectorAll('.waterfall text')].every((one) => {
            const {top, right} = one.getBoundingClientRect();
            return top >= box.top - 1 && right <= box.right + 1;
        });
    })()"""
    assert browser.run(inside)


def test_the_end_of_a_heat_map_is_seen_first(browser: chromium.Browser, site: Site) -> None:
    show(browser, site.url + "/route?route=/&range=5m", PHONE)
    box = "document.querySelector('.heat-map').parentElement"
    assert browser.run(f"{box}.scrollWidth > {box}.clientWidth")
    assert browser.run(f"{box}.scrollLeft + {box}.clientWidth >= {box}.scrollWidth - 2")


def test_what_is_in_a_row_is_aligned(browser: chromium.Browser, site: Site) -> None:
    show(browser, site.url + "/?range=5m", DESK)
    browser.run(
        "document.querySelector('.legend').style.paddingBottom = '40px'; null"
    )  # its row grows
    middles = """[...document.querySelectorAll('.chart')].map((one) => ['summary', '.explore'].map((name) => {
        const {top, bottom} = one.querySelector(name).getBoundingClientRect();
        return (top + bottom) / 2;
    }))"""
    pairs = browser.run(middles)
    assert len(pairs) >= 5
    assert all(abs(numbers - explore) < 5 for numbers, explore in pairs)


def test_routes_break_between_their_parts(browser: chromium.Browser, site: Site) -> None:
    show(browser, site.url + "/transactions?range=5m", PHONE)
    broken = """[...document.querySelectorAll('tbody th a')].flatMap((link) => [...link.childNodes].filter((part) => {
        const range = document.createRange();
        range.selectNode(part);
        const rows = new Set([...range.getClientRects()].map((one) => Math.round(one.top)));
        return part.nodeType === 3 && rows.size > 1;
    }).map((part) => part.textContent))"""
    assert browser.run("document.querySelectorAll('tbody th a').length") >= 6
    assert browser.run(broken) == []
    shade = "getComputedStyle(document.querySelector('main .scroll')).backgroundAttachment"
    assert "local" in browser.run(shade)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", "/"),
        ("", ""),
        ("/items", "/items"),
        ("/a/{b}/c", "/a/<wbr>{b}/<wbr>c"),
        ("(unmatched)", "(unmatched)"),
        ("/<b>/x/", "/&lt;b&gt;/<wbr>x/<wbr>"),
    ],
)
def test_a_path_in_parts(path: str, said: str) -> None:
    assert markup.path(path) == said


def test_axes_end_at_figures_that_people_like() -> None:
    assert drawings.nice(0) == 0
    for value, top in ((39.6, 40), (1.66, 2), (0.82, 1), (1, 1), (10.2, 20), (610, 800), (81, 100)):
        assert drawings.nice(value) == pytest.approx(top)
    for value in (1e-12, 0.3, 7.7, 99.99999999999999, 1e15):
        assert value <= drawings.nice(value) <= 2 * value


def test_layers_are_called_alike_everywhere(site: Site) -> None:
    charts = {
        one["name"]: one for one in site.look("/api/board?board=overview&range=5m").json["charts"]
    }
    labels = {row["label"] for row in charts["layers"]["rows"]}
    assert "framework" in labels and "wsgi" not in labels
    assert "framework" in site.look("/transactions?range=5m").text
    page = site.look("/slow").text
    assert "framework " in page and "wsgi " not in page


def test_one_request_is_one(site: Site) -> None:
    from cherrypy.monitor.dashboard.sections import _many

    assert [_many(count) for count in (0, 1, 2)] == ["0 requests", "1 request", "2 requests"]


def test_a_series_is_asked_for_by_a_range_as_pages_are(site: Site) -> None:
    found = site.look("/api/series?metric=cherrypy.requests&range=5m").json
    assert found["times"][-1] - found["times"][0] <= 300
    answer = site.look("/api/series?metric=cherrypy.requests&range=9y")
    assert answer.status == 400 and "range must be one of 5m" in answer.json["error"]


def test_one_page_more_than_may_listen_has_figures_still(
    browser: chromium.Browser, site: Site
) -> None:
    browser.open("about:blank")
    asked = b"GET /live HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
    with contextlib.ExitStack() as stack:
        heard = 0

        def another() -> bytes:
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", site.dashboard), 10))
            peer.sendall(asked)
            return peer.recv(4096)

        def full() -> bool:  # the page before may have left its place meanwhile
            nonlocal heard
            first = another()
            heard += first.startswith(b"HTTP/1.1 200")
            assert heard or b"close some, or ask for /api/now" in first
            return heard == live.MOST

        until(full)
        assert another().startswith(b"HTTP/1.1 503")
        browser.open(site.url + "/?range=5m")
        browser.until("document.getElementById('said').textContent.startsWith('Too many pages')")
        browser.until("Number(document.body.dataset.beats) >= 2")
    browser.until("document.getElementById('said').textContent === ''")
