"""Restarting: the same command comes back, without what it had open."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from bus_kit import PRELUDE, Child, run_alone

from cherrypy.process import respawn, wspbus

ONCE = """
print('RUN', os.environ.get('ROUND', '0'), sys.argv, sys.orig_argv, os.getcwd(), flush=True)
if os.environ.get('ROUND') != '1':
    os.environ['ROUND'] = '1'
    sys.argv[1:] = ['changed', 'by', 'the', 'program']
    os.chdir('/')
    bus.start()
    bus.restart()
    bus.block()
    print('never here', flush=True)
else:
    print('FLAGS', sys.flags.utf8_mode, sys.flags.optimize, sys.warnoptions, flush=True)
"""


def runs(child):
    found = [line for line in child.lines if line.startswith("RUN ")]
    assert len(found) == 2, child.output
    first, second = (line.split(" ", 2) for line in found)
    assert (first[1], second[1]) == ("0", "1")
    return first[2], second[2]


def test_a_script_with_interpreter_options_and_spaces_comes_back(tmp_path):
    script = tmp_path / "a script.py"
    script.write_text(PRELUDE + ONCE)
    command = [sys.executable, "-X", "utf8", "-O", "-W", "ignore", script.name, "a", "b c", ""]
    with Child("", tmp_path, command=command) as child:
        assert child.end()[0] == 0
    first, second = runs(child)
    assert first == second
    assert "'b c', ''" in second
    assert "FLAGS 1 1 ['ignore']" in child.output
    assert f"LOG 20 Re-spawning {sys.executable} -X utf8 -O" in child.output
    assert "never here" not in child.output


def test_a_module_comes_back_as_a_module(tmp_path):
    package = tmp_path / "product"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(PRELUDE + ONCE + "print('PACKAGE', __package__)\n")
    with Child("", tmp_path, command=[sys.executable, "-m", "product", "x"]) as child:
        assert child.end()[0] == 0
    first, second = runs(child)
    assert first == second
    assert "'-m', 'product', 'x'" in second
    assert "PACKAGE product" in child.output


def test_a_command_string_comes_back(tmp_path):
    with Child("", tmp_path, command=[sys.executable, "-c", PRELUDE + ONCE, "x"]) as child:
        assert child.end()[0] == 0
    first, second = runs(child)
    assert first == second


def test_a_zip_application_comes_back(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("__main__.py", PRELUDE + ONCE)
    with Child("", tmp_path, command=[sys.executable, "app.zip", "x"]) as child:
        assert child.end()[0] == 0
    first, second = runs(child)
    assert first == second


def test_the_new_process_inherits_no_descriptor_but_activated_sockets(tmp_path):
    source = """
        if os.environ.get('ROUND') != '1':
            os.environ['ROUND'] = '1'
            here = os.open(os.devnull, os.O_RDONLY)
            for fd in (3, 4, 9):
                os.dup2(here, fd)
                os.set_inheritable(fd, True)
            os.environ['LISTEN_PID'] = str(os.getpid())
            os.environ['LISTEN_FDS'] = '2'
            bus.restart()
            bus.block()
        def is_open(fd):
            try:
                os.fstat(fd)
            except OSError:
                return False
            return True
        print('OPEN', os.environ['LISTEN_PID'] == str(os.getpid()),
              [fd for fd in (3, 4, 9) if is_open(fd)], flush=True)
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert "OPEN True [3, 4]" in child.output


def test_close_on_exec_without_a_listing_of_descriptors(monkeypatch):
    def unlisted(path):
        raise FileNotFoundError(path)

    with socket.socket() as sock:
        os.set_inheritable(sock.fileno(), True)
        monkeypatch.setattr(os, "listdir", unlisted)
        respawn.close_on_exec(sock.fileno() + 1)
        monkeypatch.undo()
        assert os.get_inheritable(sock.fileno()) is False


def test_the_command_of_this_process():
    command = wspbus.Bus._get_true_argv()
    assert command[0] == sys.executable
    assert command[1:] == sys.orig_argv[1:]
    assert isinstance(wspbus.Bus._get_interpreter_argv(), list)


def test_a_frozen_application_is_its_own_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "argv", ["app", "--port", "80"])
    assert respawn.command() == [sys.executable, "--port", "80"]


def test_an_embedded_interpreter_without_a_command(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", [])
    monkeypatch.setattr(sys, "argv", ["app.py", "x"])
    command = respawn.command()
    assert command[0] == sys.executable
    assert command[-2:] == ["app.py", "x"]


def test_where_exec_is_broken_a_child_runs_and_its_status_counts(tmp_path):
    source = """
        from cherrypy.process import respawn
        respawn.os = type('nt', (), {'name': 'nt', '_exit': staticmethod(os._exit)})
        respawn.replace([sys.executable, '-c', 'import sys; print("child"); sys.exit(5)'])
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 5
    assert "child" in child.lines


def test_a_deleted_start_directory_is_no_reason_not_to_import(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = run_alone(
        "import os; os.rmdir(os.getcwd()); from cherrypy.process import wspbus, plugins;"
        "print(wspbus._startup_cwd, plugins._module__file__base)",
        cwd=gone,
    )
    assert (done.returncode, done.stdout) == (0, "/ /\n"), done.stderr


@pytest.mark.parametrize("value", ["", "x", "1"])
def test_activation_for_another_process_is_ignored(monkeypatch, value):
    monkeypatch.setenv("LISTEN_PID", value)
    monkeypatch.setenv("LISTEN_FDS", "3")
    assert list(respawn._activated()) == []
