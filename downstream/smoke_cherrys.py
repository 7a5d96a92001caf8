"""Sessions of cherrys in a Redis of their own: two processes of one site, asked over HTTP."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from smoke_kit import ask, check, free_port, process

SITE = """
import sys
import cherrypy
import cherrypy.lib.sessions
import cherrys

cherrypy.lib.sessions.RedisSession = cherrys.RedisSession


class Root:
    @cherrypy.expose
    def index(self):
        cherrypy.session['count'] = cherrypy.session.get('count', 0) + 1
        return str(cherrypy.session['count'])

    @cherrypy.expose
    def renew(self):
        before = cherrypy.session.id
        cherrypy.session.regenerate()
        return 'new' if cherrypy.session.id != before else 'old'

    @cherrypy.expose
    def leave(self):
        cherrypy.lib.sessions.expire()
        cherrypy.session.delete()
        return 'left'


redis, port = int(sys.argv[1]), int(sys.argv[2])
cherrypy.config.update({'server.socket_port': port, 'engine.autoreload.on': False, 'log.screen': False})
cherrypy.quickstart(Root(), '/', {'/': {
    'tools.sessions.on': True, 'tools.sessions.storage_type': 'redis',
    'tools.sessions.port': redis, 'tools.sessions.prefix': 'site_', 'tools.sessions.timeout': 5}})
"""


def talk(first: int, second: int) -> None:
    _, text, cookie = ask(first, "/")
    check("a session begins", text, "1")
    check("another process finds it", ask(second, "/", cookie)[1], "2")
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda n: ask((first, second)[n % 2], "/", cookie)[1], range(16)))
    check("no count is lost", sorted(map(int, got)), list(range(3, 19)))
    _, text, renewed = ask(first, "/renew", cookie)
    check("a new id", (text, renewed != cookie), ("new", True))
    check("the new id has the data", ask(second, "/", renewed)[1], "19")
    check("the old id is gone", ask(second, "/", cookie)[1], "1")
    check("logging out", ask(first, "/leave", renewed)[1], "left")
    check("what was left is gone", ask(second, "/", renewed)[1], "1")


def main() -> None:
    redis, first, second = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as all_of:
        command = ("redis-server", "--port", str(redis), "--save", "", "--dir", folder)
        all_of.enter_context(process(redis, *command))
        sites = [
            all_of.enter_context(process(p, sys.executable, "-c", SITE, str(redis), str(p)))
            for p in (first, second)
        ]
        talk(first, second)
        for site in sites:
            site.terminate()
        check("both end at a signal", [site.wait(15) for site in sites], [0, 0])


if __name__ == "__main__":
    main()
