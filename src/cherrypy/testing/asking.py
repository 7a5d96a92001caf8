"""What clients for tests have in common: the methods, cookies, redirects. How it gets there is theirs.

Law: nothing here knows an application or a socket.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from http.client import HTTPMessage
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urljoin, urlsplit

from kirsch.http.dates import parse_date

from .answers import MOST_BODY, Answer
from .packing import Fields, Nothing, fields_of, pack, target_of

__all__ = ("Asker",)

MOST_REDIRECTS = 20

#: What a redirect makes of a method (RFC 9110, 15.4).
_BECOMES_GET = {301: ("POST",), 302: ("POST",), 303: ("POST", "PUT", "PATCH", "DELETE")}


class Asker(ABC):
    """Asks, keeps cookies by their names, and follows redirects if told to."""

    def __init__(
        self,
        *,
        headers: Fields = (),
        follow: bool = False,
        base_url: str = "http://localhost",
        max_body: int = MOST_BODY,
    ) -> None:
        self.headers = dict(headers)
        self.cookies: dict[str, str] = {}
        self.follow = follow
        self.base_url = base_url.rstrip("/")
        self.max_body = max_body

    @abstractmethod
    def _send(
        self, method: str, target: str, body: Any, fields: HTTPMessage, options: dict[str, Any]
    ) -> Answer:
        """Send one request; return its answer, whose body may be still to come.

        `options` are what `request` does not know: take yours out.
        """

    def request(
        self,
        method: str,
        path: str,
        data: Any = None,
        headers: Fields = (),
        *,
        params: Any = None,
        json: Any = Nothing,
        files: Any = None,
        follow: bool | None = None,
        stream: bool = False,
        **options: Any,
    ) -> Answer:
        """Send a request and return its answer.

        path
            May have a query. What cannot stand in a request line is quoted.
        data
            The body: bytes, a text, a file, an iterable of bytes. A mapping or a list of pairs is
            sent as a form.
        params
            A mapping, or a list of pairs, that is added to the query.
        json
            A value to send as JSON in place of `data`.
        files
            Uploads by the names of their fields: bytes, an open file, `(filename, content)` or
            `(filename, content, type)`, or a list of these. `data` are the other fields of the form.
        headers
            Fields of this request, which replace those of the client.
        follow
            Whether redirects are followed, as far as they stay on this host; at most 20.
        stream
            Return before the body has come: see `Answer`.

        Raises TooLong when the body is longer than `max_body`, and what the client's way to the
        application raises.
        """
        body, kind = pack(data, json, files)
        layers: list[Fields] = [self.headers, headers]
        if kind is not None:
            layers.insert(0, [("Content-Type", kind)])
        fields = fields_of(*layers)
        target = target_of(path, params)
        follow = self.follow if follow is None else follow
        history: list[Answer] = []
        while True:
            answer = self._ask(method, target, body, fields, dict(options))
            answer.history = history
            onward = self._onward(answer, target) if follow else None
            if onward is None:
                break
            if len(history) >= MOST_REDIRECTS:
                answer.close()
                raise RuntimeError(f"more than {MOST_REDIRECTS} redirects, the last to {onward}")
            _ = answer.body
            history = [*history, answer]
            target = onward
            if method in _BECOMES_GET.get(answer.status, ()):
                method, body = "GET", None
                fields = fields_of(self.headers, headers)
                del fields["Content-Type"], fields["Content-Length"]
        if not stream:
            _ = answer.body
        return answer

    def _ask(
        self, method: str, target: str, body: Any, fields: HTTPMessage, options: dict[str, Any]
    ) -> Answer:
        """One request, with the cookies of now."""
        sent = fields_of(list(fields.items()))
        if self.cookies and "Cookie" not in sent:
            encode = SimpleCookie().value_encode
            sent["Cookie"] = "; ".join(f"{k}={encode(v)[1]}" for k, v in self.cookies.items())
        answer = self._send(method, target, body, sent, options)
        for field in answer.headers.get_all("Set-Cookie") or ():
            self._keep(field)
        return answer

    def _onward(self, answer: Answer, target: str) -> str | None:
        """Where a redirect leads, None when it is none or leads to another host."""
        where = answer.headers["Location"]
        if answer.status not in (301, 302, 303, 307, 308) or where is None:
            return None
        url = urljoin(self.base_url + target, where)
        here, there = urlsplit(self.base_url), urlsplit(url)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            return None
        query = f"?{there.query}" if there.query else ""
        return target_of(there.path + query, None)

    def _keep(self, field: str) -> None:
        """Keep a cookie, or forget one that is over."""
        try:
            found = SimpleCookie(field)
        except CookieError:
            return
        for name, morsel in found.items():
            when = parse_date(morsel["expires"])
            if morsel["max-age"] == "0" or (when is not None and when < time.time()):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value

    # The order of `params` and `data` is that of what the method is mostly given.

    def get(self, path: str, params: Any = None, headers: Fields = (), **more: Any) -> Answer:
        """Send a GET request; see `request`."""
        return self.request("GET", path, params=params, headers=headers, **more)

    def head(self, path: str, params: Any = None, headers: Fields = (), **more: Any) -> Answer:
        """Send a HEAD request; see `request`."""
        return self.request("HEAD", path, params=params, headers=headers, **more)

    def options(self, path: str, params: Any = None, headers: Fields = (), **more: Any) -> Answer:
        """Send an OPTIONS request; see `request`."""
        return self.request("OPTIONS", path, params=params, headers=headers, **more)

    def delete(self, path: str, params: Any = None, headers: Fields = (), **more: Any) -> Answer:
        """Send a DELETE request; see `request`."""
        return self.request("DELETE", path, params=params, headers=headers, **more)

    def post(self, path: str, data: Any = None, headers: Fields = (), **more: Any) -> Answer:
        """Send a POST request; see `request`."""
        return self.request("POST", path, data, headers, **more)

    def put(self, path: str, data: Any = None, headers: Fields = (), **more: Any) -> Answer:
        """Send a PUT request; see `request`."""
        return self.request("PUT", path, data, headers, **more)

    def patch(self, path: str, data: Any = None, headers: Fields = (), **more: Any) -> Answer:
        """Send a PATCH request; see `request`."""
        return self.request("PATCH", path, data, headers, **more)
