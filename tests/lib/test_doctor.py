"""`python -m cherrypy doctor`: every rule finds what it is for, and its advice mends it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cherrypy.doctor import rules
from cherrypy.doctor.command import main
from cherrypy.doctor.reading import Configuration, NotPython, Unknown, UnreadableError, evaluated

#: Nothing is wrong with this one.
SAFE = """
[global]
environment = "production"
server.socket_host = "0.0.0.0"
server.ssl_certificate = "cert.pem"
server.ssl_private_key = "key.pem"

[/]
tools.secure_headers.on = True
tools.secure_headers.hsts = 31536000
tools.allowed_hosts.on = True
tools.allowed_hosts.hosts = ["www.example.com"]
tools.sessions.on = True
tools.csrf.on = True

[/login]
tools.rate_limit.on = True
"""

#: Rule: lines that are added to the sections of SAFE (None: that entry is taken out), and a word
#: of what is said.
BROKEN = {
    "not-python": ({"/": {"tools.gzip.on": "tru e"}}, "tools.gzip.on is no Python"),
    "tracebacks-shown": ({"/": {"request.show_tracebacks": "True"}}, "is True"),
    "public-without-tls": ({"global": {"server.ssl_certificate": None}}, "0.0.0.0"),
    "basic-auth-without-tls": (
        {
            "global": {"server.ssl_certificate": None, "server.socket_host": '"127.0.0.1"'},
            "/login": {"tools.auth_basic.on": "True"},
        },
        "/login",
    ),
    "digest-auth-without-tls": (
        {
            "global": {"server.ssl_certificate": None, "server.socket_host": '"127.0.0.1"'},
            "/login": {"tools.auth_digest.on": "True"},
        },
        "auth_digest",
    ),
    "private-key-readable": ({"global": {"server.ssl_private_key": "'{tmp}/key.pem'"}}, "0644"),
    "session-files-readable": (
        {"/": {"tools.sessions.storage_path": "'{tmp}/sessions'"}},
        "write to the session folder",
    ),
    "secrets-served": (
        {"/x": {"tools.staticdir.on": "True", "tools.staticdir.dir": "'{tmp}'"}},
        "with the configuration in it",
    ),
    "session-cookie-not-secure": ({"/": {"tools.sessions.secure": "False"}}, "with TLS"),
    "session-cookie-for-scripts": ({"/": {"tools.sessions.httponly": "False"}}, "is False"),
    "errors-thrown": ({"global": {"request.throw_errors": "True"}}, "is True"),
    "session-cookie-follows-scheme": (
        {"global": {"server.ssl_certificate": None, "server.socket_host": '"127.0.0.1"'}},
        "not marked Secure",
    ),
    "session-cookie-cross-site": (
        {"/": {"tools.sessions.samesite": "'None'", "tools.csrf.on": "False"}},
        "is 'None'",
    ),
    "no-secure-headers": ({"/": {"tools.secure_headers.on": None}}, "No tool"),
    "policy-malformed": (
        {"/": {"tools.secure_headers.csp": "\"default-src='self'\""}},
        "it is \"default-src 'self'\"",
    ),
    "policy-lets-scripts-in": (
        {"/": {"tools.secure_headers.csp": "\"default-src 'self' 'unsafe-inline' 'unsafe-eval'\""}},
        "allows scripts 'unsafe-inline' and 'unsafe-eval'",
    ),
    "no-allowed-hosts": ({"/": {"tools.allowed_hosts.on": "False"}}, "every name"),
    "any-host-allowed": ({"/": {"tools.allowed_hosts.hosts": "['a', '*']"}}, "'*'"),
    "no-csrf": ({"/": {"tools.csrf.on": None}}, "forms of other sites"),
    "anybody-reads": (
        {
            "/": {
                "tools.cors.on": "True",
                "tools.cors.origins": "['https://a.example', 'null']",
                "tools.cors.credentials": "True",
            }
        },
        "'null'",
    ),
    "no-rate-limit": ({"/login": {"tools.rate_limit.on": None, "x.y": "1"}}, "looks like a login"),
    "proxy-believes-anyone": (
        {"/": {"tools.proxy.on": "True", "tools.proxy.trusted": "['10.0.0.1', '*']"}},
        "past the proxy",
    ),
    "autoreload-on": ({"global": {"engine.autoreload.on": "True"}}, "environment production"),
    "timeouts-disabled": ({"global": {"server.socket_timeout": "0"}}, "server.socket_timeout is 0"),
    "body-limit-huge": (
        {"global": {"server.max_request_body_size": "10 * 1024 ** 3"}},
        "10,737,418,240 bytes",
    ),
    "head-limit-huge": ({"global": {"server.max_request_header_size": "0"}}, "no limit"),
    "socket-open-to-all": (
        {"global": {"server.socket_file": "'{tmp}/s'", "server.socket_mode": "0o666"}},
        "0666",
    ),
    "config-readable": ({"/": {"tools.auth_digest.key": "'a565c27146791cfb'"}}, "auth_digest.key"),
    "no-hsts": ({"/": {"tools.secure_headers.hsts": "0"}}, "https only"),
    "debug-settings": ({"/": {"tools.sessions.debug": "True"}}, "sessions.debug is True"),
}

ON_POSIX = {
    "private-key-readable",
    "session-files-readable",
    "config-readable",
}


def changed(text, section, entries):
    """Return the configuration with entries put into, or taken out of, a section."""
    lines, here = [], ""
    for line in text.splitlines():
        here = line if line.startswith("[") else here
        if here != f"[{section}]" or line.partition(" = ")[0] not in entries:
            lines.append(line)
    if f"[{section}]" not in lines:
        lines.append(f"[{section}]")
    at = lines.index(f"[{section}]") + 1
    lines[at:at] = [f"{key} = {value}" for key, value in entries.items() if value is not None]
    return "\n".join(lines) + "\n"


def written(path, text):
    path.write_text(text)
    path.chmod(0o644)
    return Configuration([str(path)])


def names(found):
    return [finding.rule.name for finding in found]


def test_a_safe_one(tmp_path):
    assert names(rules.examine(written(tmp_path / "site.conf", SAFE))) == []


def test_every_rule_is_tested():
    assert [rule.name for rule in rules.RULES if rule.name not in BROKEN] == []
    assert len({rule.name for rule in rules.RULES}) == len(rules.RULES)
    for rule in rules.RULES:
        assert rule.severity in rules.SEVERITIES
        assert rule.why.endswith((".", "(RFC 6797)."))


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_and_its_advice(name, tmp_path):
    if os.name != "posix" and name in ON_POSIX:
        pytest.skip("only on systems with permission bits")
    (tmp_path / "key.pem").touch(0o644)
    (tmp_path / "key.pem").chmod(0o644)
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions").chmod(0o777)
    changes, words = BROKEN[name]
    text = SAFE
    for section, entries in changes.items():
        entries = {
            key: value and value.replace("{tmp}", str(tmp_path)) for key, value in entries.items()
        }
        text = changed(text, section, entries)
    path = tmp_path / "site.conf"
    found = [one for one in rules.examine(written(path, text)) if one.rule.name == name]
    assert len(found) == 1
    hit = found[0].hit
    assert words in hit.message
    if hit.entry is not None and hit.entry.line:
        line = path.read_text().splitlines()[hit.entry.line - 1]
        assert " = " in line
    if name == "not-python":
        return  # what was meant nobody can tell
    assert hit.add or hit.run
    if hit.run:
        subprocess.run(shlex.split(hit.run), check=True)
        assert name not in names(rules.examine(Configuration([str(path)])))
    else:
        for line in hit.add:
            key, _, value = line.partition(" = ")
            text = changed(text, hit.section, {key: value})
        assert name not in names(rules.examine(written(path, text)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100 * 1024 ** 2", 104857600),
        ("-1", -1),
        ("'a' ", "a"),
        ("", None),
        ("{'a': [1]}", {"a": [1]}),
        ("60.0 / 2 + 1 - 1 // 1", 30.0),
    ],
)
def test_values(text, value):
    assert evaluated(text) == value


def test_values_that_only_a_program_could_tell():
    for text in ("app.check", "open('x')", "9 ** 9 ** 9", "1 / 0", "'a' * 10 ** 9", "[].pop()"):
        assert isinstance(evaluated(text), Unknown), text
    items = evaluated("['a', app.name]")
    assert (items[0], repr(items[1])) == ("a", "app.name")
    assert isinstance(evaluated("a b"), NotPython)


def test_nothing_is_executed(tmp_path):
    path = tmp_path / "site.conf"
    mark = tmp_path / "mark"
    (tmp_path / "planted.py").write_text(f"open({str(mark)!r}, 'w')\n")
    path.write_text(f"[/]\na.b = open({str(mark)!r}, 'w')\nc.d = planted.thing\n")
    command = [sys.executable, "-m", "cherrypy", "doctor", "site.conf"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=30, check=False)
    assert not mark.exists()


def test_paths_inherit_and_later_files_win(tmp_path):
    one, two = tmp_path / "one.conf", tmp_path / "two.conf"
    one.write_text(
        "[DEFAULT]\nname = 'x'\n[/]\na.b = 1\nc.d = %(name)s\n[/x]\na.b = 2\n[global]\ne.f = 5\n"
    )
    two.write_text("[/x/y]\na.b = 3\n[/]\na.b = 4\n")
    conf = Configuration([str(one), str(two)])
    assert [conf.get(path, "a.b") for path in ("/", "/x", "/x/y/z", "/other", "global")] == [
        4,
        2,
        3,
        4,
        4,
    ]
    assert conf.get("/x", "c.d") == "x"
    assert conf.get("/x", "e.f") == 5
    assert conf.entry("/", "a.b")[1:] == (str(two), 4)


def test_several_servers(tmp_path):
    text = changed(SAFE, "global", {"server.inner.socket_host": "'::'", "server.off.on": "False"})
    text = changed(text, "global", {"server.off.socket_host": "'::'"})
    (finding,) = rules.examine(written(tmp_path / "site.conf", text))
    assert finding.rule.name == "public-without-tls"
    assert finding.hit.add[0].startswith("server.inner.ssl_certificate = ")


def test_the_password_of_a_private_key_is_a_secret_and_its_file_name_is_none(tmp_path):
    if os.name != "posix":
        pytest.skip("only on systems with permission bits")
    entries = {"server.inner.ssl_private_key": "'k.pem'", "server.ssl_private_key": "'k.pem'"}
    text = changed(SAFE, "global", entries)
    assert "config-readable" not in names(rules.examine(written(tmp_path / "a.conf", text)))
    text = changed(text, "global", {"server.ssl_private_key_password": "'sesame'"})
    assert "config-readable" in names(rules.examine(written(tmp_path / "b.conf", text)))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1.2.3"])
def test_servers_that_others_cannot_reach(tmp_path, host):
    text = changed(
        SAFE, "global", {"server.ssl_certificate": None, "server.socket_host": repr(host)}
    )
    found = names(rules.examine(written(tmp_path / "site.conf", text)))
    assert "public-without-tls" not in found


def test_the_recipe_of_the_page_counts(tmp_path):
    text = changed(SAFE, "/", {"tools.secure_headers.on": None, "tools.secureheaders.on": "True"})
    assert "no-secure-headers" not in names(rules.examine(written(tmp_path / "s.conf", text)))


# ------------------------------------------------------------------------------- the command


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "cherrypy", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=cwd,
    )


def test_the_command(tmp_path):
    (tmp_path / "safe.conf").write_text(SAFE)
    broken = changed(SAFE, "/", {"request.show_tracebacks": "True"})
    (tmp_path / "broken.conf").write_text(broken)
    done = run("doctor", "safe.conf", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "safe.conf: nothing found.\n"), done.stderr
    done = run("doctor", "broken.conf", cwd=tmp_path)
    assert done.returncode == 1
    line = broken.splitlines().index("request.show_tracebacks = True") + 1
    assert f"HIGH   tracebacks-shown  [/] broken.conf:{line}" in done.stdout
    assert "    In [/] write:\n        request.show_tracebacks = False\n" in done.stdout
    assert done.stdout.endswith("broken.conf: 1 high.\n")
    done = run("doctor", "--json", "broken.conf", cwd=tmp_path)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["counts"] == {"high": 1, "medium": 0, "low": 0}
    (finding,) = report["findings"]
    assert finding["rule"] == "tracebacks-shown"
    assert finding["line"] == line
    assert finding["add"] == ["request.show_tracebacks = False"]


def test_python_m_cherrypy_is_what_it_was(tmp_path):
    (tmp_path / "doctor.py").write_text("print('imported')\nimport sys\nsys.exit(7)\n")
    done = run("-i", "doctor", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (7, "imported\n")
    done = run("--help")
    assert done.returncode == 0
    for option in ("-c", "-p", "-i", "-d", "python -m cherrypy doctor"):
        assert option in done.stdout


def test_help_and_rules(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for words in (
        "exit status: 0",
        "Nothing in the files is executed",
        "--json",
        "--ignore",
        "examples:",
    ):
        assert words in text
    assert main(["--rules"]) == 0
    text = capsys.readouterr().out
    for rule in rules.RULES:
        assert f"{rule.severity:7}{rule.name}\n" in text


def test_options(tmp_path, capsys):
    path = tmp_path / "site.conf"
    path.write_text("[/]\n")
    assert main([str(path)]) == 1
    everything = capsys.readouterr().out
    assert "autoreload-on" in everything
    assert "on by default" in everything
    assert main(["-e", "production", str(path)]) == 1
    assert "autoreload-on" not in capsys.readouterr().out
    assert main(["-e", "test_suite", str(path)]) == 1
    assert "tracebacks-shown  [global] environment test_suite\n" in capsys.readouterr().out
    ignored = ["no-secure-headers", "no-allowed-hosts", "autoreload-on"]
    assert main([str(path), *(f"--ignore={name}" for name in ignored)]) == 0
    capsys.readouterr()
    path.write_text(changed(SAFE, "/", {"tools.secure_headers.hsts": None}))
    assert main([str(path)]) == 1
    assert main([str(path), "--min", "medium"]) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("a = 1\n", "no section headers"),
        ("[/]\n[/]\n", "already exists"),
        ("[global]\nenvironment = 'moon'\n", "no environment 'moon'"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, capsys, text, words):
    path = tmp_path / "site.conf"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UnreadableError):
        Configuration([str(path)])
    assert main([str(path)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["x.conf", "--ignore", "nothing"], ["--min", "x", "y"]])
def test_a_wrong_command_line(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "doctor" in capsys.readouterr().err


def test_a_percent_sign(tmp_path):
    text = changed(SAFE, "/", {"x.y": "'100%'"})
    (finding,) = rules.examine(written(tmp_path / "site.conf", text))
    assert finding.rule.name == "not-python"


def test_the_table_of_rules_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
    rows = re.findall(r"^\| (high|medium|low) \| `([\w-]+)` \| (.+) \|$", page, re.MULTILINE)
    ordered = sorted(rules.RULES, key=lambda rule: rules.SEVERITIES.index(rule.severity))
    assert rows == [(rule.severity, rule.name, rule.why) for rule in ordered]


def test_the_configuration_of_the_documentation_is_safe(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
    sample = re.search(r"```ini\n(.*?)```", page, re.DOTALL)[1]
    tls = {"server.ssl_certificate": "'cert.pem'", "server.ssl_private_key": "'key.pem'"}
    text = changed(sample, "global", tls)
    assert names(rules.examine(written(tmp_path / "site.conf", text))) == []
