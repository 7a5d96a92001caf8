"""Logins of the dashboard: tokens, cookies, rights, callables that decide, and TLS."""

from __future__ import annotations

import http.client
import shutil
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboard_kit import TOKEN, VIEWER, Open, opened

from cherrypy.monitor.dashboard.front import DOORS
from cherrypy.monitor.dashboard.guard import Guard
from kirsch.server.selfsigned import self_signed_certificate

PAGES = [
    path for path, door in DOORS.items() if door.method == "GET" and not path.startswith("/api")
]


@pytest.fixture(scope="module")
def locked() -> Iterator[Open]:
    with opened(dashboard__auth=[f"token:{TOKEN}", f"view:{VIEWER}"]) as one:
        yield one


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [one for one in PAGES if not one.startswith("/-/")])
def test_nothing_is_shown_without_a_token(locked: Open, path: str) -> None:
    answer = locked.ask(path)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    page = locked.ask(path, headers={"Accept": "text/html"})
    assert page.status == 401 and 'type="password"' in page.text
    assert "kirsch-token" not in page.text


@pytest.mark.parametrize("path", [one for one in DOORS if one.startswith("/api")])
def test_the_api_is_not_shown_either(locked: Open, path: str) -> None:
    assert locked.ask(path).status == 401
    assert locked.ask(path, headers={"Authorization": "Bearer wrong"}).status in (401, 429)


def cookie_of(locked: Open, token: str) -> tuple[int, str]:
    answer = locked.ask("/login", "POST", f"password={token}")
    return answer.status, answer.headers.get("Set-Cookie", "")


def test_a_login() -> None:
    with opened(dashboard__auth=[f"token:{TOKEN}", f"view:{VIEWER}"]) as one:
        status, cookie = cookie_of(one, TOKEN)
        assert status == 303
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
        pair = cookie.partition(";")[0]
        page = one.ask("/runtime", headers={"Cookie": pair})
        assert page.status == 200 and "Collect garbage" in page.text
        name, _, value = pair.partition("=")
        right, until_, sign = value.split(".")
        assert right == "act"
        for forged in (
            f"view.{until_}.{sign}",
            f"act.{int(until_) + 1}.{sign}",
            f"act.1.{sign}",
            f"act.{until_}.{'0' * 64}",
            "act..",
            "é.é.é",
        ):
            sent = f"{name}={forged}".encode().decode("latin-1")
            assert one.ask("/api/now", headers={"Cookie": sent}).status == 401, forged
        out = one.ask("/logout", "POST", headers={"Cookie": pair})
        assert "Max-Age=0" in out.headers["Set-Cookie"]


def test_a_login_ends_and_gives_no_more_than_its_token() -> None:
    """Whoever knows a token can sign with it: what he writes is believed within his own right alone."""
    with opened(dashboard__auth=[f"token:{TOKEN}", f"view:{VIEWER}"]) as one:
        name = cookie_of(one, TOKEN)[1].partition("=")[0]

        def status(token: str, right: str, until_: float) -> int:
            sign = Guard._sign(token, right, str(int(until_)))
            sent = {"Cookie": f"{name}={right}.{int(until_)}.{sign}"}
            return one.ask("/api/now", headers=sent).status

        soon, past = time.time() + 60, time.time() - 2
        assert status(TOKEN, "act", soon) == status(VIEWER, "view", soon) == 200
        assert status(TOKEN, "act", past) == status(VIEWER, "view", past) == 401
        assert status(VIEWER, "act", soon) == 401


def test_a_login_from_elsewhere_is_refused(locked: Open) -> None:
    answer = locked.ask(
        "/login", "POST", f"password={TOKEN}", headers={"Origin": "http://evil.example"}
    )
    assert answer.status == 403 and "Set-Cookie" not in answer.headers


def test_who_may_look_may_not_act() -> None:
    with opened(dashboard__auth=[f"token:{TOKEN}", f"view:{VIEWER}"]) as one:
        viewer = {"Authorization": f"Bearer {VIEWER}"}
        page = one.ask("/runtime", headers=viewer)
        assert page.status == 200
        assert "kirsch-token" not in page.text and "Collect garbage" not in page.text
        assert one.ask("/runtime/collect", "POST", "", headers=viewer).status == 403
        actor = {"Authorization": f"Bearer {TOKEN}"}
        assert one.ask("/runtime/collect", "POST", "", headers=actor).status == 200


def test_guessing_has_a_rate() -> None:
    with opened(dashboard__auth=f"token:{TOKEN}") as one:
        found = [cookie_of(one, f"guess-{number}")[0] for number in range(8)]
        assert found[0] == 401 and found[-1] == 429
        # By the other door neither, and not even with what is right.
        right = {"Authorization": f"Bearer {TOKEN}"}
        answer = one.ask("/api/now", headers=right)
        assert answer.status == 429
        wait = answer.headers["Retry-After"]
        assert answer.json["error"].endswith(f"try again in {wait} s.")


def test_a_callable_decides() -> None:
    def decide(asked: Any) -> str | None:
        return {"boss": "act", "guest": "view", "odd": "everything"}.get(asked.field("X-User"))

    with opened(dashboard__auth=decide) as one:
        assert one.ask("/api/now").status == 403
        assert one.ask("/api/now", headers={"X-User": "odd"}).status == 403
        assert one.ask("/api/now", headers={"X-User": "guest"}).status == 200
        guest = one.ask("/runtime", headers={"X-User": "guest"})
        assert "kirsch-token" not in guest.text
        assert "kirsch-token" in one.ask("/runtime", headers={"X-User": "boss"}).text


def test_a_callable_that_fails_lets_nobody_in() -> None:
    def decide(asked: Any) -> str:
        raise RuntimeError("no directory")

    with opened(dashboard__auth=decide) as one:
        assert one.ask("/api/now").status == 500


def test_ports_of_sites_differ() -> None:
    """The cookies of two dashboards of one machine do not meet."""
    with (
        opened(dashboard__auth=f"token:{TOKEN}") as one,
        opened(dashboard__auth=f"token:{TOKEN}") as two,
    ):
        names = {cookie_of(each, TOKEN)[1].partition("=")[0] for each in (one, two)}
        assert len(names) == 2


def test_https(tmp_path: Path) -> None:
    """With a certificate there is nothing in the clear, and the cookie stays within TLS."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    path = self_signed_certificate(str(tmp_path))
    with opened(dashboard__auth=f"token:{TOKEN}", dashboard__certificate=path) as one:
        assert one.monitor.dashboard.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=path)
        connection = http.client.HTTPSConnection("localhost", one.port, timeout=10, context=context)
        connection.request("POST", "/login", f"password={TOKEN}")
        answer = connection.getresponse()
        assert answer.status == 303 and answer.read() == b""
        assert answer.headers["Set-Cookie"].endswith("; Secure")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        origin = f"https://localhost:{one.port}"
        connection.request("GET", "/runtime", headers={"Cookie": cookie})
        page = connection.getresponse().read().decode()
        token = page.partition('kirsch-token" content="')[2].partition('"')[0]
        for sent, status in ((origin, 200), (origin.replace("https", "http"), 403)):
            fields = {"Cookie": cookie, "X-Kirsch-Token": token, "Origin": sent}
            connection.request("POST", "/runtime/collect", "", fields)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
        connection.close()
        assert one.ask("/api/now").status == 400  # plain HTTP
