"""A real nginx in front: what the outside sees is what pages and redirects say."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time

import pytest
from security_kit import Client, served

import cherrypy
from cherrypy.framework.helpers import expose

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

CONF = """
daemon off;
master_process off;
error_log {folder}/error.log;
pid {folder}/pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/b;
    proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        location /shop/ {{
            proxy_pass http://127.0.0.1:{inner}/;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Prefix /shop;
            proxy_set_header Forwarded "for=$remote_addr;host=\\"$http_host\\";proto=https";
        }}
    }}
}}
"""


class Root:
    @expose
    def seen(self):
        return f"{cherrypy.url()} {cherrypy.request.remote.ip}"

    @expose
    def go(self):
        raise cherrypy.HTTPRedirect(cherrypy.url("/there"))

    @cherrypy.expose
    def folder(self, *args):
        return "folder"


@pytest.fixture
def nginx(tmp_path):
    """Return a function that starts nginx in front of a port, and gives a client of it."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    started = []

    def start(inner):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        conf = tmp_path / "nginx.conf"
        conf.write_text(CONF.format(folder=tmp_path, port=port, inner=inner))
        command = [NGINX, "-c", str(conf), "-e", str(tmp_path / "error.log")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        started.append(process)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return Client(("127.0.0.1", port))
            except OSError:
                assert process.poll() is None, (tmp_path / "error.log").read_text()
                assert time.monotonic() < deadline, "nginx does not come up"
                time.sleep(0.02)

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("forwarded", [None, "Forwarded"])
def test_nginx_in_front(nginx, forwarded):
    conf = {
        "tools.proxy.on": True,
        "tools.proxy.trusted": "loopback",
        "tools.proxy.prefix": "X-Forwarded-Prefix",
        "tools.proxy.forwarded": forwarded,
    }
    with served(Root(), {"/": conf}) as direct:
        ask = nginx(direct.address[1])
        host = f"127.0.0.1:{ask.address[1]}"
        # nginx runs here, so the address that it adds is a trusted one, too.
        lie = {
            "x_forwarded_for": "rubbish",
            "x_forwarded_proto": "http",
            "forwarded": "for=1.1.1.1",
        }
        assert ask("/shop/seen", **lie).text == f"https://{host}/shop/seen 127.0.0.1"
        assert ask("/shop/seen", host="www.example.com").text.startswith(
            "https://www.example.com/shop/seen "
        )
        assert ask("/shop/go")["Location"] == f"https://{host}/shop/there"
