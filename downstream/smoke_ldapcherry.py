"""The daemon of ldapcherry with its demo directory and the templates of its source, asked over HTTP."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from smoke_kit import ask, check, free_port, process

CONFIG = """
[global]
server.socket_host = '127.0.0.1'
server.socket_port = {port}
request.show_tracebacks = False
log.access_handler = 'file'
log.error_handler = 'file'
log.access_file = '{folder}/access.log'
log.error_file = '{folder}/error.log'
log.level = 'info'
tools.sessions.on = True
tools.sessions.timeout = 10
tools.sessions.storage_type = "file"
tools.sessions.storage_path = "{folder}"

[attributes]
attributes.file = '{folder}/attributes.yml'

[roles]
roles.file = '{folder}/roles.yml'

[backends]
demo.module = 'ldapcherry.backend.backendDemo'
demo.display_name  = 'Demo'
demo.admin.groups  = 'Admins'
demo.basic.groups  = 'Users'
demo.pwd_attr = 'userPassword'
demo.search_attributes = 'cn, uid'
demo.admin.user = 'admin'
demo.admin.password = '50%off'
demo.basic.user = 'user'
demo.basic.password = 'user'

[ppolicy]
ppolicy.module = 'ldapcherry.ppolicy.simple'
min_length = 2
min_upper = 0
min_digit = 0

[auth]
auth.mode = 'or'

[resources]
templates.dir = '{source}/resources/templates/'

[/static]
tools.staticdir.on = True
tools.staticdir.dir = '{source}/resources/static/'
"""
ROLES = """
admins:
    display_name: Administrators
    description: all
    LC_admins: True
    backends_groups:
        demo: [Admins]
users:
    display_name: Users
    description: some
    backends_groups:
        demo: [Users]
"""
ATTRIBUTES = """
cn: {description: name, display_name: Name, type: string, weight: 10, search_displayed: True, backends: {demo: cn}}
uid: {description: id, display_name: UID, key: True, type: string, weight: 20, search_displayed: True, backends: {demo: uid}}
password: {description: word, display_name: Password, type: password, weight: 30, self: True, backends: {demo: userPassword}}
"""


def talk(port: int) -> None:
    status, text, cookie = ask(port, "/signin")
    check("the sign-in page", (status, "<form" in text), (200, True))
    check("nobody gets in", ask(port, "/", cookie)[0], 303)
    wrong = ask(port, "/login", cookie, {"login": "admin", "password": "no"})
    check("a wrong password", (wrong[0], ask(port, "/", cookie)[0]), (303, 303))
    right = ask(port, "/login", cookie, {"login": "admin", "password": "50%off"})
    check("a right one, with a % in the file", right[0], 303)
    cookie = right[2]
    status, text, _ = ask(port, "/", cookie)
    check("the first page", (status, "admin" in text), (200, True))
    style = next(iter(re.findall(r'"(/static/[^"]+\.css)"', text)), "")
    check("its style is served", ask(port, style, cookie)[0], 200)
    fields = {
        "attr.cn": "Jos\u00e9",
        "attr.uid": "jose",
        "attr.password1": "geheim",
        "attr.password2": "geheim",
    }
    added = ask(port, "/adduser", cookie, fields | {"role.users": "on"})
    check("a user is added", added[0], 200)
    status, text, _ = ask(port, "/searchuser?searchstring=jose", cookie)
    check("and found", (status, "Jos\u00e9" in text), (200, True))
    check("the policy for passwords answers", ask(port, "/checkppolicy?password=x", cookie)[0], 200)
    check("and deleted", ask(port, "/delete?user=jose", cookie)[0], 303)
    check("gone", "Jos\u00e9" in ask(port, "/searchuser?searchstring=jose", cookie)[1], False)
    ask(port, "/logout", cookie)
    check("signed out", ask(port, "/", cookie)[0], 303)


def main() -> None:
    source = next(path.parent for path in Path("source").resolve().glob("*/*/resources"))
    with tempfile.TemporaryDirectory() as folder:
        top, port = Path(folder), free_port()
        values = {"folder": folder, "port": port, "source": source}
        (top / "ldapcherry.ini").write_text(CONFIG.format(**values))
        (top / "roles.yml").write_text(ROLES)
        (top / "attributes.yml").write_text(ATTRIBUTES)
        daemon = Path(sys.executable).with_name("ldapcherryd")
        with process(port, str(daemon), "-c", f"{folder}/ldapcherry.ini") as child:
            try:
                talk(port)
            finally:
                for name in ("error.log", "access.log"):
                    print(f"-- {name}\n{(top / name).read_text()}", flush=True)
            child.terminate()
            check("it ends at a signal", child.wait(15), 0)


if __name__ == "__main__":
    main()
