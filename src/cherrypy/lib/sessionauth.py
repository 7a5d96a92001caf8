"""A login form in front of pages: who is logged in stands in the session (tool `session_auth`)."""

from __future__ import annotations

from typing import Any

from cherrypy.framework.errors import HTTPError, HTTPRedirect
from cherrypy.framework.helpers import url as make_url
from cherrypy.framework.serving import serving
from cherrypy.framework.site import site

from .csrf import hidden_field, is_on

_LOGIN_SCREEN = """<html><body>
Message: {error_msg}
<form method="post" action="do_login">
    Login: <input type="text" name="username" value="{username}" size="10" />
    <br />
    Password: <input type="password" name="password" size="10" />
    <br />
    <input type="hidden" name="from_page" value="{from_page}" />{token}
    <br />
    <input type="submit" />
</form>
</body></html>"""


class SessionAuth:
    """Let in only requests whose session holds a user name.

    Subclass it, or give any of its attributes as an argument of the tool.
    """

    session_key = "username"
    debug = False

    def check_username_and_password(self, username: str, password: str) -> str | None:
        """Return what to tell the user if the two do not go together, None if they do."""
        return None

    def anonymous(self) -> str | None:
        """Return the name of users who have not logged in; None makes them do so."""
        return None

    def on_login(self, username: str) -> None:
        """Do nothing; called after a login."""

    def on_logout(self, username: str) -> None:
        """Do nothing; called after a logout."""

    def on_check(self, username: str) -> None:
        """Do nothing; called when a user is let in."""

    def login_screen(
        self, from_page: str = "..", username: str = "", error_msg: str = "", **kwargs: Any
    ) -> bytes:
        """Return the page with the login form."""
        from html import escape

        return _LOGIN_SCREEN.format(
            error_msg=escape(str(error_msg)),
            username=escape(str(username)),
            from_page=escape(str(from_page)),
            token=hidden_field() if is_on() else "",
        ).encode("utf-8")

    @staticmethod
    def _own_page(page: str) -> str:
        """Return `page` if it lies on this site; a login must not send users elsewhere."""
        # Browsers, and `urljoin`, leave control characters out and begin after blanks.
        if "\\" in page or any(char <= " " or char == "\x7f" for char in page):
            return "/"
        if page.startswith("//"):
            return "/"
        head = page.partition("?")[0].partition("#")[0].partition("/")[0]
        if ":" in head:
            base = serving.request.base
            if page != base and not page.startswith((base + "/", base + "?")):
                return "/"
        return page or "/"

    def do_login(
        self, username: str, password: str, from_page: str = "..", **kwargs: Any
    ) -> bool | None:
        """Check the two; go to `from_page`, or show the form again with what is wrong."""
        response = serving.response
        error_msg = self.check_username_and_password(username, password)
        if error_msg:
            body = self.login_screen(from_page, username, error_msg)
            response.body = body
            if "Content-Length" in response.headers:
                # Made for another body.
                del response.headers["Content-Length"]
            return True
        serving.request.login = username
        session = site.session
        # A login gets an id that nobody can have planted before (session fixation).
        regenerate = getattr(session, "regenerate", None)
        if regenerate is not None:
            regenerate()
        session[self.session_key] = username
        self.on_login(username)
        raise HTTPRedirect(self._own_page(from_page or "/"))

    def do_logout(self, from_page: str = "..", **kwargs: Any) -> bool | None:
        """Forget the user and go to `from_page`."""
        session = site.session
        username = session.get(self.session_key)
        session[self.session_key] = None
        if username:
            serving.request.login = None
            self.on_logout(username)
        raise HTTPRedirect(self._own_page(from_page))

    def do_check(self) -> bool | None:
        """Let a known user through (returns None), or show the form (returns True)."""
        session, request = site.session, serving.request
        username = session.get(self.session_key)
        if not username:
            if getattr(session, "_lock_on_access", False):
                # Who has logged in meanwhile, by another request, is not to be forgotten.
                session.acquire_lock()
                username = session.get(self.session_key)
            username = username or self.anonymous()
            session[self.session_key] = username
        if not username:
            serving.response.body = self.login_screen(make_url(qs=request.query_string))
            if "Content-Length" in serving.response.headers:
                del serving.response.headers["Content-Length"]
            return True
        request.login = username
        self.on_check(username)
        return None

    def _debug_message(self, template: str, context: dict[str, Any] | None = None) -> None:
        if self.debug:
            site.log(template % (context or {}), "TOOLS.SESSAUTH")

    def run(self) -> bool | None:
        """Do what the path asks for; True means that the response is made."""
        request = serving.request
        path = request.path_info
        if path.endswith("login_screen"):
            serving.response.body = self.login_screen(**_texts(request.params))
            return True
        for end, action in (("do_login", self.do_login), ("do_logout", self.do_logout)):
            if path.endswith(end):
                if request.method != "POST":
                    serving.response.headers["Allow"] = "POST"
                    raise HTTPError(405)
                params = _texts(request.params)
                if action == self.do_login and not {"username", "password"} <= params.keys():
                    raise HTTPError(400, "A login needs a username and a password.")
                return action(**params)
        return self.do_check()


def _texts(params: dict[str, Any]) -> dict[str, str]:
    """Return the parameters as the methods above take them: one text each.

    Raises HTTPError 400 for others, such as files.
    """
    texts: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, list):
            value = value[-1]
        if not isinstance(value, str):
            raise HTTPError(400)
        # The one name that no keyword argument can have.
        if name != "self":
            texts[name] = value
    return texts


def session_auth(**kwargs: Any) -> bool | None:
    """Let in only requests with a user name in their session (tool `session_auth`).

    Args:
        kwargs: attributes of `SessionAuth` to set.
    """
    auth = SessionAuth()
    for name, value in kwargs.items():
        setattr(auth, name, value)
    return auth.run()
