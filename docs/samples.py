"""How the samples of these pages ask an application: put this file beside yours.

It is `cherrypy.testing.Client`, which docs/testing.md is about, in the few words that samples need.
"""

from urllib.parse import quote

import cherrypy
from cherrypy.testing import Client

cherrypy.config.update({"log.screen": False})


class Shown:
    """An answer: `status`, `reason`, `headers`, `body`, `text`; `shown["Name"]` is a field or None."""

    def __init__(self, answer):
        self.status, self.reason, self.headers = answer.status, answer.reason, answer.headers
        self.body, self.text = answer.body, answer.text

    def __getitem__(self, name):
        return self.headers.get(name)

    @property
    def cookie(self):
        """The first cookie as a browser would send it back."""
        return (self["Set-Cookie"] or "").partition(";")[0]


def ask(
    app, path="/", query="", *, method="GET", headers=(), body=None, scheme="http", peer="127.0.0.1"
):
    """Ask for a path, with a query such as `"x=1&y=2"`, as a visitor who has never been here."""
    client = Client(app, base_url=f"{scheme}://localhost", remote=(peer, 50000))
    target = quote(path) + ("?" + query if query else "")
    return Shown(client.request(method, target, data=body, headers=headers))


def get(app, path, method="GET"):
    """The text of a page, which has to be there."""
    path, _, query = path.partition("?")
    shown = ask(app, path, query, method=method, body=b"" if method == "PUT" else None)
    assert shown.status == 200, shown.text
    return shown.text


def post(app, path, body, content_type):
    """The text of the answer to a body, which is bytes."""
    shown = ask(app, path, method="POST", body=body, headers={"Content-Type": content_type})
    assert shown.status == 200, shown.text
    return shown.text
