"""What is promised of requests that proxies pass on, as functions that fail for whatever does not keep it.

Each takes a site of `Pages` that believes proxies on this machine and in 10.0.0.0/8.
"""

from __future__ import annotations

from typing import Any

from cherrypy._cpdispatch import Dispatcher

import cherrypy
from cherrypy.framework.helpers import expose

CLIENT, LIE = "203.0.113.9", "198.51.100.66"
HOST = "www.example.com"


def view() -> str:
    return f"{cherrypy.url()} {cherrypy.request.remote.ip}"


class Looking(Dispatcher):
    """A dispatcher that looks at the request before it finds a page."""

    def __call__(self, path: str) -> None:
        cherrypy.request.dispatched = view()
        super().__call__(path)


class Pages:
    @expose
    def seen(self) -> str:
        return view()

    @expose
    def dispatched(self) -> str:
        return str(cherrypy.request.dispatched)


def _seen(site: Any, fields: dict[str, str], peer: str = "127.0.0.1", path: str = "/seen") -> str:
    answer = site(path, headers=fields, REMOTE_ADDR=peer)
    assert answer.status < 500, f"{answer.status} for {fields}"
    return str(answer.text)


def only_trusted_peers_are_believed(site: Any) -> None:
    fields = {"X-Forwarded-For": LIE, "X-Forwarded-Host": HOST, "X-Forwarded-Proto": "https"}
    assert _seen(site, fields, "10.0.0.1") == f"https://{HOST}/seen {LIE}"
    for peer in ("8.8.8.8", "2001:db8::1", "104.16.0.1", "11.0.0.1"):
        text = _seen(site, fields, peer)
        assert text == f"http://127.0.0.1/seen {peer}", f"{peer}, a stranger, is believed: {text}"


def what_the_client_said_itself_does_not_count(site: Any) -> None:
    text = _seen(site, {"X-Forwarded-For": f"{LIE}, {CLIENT}"})
    assert text.endswith(f" {CLIENT}"), f"the address that a client made up counts: {text}"


def proxies_are_not_taken_for_clients(site: Any) -> None:
    text = _seen(site, {"X-Forwarded-For": f"{LIE}, {CLIENT}, 10.0.0.2, 10.0.0.1"})
    assert text.endswith(f" {CLIENT}"), f"a proxy of ours is taken for the client: {text}"


def the_standard_field_is_understood(site: Any) -> None:
    for field, url, ip in (
        (f"for={CLIENT};proto=https;host={HOST}", f"https://{HOST}", CLIENT),
        (f'For="[2001:db8::17]:4711";Host="{HOST}"', f"http://{HOST}", "2001:db8::17"),
        (f"for={LIE};host=evil.example, for={CLIENT};host={HOST}", f"http://{HOST}", CLIENT),
        (f"for={CLIENT};host={HOST}, for=10.0.0.1;host=inner", f"http://{HOST}", CLIENT),
        ('host="a;b,c=d"', "http://127.0.0.1", "127.0.0.1"),
        (f'for={CLIENT}, for="', "http://127.0.0.1", "127.0.0.1"),
    ):
        text = _seen(site, {"Forwarded": field})
        assert text == f"{url}/seen {ip}", f"Forwarded: {field} is understood as {text}"


def dispatchers_see_the_outer_address(site: Any) -> None:
    fields = {"X-Forwarded-For": CLIENT, "X-Forwarded-Host": HOST}
    text = _seen(site, fields, path="/dispatched")
    assert text == f"http://{HOST}/dispatched {CLIENT}", f"the dispatcher saw {text}"
