"""The dashboard in a real browser, over a site under load: charts, figures that move, three widths, two themes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from dashboard_kit import BROWSER, Site, loaded, served, until

from cherrypy.monitor.dashboard import drawings, moments, units
from cherrypy.monitor.dashboard.boards import BOARDS
from cherrypy.monitor.dashboard.charts import Row

sys.path.append(BROWSER)

import chromium

PAGES = [f"/{name}" for name in BOARDS]
EXPLORED = "/explore?metric=http.server.request.duration&range=5m"
WIDTHS = ((360, 740), (820, 1100), (1440, 900))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site that has been asked for this and that for some seconds, and goes on being asked."""
    with served() as one, loaded(one):
        until(lambda: len(one.look("/api/routes").json) >= 6)
        until(lambda: one.look("/api/board?board=overview&range=5m").json["charts"])
        yield one


def window(browser: chromium.Browser, width: int, height: int, dark: bool = False) -> None:
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=width < 600,
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.call("Emulation.setEmulatedMedia", features=[scheme])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS, ids=lambda width: str(width[0]))
def test_every_page_fits_and_nothing_complains(
    browser: chromium.Browser, site: Site, width: tuple[int, int], dark: bool
) -> None:
    window(browser, *width, dark)
    browser.complaints.clear()
    for path in [*PAGES, "/route?route=/item/%7Bnumber%7D", EXPLORED, EXPLORED + "&stat=buckets"]:
        browser.open(site.url + path)
        browser.until("Number(document.body.dataset.beats) > 0")
        assert browser.run("document.documentElement.scrollWidth") <= width[0], path
        assert browser.complaints == [], path
        colours = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        assert (sum(browser.run(colours)[:3]) < 200) == dark


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read(browser: chromium.Browser, site: Site, dark: bool) -> None:
    """By poor eyes, and by ears: contrasts, names, headings; with all that can be opened open."""
    window(browser, 1440, 900, dark)
    look = (Path(__file__).parent / "readable.js").read_text("utf-8")
    for path in [*PAGES, "/route?route=/broken", EXPLORED + "&by=http.route", "/explore?q=none"]:
        browser.open(site.url + path)
        browser.until("Number(document.body.dataset.beats) > 0")
        assert browser.run(look) == [], path


def test_charts_are_drawn(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + "/?range=5m")
    browser.until("document.querySelectorAll('figure.chart').length >= 5")
    browser.until(
        "[...document.querySelectorAll('figure.chart .plot')].every((one) => one.dataset.drawn)"
    )
    # Something has been painted in each of them: their canvas has pixels of more than two kinds.
    painted = """[...document.querySelectorAll('figure.chart canvas')].map((canvas) => {
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) seen.add(data.slice(at, at + 4).join());
        return seen.size;
    })"""
    assert min(browser.run(painted)) > 2


def test_figures_and_charts_move(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + "/?range=5m")
    browser.until("!!document.querySelector('.chart [data-drawn]')")
    shown = "document.querySelector('[data-figure=rate]').innerText"
    before = browser.run(shown)
    browser.until(f"{shown} !== {json.dumps(before)}")
    beats = int(browser.run("document.body.dataset.beats"))
    browser.until(f"Number(document.body.dataset.beats) >= {beats + 3}")
    # The charts ask anew, too, and keep what the reader has opened, and where he is.
    browser.run(
        "window.plot = document.querySelector('.chart .u-wrap'); "
        "document.querySelector('.numbers').open = true; "
        "document.querySelector('.ranges a:last-child').focus(); scrollTo(0, 300); null"
    )
    cells = "document.querySelector('.numbers tbody').innerText"
    before = browser.run(cells)
    browser.until(f"{cells} !== {json.dumps(before)}")
    assert browser.run("document.querySelector('.numbers').open")
    assert browser.run("document.activeElement === document.querySelector('.ranges a:last-child')")
    assert browser.run("scrollY") == 300
    assert browser.run("window.plot === document.querySelector('.chart .u-wrap')")


def test_the_pointer_reads_values(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + "/?range=5m")
    browser.until("!!document.querySelector('.chart .u-over')")
    browser.run("scrollTo(0, 0)")
    place = browser.run(
        "(({left, top, width, height}) => [left + width - 12, top + height / 2])"
        "(document.querySelector('.chart .u-over').getBoundingClientRect())"
    )
    for step in (5, 0):
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0] - step, y=place[1])
    browser.until("/\\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('.chart .at').innerText)")


def test_the_page_stands_still_when_told(browser: chromium.Browser, site: Site) -> None:
    browser.open(site.url + "/")
    browser.until("Number(document.body.dataset.beats) > 0")
    browser.click("#pause")
    assert browser.run("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
    beats = browser.run("document.body.dataset.beats")
    asked = site.look("/api/now").json["at"]
    until(lambda: site.look("/api/now").json["at"] > asked + 2.5)
    assert browser.run("document.body.dataset.beats") == beats


def test_a_theme_is_kept(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + "/errors")
    browser.click("#theme")
    assert browser.run("document.documentElement.dataset.theme") == "dark"
    browser.open(site.url + "/server")
    assert browser.run("document.documentElement.dataset.theme") == "dark"
    browser.click("#theme")
    browser.click("#theme")
    assert browser.run("document.documentElement.dataset.theme") is None


def test_a_profile(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + "/profile")
    browser.type("[name=seconds]", "1.5")
    browser.follow("form.action button")
    browser.until("!!document.querySelector('svg.flame')")
    names = browser.run(
        "[...document.querySelectorAll('svg.flame title')].map((one) => one.textContent).join('\\n')"
    )
    assert "Shop.report" in names or "report (" in names  # co_qualname came with Python 3.11
    boxes = browser.run("document.querySelectorAll('svg.flame rect').length")
    assert boxes > 5
    # A box leads to what is above it.
    browser.run(
        "window.leaving = true; [...document.querySelectorAll('svg.flame a')].at(-1)"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true})); null"
    )
    browser.until("!window.leaving && document.readyState === 'complete'")
    assert "focus=" in browser.run("location.search")
    assert browser.run("!!document.querySelector('svg.flame')")


def test_the_stack_of_a_request(browser: chromium.Browser, site: Site, tmp_path: Path) -> None:
    import threading

    asking = threading.Thread(target=site.ask, args=("/slow?seconds=6",), daemon=True)
    asking.start()
    browser.open(site.url + "/live")
    found = (
        "[...document.querySelectorAll('tbody tr')].find((one) => one.innerText.includes('/slow'))"
    )
    browser.until(f"!!({found})")
    browser.run(f"({found}).querySelector('button').click(); null")
    browser.until("document.querySelector('#stack').innerText.includes('in slow')")
    asking.join(20)


def test_actions_say_what_they_did(browser: chromium.Browser, site: Site) -> None:
    browser.complaints.clear()
    browser.open(site.url + "/runtime")
    browser.click("[action='/runtime/collect'] button")
    browser.until("document.querySelector('#said').innerText.includes('were collected')")
    browser.open(site.url + "/logs")
    browser.click("[action='/logs/level'] button")
    browser.until("document.querySelector('#said').innerText.includes('logs DEBUG for')")
    assert browser.complaints == []


def test_what_a_screen_reader_meets(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    for path in PAGES:
        browser.open(site.url + path)
        landmarks = ("header", "nav[aria-label]", "main", "footer")
        for one in landmarks:
            assert browser.run(f"document.querySelectorAll({json.dumps(one)}).length") == 1, path
        assert browser.run("document.querySelectorAll('h1').length") == 1
        unnamed = (
            "[...document.querySelectorAll('input:not([type=hidden]), select')]"
            ".filter((one) => !one.closest('label')).length"
        )
        assert browser.run(unnamed) == 0
        assert browser.run("document.querySelectorAll('nav [aria-current=page]').length") == 1
        assert browser.run("document.querySelector('[role=status]').ariaLive") == "polite"
        # A chart is named by its heading, and has its figures in a table.
        bare = (
            "[...document.querySelectorAll('figure.chart')].filter((one) => "
            "!one.querySelector('.numbers table caption') || "
            "!document.getElementById(one.getAttribute('aria-labelledby'))).length"
        )
        assert browser.run(bare) == 0


def test_the_first_key_leads_past_the_navigation(browser: chromium.Browser, site: Site) -> None:
    browser.open(site.url + "/errors")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab")
    assert browser.run("document.activeElement.getAttribute('href')") == "#main"


def test_metrics_are_found_while_somebody_types(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + "/explore")
    browser.until("Number(document.body.dataset.beats) > 0")
    shown = "[...document.querySelectorAll('.metrics tbody tr')].filter((one) => one.offsetParent)"
    for words in ("session lock", "HISTOGRAM db.system.name"):
        # The same are found as by the server, which finds them for who has no script.
        query = words.replace(" ", "+")
        found = re.findall(r"\d+ of \d+ metrics", site.look(f"/explore?q={query}").text)[0]
        browser.type("#sought", words)
        browser.until(f"document.querySelector('#found').innerText === {json.dumps(found)}")
        assert browser.run(f"{shown}.length") == int(found.split()[0]) > 1
        assert browser.run("location.search") == f"?q={query}"
    heads = "[...document.querySelectorAll('main h2')].filter((one) => one.offsetParent)"
    assert browser.run(f"{heads}.length") < 5
    browser.type("#sought", "no such thing")
    browser.until("document.querySelector('#none').offsetParent && " + f"{shown}.length === 0")


def test_a_metric_is_asked_in_other_ways(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.complaints.clear()
    browser.open(site.url + EXPLORED)
    browser.until("!!document.querySelector('.chart [data-drawn]')")
    browser.click("[name='by.http.route']")
    browser.run("document.querySelector('[name=stat]').value = 'max'; null")
    browser.follow("form.asking button")
    browser.until("document.querySelector('figure h2').innerText.includes('max by http.route')")
    assert "by=http.route" in browser.run("location.search")
    browser.until("!!document.querySelector('.chart [data-drawn]')")
    assert browser.run("document.querySelectorAll('figure .legend li').length") > 3
    assert browser.complaints == []


def test_a_part_of_a_chart_is_looked_at_closer(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + EXPLORED)
    browser.until("!!document.querySelector('.chart .u-over')")
    left, top, width = browser.run(
        "document.querySelector('.chart .u-over').scrollIntoView({block: 'center'}), "
        "(({left, top, width}) => [left, top + 40, width])"
        "(document.querySelector('.chart .u-over').getBoundingClientRect())"
    )
    pressed: dict[str, object] = {"button": "left", "buttons": 1, "y": top}
    browser.call(
        "Input.dispatchMouseEvent", type="mousePressed", x=left + 40, clickCount=1, **pressed
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=left + width / 2, **pressed)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=left + width / 2, **pressed)
    browser.until("/from=\\d+&to=\\d+/.test(location.search) && document.readyState === 'complete'")
    assert "range=" not in browser.run("location.search")
    browser.until("!!document.querySelector('form.asking')")


def test_what_peers_have_written_stays_text(browser: chromium.Browser, site: Site) -> None:
    """Names of loggers are markup here; scripts put them into legends, headings and words."""
    window(browser, 1440, 900)
    path = "/explore?metric=cherrypy.log.records.logger&by=logger&stat=delta&range=5m"
    for more in ("", "&where.logger=" + quote("<img src=x onerror=alert(1)>")):
        browser.complaints.clear()
        browser.open(site.url + path + more)
        browser.until("!!document.querySelector('.chart [data-drawn]')")
        browser.run("document.querySelector('.chart [data-drawn]').focus(); null")
        press(browser, "End")
        browser.until("document.querySelector('#spoken').innerText.includes('<img src=x')")
        browser.until("Number(document.body.dataset.beats) > 1")
        assert browser.run("document.querySelectorAll('main img, main script').length") == 0
        assert browser.complaints == []


def press(browser: chromium.Browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)


def test_a_chart_is_read_by_keys(browser: chromium.Browser, site: Site) -> None:
    window(browser, 1440, 900)
    browser.open(site.url + "/?range=5m")
    browser.until("!!document.querySelector('.chart [data-drawn]')")
    browser.run("document.querySelector('.chart [data-drawn]').focus(); null")
    press(browser, "End")
    browser.until(
        "/^\\d\\d:\\d\\d:\\d\\d.*, requests /.test(document.querySelector('#spoken').innerText)"
    )
    last = browser.text("#spoken").split(",")[0]
    press(browser, "ArrowLeft")
    browser.until(f"!document.querySelector('#spoken').innerText.startsWith({json.dumps(last)})")
    assert browser.run("document.activeElement.ariaLabel").startswith("Throughput: ")


def test_times_are_the_readers(browser: chromium.Browser, site: Site) -> None:
    """Each moment that the server has said is said again by the browser's clock; it stays so."""
    browser.call("Emulation.setTimezoneOverride", timezoneId="Pacific/Kiritimati")  # 14 hours ahead
    try:
        for path in ("/?range=5m", "/errors?range=5m", EXPLORED, "/slow"):
            browser.open(site.url + path)
            browser.until("document.querySelector('#zone').innerText.includes('Kiritimati')")
            browser.until("Number(document.body.dataset.beats) > 1")
            wrong = """[...document.querySelectorAll('time[data-at]')].filter((one) => {
                const at = new Date(Number(one.dataset.at) * 1000);
                return !one.textContent.includes(at.toTimeString().slice(0, 5));
            }).length"""
            assert browser.run(wrong) == 0, path
            assert browser.run("document.querySelectorAll('time[data-at]').length") > 0, path
    finally:
        browser.call("Emulation.setTimezoneOverride", timezoneId="")


def test_without_scripts(browser: chromium.Browser, site: Site) -> None:
    """What the server has drawn is there, with its values."""
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url=site.url + "/?range=5m")
        browser.until("document.querySelectorAll('figure.chart svg.drawing').length >= 5")
        assert browser.run("document.querySelectorAll('.u-wrap').length") == 0
        assert "req/s" in browser.text("[data-figure=rate]")
        hidden = "getComputedStyle(document.querySelector('#pause')).display"
        assert browser.run(hidden) == "none"
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


FIGURES = (
    0,
    0.0000004,
    0.00001234,
    0.0009994,
    0.00123,
    0.0456,
    0.5,
    0.99949,
    0.9996,
    1.2345,
    9.99,
    12.34,
    99.96,
    119,
    121,
    3599,
    3700,
    9999,
    86399,
    100000,
    200000,
    1234567,
    4.2e9,
    7.1e12,
)


def test_figures_are_said_alike_by_server_and_script(browser: chromium.Browser, site: Site) -> None:
    browser.open(site.url + "/")
    for unit in ("s", "By", "By/s", "%", "req/s", "/min", ""):
        script = (
            f"import('/static/format.js').then((it) => {json.dumps(FIGURES)}"
            f".map((one) => it.show(one, {json.dumps(unit)})))"
        )
        assert browser.run(script) == [units.show(one, unit) for one in FIGURES], unit


def test_moments_are_said_alike_by_server_and_script(browser: chromium.Browser, site: Site) -> None:
    browser.open(site.url + "/")
    for at in (0, 951_782_399, 1_709_164_800, 1_900_000_000.75):
        for form in moments.FORMS:
            script = f"import('/static/format.js').then((it) => it.said({at}, {json.dumps(form)}))"
            assert browser.run(script) == moments.said(at, form), (at, form)


def test_the_last_values_are_said_alike_by_server_and_script(
    browser: chromium.Browser, site: Site
) -> None:
    """What has ended has no last value any more; a line with holes has."""
    none: list[float | None] = [None] * 10
    rows = [
        Row("runs", [*none, 1.0, 2.0]),
        Row("has holes", [*none[:-1], 3.0, None, None]),
        Row("has ended", [4.0, 5.0, *none]),
        Row("was never", [*none, None, None]),
        Row("yesterday", [6.0, *none, None], ghost=True),
    ]
    wanted = [2.0, 3.0, None, None, 6.0]
    assert drawings.lasts(rows) == wanted
    browser.open(site.url + "/")
    told = json.dumps([{"values": row.values, "ghost": row.ghost} for row in rows])
    script = f"import('/static/charts.js').then((it) => it.lasts({told}))"
    assert browser.run(script) == wanted
