"""Rights, the background and PID files, in real processes."""

from __future__ import annotations

import os
import sys

import pytest
from bus_kit import Child, LoggedBus, until

from cherrypy.process.plugins import Daemonizer, DropPrivileges, PIDFile

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")


# -------------------------------------------------------------------- rights


def test_names_become_numbers():
    plugin = DropPrivileges(LoggedBus(), 0o22, "root", "root")
    assert (plugin.uid, plugin.gid, plugin.umask) == (0, 0, 0o22)
    plugin.uid, plugin.gid, plugin.umask = 7, None, None
    assert (plugin.uid, plugin.gid, plugin.umask) == (7, None, None)
    with pytest.raises(KeyError):
        plugin.uid = "no such user"
    with pytest.raises(KeyError):
        plugin.gid = "no such group"


def test_nothing_to_drop_is_said():
    bus = LoggedBus()
    plugin = DropPrivileges(bus)
    plugin.subscribe()
    assert bus._priorities["start", plugin.start] == 77
    plugin.start()
    assert bus.lines == [(30, "uid/gid not set"), (30, "umask not set")]


def test_without_pwd_grp_and_umask_they_are_ignored(monkeypatch):
    # What `import` finds on a system that has neither.
    monkeypatch.setitem(sys.modules, "pwd", None)
    monkeypatch.setitem(sys.modules, "grp", None)
    monkeypatch.delattr(os, "umask")
    bus = LoggedBus()
    plugin = DropPrivileges(bus, 0o22, "root", 0)
    assert (plugin.uid, plugin.gid, plugin.umask) == (None, None, None)
    assert bus.lines == [
        (30, "pwd module not available; ignoring uid."),
        (30, "grp module not available; ignoring gid."),
        (30, "umask function not available; ignoring umask."),
    ]


@needs_root
def test_rights_are_really_dropped(tmp_path):
    source = """
        os.umask(0o022)
        plugin = plugins.DropPrivileges(bus, 0o077, 65534, 65533)
        plugin.subscribe()
        os.setgroups([0, 5])
        bus.start()
        print('NOW', os.getresuid(), os.getresgid(), os.getgroups(), oct(os.umask(0)), flush=True)
        plugin.start()
        bus.exit()
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert "NOW (65534, 65534, 65534) (65533, 65533, 65533) [] 0o77" in child.lines
    assert "LOG 20 Started as uid: 'root' gid: 'root'" in child.lines
    assert any(line.startswith("LOG 20 Running as uid: ") for line in child.lines)
    assert any(line.startswith("LOG 20 Already running as uid: ") for line in child.lines)
    assert "LOG 20 umask old: 022, new: 077" in child.lines
    assert "LOG 20 umask already set to: 077" in child.lines


@needs_root
def test_refused_rights_fail_the_start(tmp_path):
    source = """
        os.setuid(65534)
        plugins.DropPrivileges(bus, uid=0).subscribe()
        bus.start()
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 1
    assert "PermissionError" in child.output
    assert "LOG 20 Bus EXITED" in child.lines


# ---------------------------------------------------------------- background


def test_the_daemon_is_alone_and_writes_to_its_files(tmp_path):
    source = """
        log = open('bus.log', 'a', buffering=1)
        bus.subscribe('log', lambda msg, level: log.write(f'{level} {msg}\\n'))
        os.umask(0o027)
        daemon = plugins.Daemonizer(bus, stdout='out.txt', stderr='err.txt')
        daemon.subscribe()
        plugins.PIDFile(bus, 'daemon.pid').subscribe()
        handler = plugins.SignalHandler(bus)
        handler.subscribe()
        log.write(f'launched {os.getpid()}\\n')
        bus.start()
        daemon.start()
        log.write(f'{os.getpid()} ppid {os.getppid()} sid {os.getsid(0)} cwd {os.getcwd()}\\n')
        log.write(f'stdin {os.readlink("/proc/self/fd/0")} daemon {handler._is_daemonized()}\\n')
        print('to stdout', flush=True)
        print('to stderr', file=sys.stderr, flush=True)
        log.write('READY\\n')
        bus.block()
        log.write('END\\n')
        """
    (tmp_path / "out.txt").write_text("kept\n")
    with Child(source, tmp_path) as child:
        status, _ = child.end()
        launched = child.process.pid
    assert status == 0
    assert "LOG 20 Forking once." in child.lines
    log = tmp_path / "bus.log"
    until(lambda: "READY" in log.read_text(), 10)
    pid = int((tmp_path / "daemon.pid").read_text())
    try:
        text = log.read_text()
        facts = next(line for line in text.splitlines() if line.startswith(f"{pid} ppid")).split()
        assert pid != launched
        assert int(facts[4]) not in (launched, pid, os.getsid(0))  # a session without its leader
        assert facts[6] == str(tmp_path)
        assert "stdin /dev/null daemon True" in text
        assert f"Daemonized to PID: {pid}" in text
        assert "20 Already deamonized." in text
    finally:
        os.kill(pid, 15)
    until(lambda: "END" in log.read_text(), 10)
    assert (tmp_path / "out.txt").read_text().startswith("kept\n")
    assert "to stdout" in (tmp_path / "out.txt").read_text()
    assert (tmp_path / "err.txt").read_text() == "to stderr\n"
    assert (tmp_path / "err.txt").stat().st_mode & 0o777 == 0o640  # the umask was kept
    assert not (tmp_path / "daemon.pid").exists()


def test_threads_are_warned_of_before_the_fork(tmp_path):
    source = """
        thread = threading.Thread(target=time.sleep, args=(1,), name='early', daemon=True)
        thread.start()
        plugins.Daemonizer(bus, stdout='out.txt').start()
        print('daemon', flush=True)
        """
    with Child(source, tmp_path, PYTHONWARNINGS="error") as child:
        assert child.end()[0] == 0
    warning = child.lines[0]
    assert warning.startswith("LOG 30 There are [<_MainThread(MainThread, started")
    assert warning.endswith("active threads. Daemonizing now may cause strange failures.")
    until(lambda: "daemon\n" in (tmp_path / "out.txt").read_text(), 10)


def test_a_missing_output_directory_is_an_error_before_the_fork(tmp_path):
    plugin = Daemonizer(LoggedBus(), stdout=str(tmp_path / "no" / "out.txt"))
    with pytest.raises(FileNotFoundError):
        plugin.start()
    assert plugin.finalized is False


# ----------------------------------------------------------------- PID files


def test_the_file_lives_with_the_bus(tmp_path):
    bus = LoggedBus()
    path = str(tmp_path / "x.pid")
    plugin = PIDFile(bus, path)
    plugin.subscribe()
    pid = os.getpid()
    for _ in range(2):
        bus.start()
        with open(path) as file:
            assert file.read() == f"{pid}\n"
        bus.exit()
        assert not os.path.exists(path)
    assert bus.texts.count(f"PID {pid} written to {path!r}.") == 2
    assert bus.texts.count(f"PID file removed: {path!r}.") == 2
    plugin.exit()  # nothing there: no error, no line
    assert bus.texts[-1] == "Bus EXITED"


def test_a_second_start_only_says_so_and_the_file_is_not_for_everybody(tmp_path):
    bus = LoggedBus()
    path = tmp_path / "x.pid"
    plugin = PIDFile(bus, str(path))
    old = os.umask(0)
    try:
        plugin.start()
    finally:
        os.umask(old)
    plugin.start()
    assert bus.texts[-1] == f"PID {os.getpid()} already written to {str(path)!r}."
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_file_of_another_process_is_left_alone(tmp_path):
    path = tmp_path / "x.pid"
    plugin = PIDFile(LoggedBus(), str(path))
    plugin.start()
    path.write_text("1\n")
    plugin.exit()
    assert path.read_text() == "1\n"


def test_an_impossible_file_fails_the_start(tmp_path):
    bus = LoggedBus()
    PIDFile(bus, str(tmp_path / "no" / "x.pid")).subscribe()
    with pytest.raises(Exception, match="No such file or directory"):
        bus.start()
    assert bus.state is bus.states.EXITING


def test_a_killed_process_leaves_its_file_and_the_next_takes_it_over(tmp_path):
    source = """
        plugins.PIDFile(bus, 'x.pid').subscribe()
        bus.start()
        bus.block()
        """
    path = tmp_path / "x.pid"
    with Child(source, tmp_path) as child:
        child.wait_for("Bus STARTED")
        child.process.kill()
        child.end()
        assert path.read_text() == f"{child.process.pid}\n"
    with Child(source, tmp_path) as child:
        child.wait_for("Bus STARTED")
        assert path.read_text() == f"{child.process.pid}\n"
        child.send(2)
        assert child.end()[0] == 0
    assert not path.exists()


def test_a_pid_file_that_cannot_be_written_is_named(tmp_path):
    name = str(tmp_path / "missing" / "x.pid")
    with pytest.raises(FileNotFoundError) as found:
        PIDFile(LoggedBus(), name).start()
    # What the failures of a start are shown as.
    assert name in repr(found.value)
