"""The showcase in a real browser: what only JavaScript, cookies and a layout engine can show."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from chromium import Browser
from showcase_site import Site
from test_showcase_pages import PAGES

from cherrypy.websocket.client import Refused, connect


def test_form(browser: Browser, served: Site) -> None:
    browser.open(served.url + "/form")
    browser.type("[name=name]", "Zoë & Co")
    browser.type("[name=count]", "7")
    browser.follow("form button")
    assert browser.text(".result") == "Thank you, Zoë & Co. 7 cherries, coming up."


def test_upload_with_progress(browser: Browser, served: Site, tmp_path: Path) -> None:
    size = 96 << 20
    file = tmp_path / "big & beautiful.bin"
    with file.open("wb") as writing:
        writing.truncate(size)
    browser.open(served.url + "/upload/")
    browser.choose_file("#file", file)
    browser.until("document.querySelector('#chosen').innerText.includes('beautiful.bin, 100.7 MB')")
    browser.run(
        "window.seen = []; new MutationObserver(() => seen.push(document.querySelector('#progress').value))"
        ".observe(document.querySelector('#figures'), {childList: true}); null"
    )
    browser.click("#send")
    browser.until("!!document.querySelector('#result dl')")
    steps = browser.run("seen")
    assert any(0 < step < 1 for step in steps), steps
    assert steps == sorted(steps)
    shown = browser.text("#result")
    assert hashlib.sha256(bytes(size)).hexdigest() in shown
    assert f"{size:,}" in shown


def test_stream_is_seen_growing(browser: Browser, served: Site) -> None:
    browser.open(served.url + "/stream/")
    seen = set()
    while (lines := browser.run("document.querySelectorAll('#lines li').length")) < 24:
        seen.add(lines)
    assert len(seen) > 8
    browser.until("document.querySelector('#state').innerText.includes('first to last')")
    assert "24 lines in" in browser.text("#state")


def test_session_counts(browser: Browser, served: Site) -> None:
    browser.open(served.url + "/session/")
    browser.follow("[formaction='/session/reset']")
    for expected in ("1", "2", "3"):
        browser.follow("[formaction='/session/add']")
        assert browser.text("#count") == expected
    assert "session" not in browser.run("document.cookie")


def test_live_figures_move(browser: Browser, served: Site) -> None:
    browser.open(served.url + "/live/")
    browser.until("document.querySelector('#threads').innerText > 0")
    browser.click("#burst")
    browser.until("document.querySelector('#took').innerText.startsWith('500 answers in')")
    browser.until("document.querySelector('#line').getAttribute('points').split(' ').length > 2")


def test_a_chat_of_two(browser: Browser, served: Site) -> None:
    """The browser at one end, a client of ours at the other; and somebody who would like to inject a script."""
    browser.open(served.url + "/chat/")
    browser.until("document.querySelector('#state').innerText === 'Connected'")
    talk = f"ws://{served.host}:{served.port}/chat/talk?name=Ann%20%3Cb%3E"
    with connect(talk) as ann:
        assert ann.receive_json()["you"] > 0
        browser.until("document.querySelector('#count').innerText === '2 people here'")
        browser.type("#text", "Grüße aus dem Browser")
        browser.click("#send")
        while "line" not in (told := ann.receive_json()):
            pass
        assert told["line"]["text"] == "Grüße aus dem Browser"
        browser.until("document.querySelector('.mine .text').innerText === 'Grüße aus dem Browser'")
        ann.send("<img src=x onerror=alert(1)>")
        browser.until("!!document.querySelector('.theirs .text')")
        assert browser.text(".theirs .text") == "<img src=x onerror=alert(1)>"
        assert browser.text(".theirs .name") == "Ann <b>"
        assert browser.run("document.querySelector('#text').value") == ""
    browser.until("document.querySelector('#count').innerText === 'only you here'")


def test_a_chat_is_not_for_pages_of_others(browser: Browser, served: Site) -> None:
    with pytest.raises(Refused) as refused:
        connect(
            f"ws://{served.host}:{served.port}/chat/talk",
            headers=[("Origin", "https://evil.example")],
        )
    assert refused.value.status == 403


def test_a_board_that_others_see(browser: Browser, served: Site) -> None:
    """The browser listens; it pins something, and so does somebody who would like to inject markup."""
    browser.open(served.url + "/board/")
    browser.until("document.querySelector('#state').innerText === 'Listening'")
    browser.until("document.querySelectorAll('.price').length === 4")
    price = (
        "[...document.querySelectorAll('.spark')].map((one) => one.getAttribute('points')).join()"
    )
    before = browser.run(price)
    browser.until(f"{price} !== {json.dumps(before)}")
    browser.run("document.querySelector('#fruit').value = 'plum'; null")
    browser.type("#text", "Leiter gefunden: grün!")
    browser.click("#send")
    browser.until("document.querySelector('.note .text')?.innerText === 'Leiter gefunden: grün!'")
    assert browser.run("document.querySelector('.note').classList.contains('plum')")
    browser.until("document.querySelector('#sent').innerText.startsWith('Only you were told')")
    assert browser.run("document.querySelector('#text').value") == ""
    form = urlencode({"text": "<img src=x onerror=alert(1)>", "fruit": "quince"})
    typed = {"Content-Type": "application/x-www-form-urlencoded"}
    told = served.ask("/board/pin", "POST", form, {**typed, "Origin": served.url})
    assert told.status == 200 and json.loads(told.text)["readers"] == 1
    browser.until("!!document.querySelector('.note.quince .text')")
    assert browser.text(".note.quince .text") == "<img src=x onerror=alert(1)>"
    # Who comes later sees what was pinned before.
    browser.open(served.url + "/board/")
    browser.until("document.querySelectorAll('.note').length >= 2")
    refused = served.ask("/board/pin", "POST", form, {**typed, "Origin": "https://evil.example"})
    assert refused.status == 403
    assert served.ask("/board/pin", "POST", "text=x&fruit=stone", typed).status == 400


def test_files_are_asked_for(browser: Browser, served: Site) -> None:
    browser.open(served.url + "/files")
    browser.until("document.querySelectorAll('#asked tr').length === 5")
    table = browser.text("#asked")
    for words in ("206, bytes 0-39/", "416, bytes */", "304, 0 bytes"):
        assert words in table


@pytest.mark.parametrize("path", PAGES)
def test_fits_a_telephone_and_nothing_complains(
    browser: Browser, served: Site, path: str, tmp_path: Path
) -> None:
    browser.picture(tmp_path / "before.png", 360, 740, dark=True)
    browser.complaints.clear()
    browser.open(served.url + path)
    assert browser.run("document.documentElement.scrollWidth") <= 360
    # The files page asks for a range that does not exist, to show the answer.
    assert [line for line in browser.complaints if "416" not in line] == []
