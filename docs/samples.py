"""How the samples of these pages ask an application: put this file beside yours.

It calls the application as a WSGI server would. For tests of your own, WebSockets and streams there is
`cherrypy.test.client.TestClient`, which has the whole server behind it.
"""

import io
from wsgiref.util import setup_testing_defaults

import cherrypy

cherrypy.config.update({"log.screen": False})


class Answer:
    """A response: `status`, `reason`, `fields` (pairs), `body`, `text`; `answer["Name"]` is a field or None."""

    def __init__(self, status, fields, body):
        self.status, self.reason = int(status[:3]), status[4:]
        self.fields, self.headers, self.body = fields, dict(fields), body
        self.text = body.decode("utf-8", "replace")

    def __getitem__(self, name):
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    @property
    def cookie(self):
        """The first cookie as a browser would send it back."""
        return (self["Set-Cookie"] or "").partition(";")[0]


def ask(app, path="/", query="", *, method="GET", headers=(), body=None, scheme="http"):
    """Ask for a path, with a query such as `"x=1&y=2"`, and return the answer. The body is bytes."""
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_HOST": "localhost",
    }
    environ |= {"wsgi.input": io.BytesIO(body or b""), "wsgi.url_scheme": scheme}
    environ |= {"SCRIPT_NAME": "", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1"}
    if body is not None:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in dict(headers).items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else "HTTP_" + key] = value
    setup_testing_defaults(environ)
    seen = []
    result = app(environ, lambda *status_and_fields: seen.extend(status_and_fields))
    try:
        return Answer(seen[0], seen[1], b"".join(result))
    finally:
        getattr(result, "close", bool)()


def get(app, path, method="GET"):
    """The text of a page, which has to be there."""
    path, _, query = path.partition("?")
    answer = ask(app, path, query, method=method, body=b"" if method == "PUT" else None)
    assert answer.status == 200, answer.text
    return answer.text


def post(app, path, body, content_type):
    """The text of the answer to a body, which is bytes."""
    answer = ask(app, path, method="POST", body=body, headers={"Content-Type": content_type})
    assert answer.status == 200, answer.text
    return answer.text
