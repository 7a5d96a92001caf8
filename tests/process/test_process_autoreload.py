"""The autoreloader: which files, which changes, and real programs that come back."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
import types
import zipfile
from pathlib import Path

import pytest
from bus_kit import Child, LoggedBus

from cherrypy.process import plugins
from cherrypy.process.plugins import Autoreloader

PROGRAM = r"""
import module
print('VERSION', module.VERSION, os.getpid(), sys.argv, flush=True)
reloader = plugins.Autoreloader(bus, 0.05)
reloader.match = r'(product\.)?module$'
reloader.subscribe()
bus.start()
bus.block()
"""


class RestartCounter(LoggedBus):
    restarts = 0

    def restart(self):
        self.restarts += 1


@pytest.fixture
def reloader():
    return Autoreloader(RestartCounter(), match="only_this_one_exists_not")


@pytest.fixture
def watched(tmp_path, reloader):
    file = tmp_path / "watched.py"
    file.write_text("x = 1\n")
    reloader.files.add(str(file))
    reloader.run()
    assert reloader.bus.restarts == 0
    return file


TICKS = itertools.count(1)


def change(file, text):
    """Write a file with a time of change that is certainly another."""
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(text)
    os.utime(draft, (time.time() + next(TICKS),) * 2)
    draft.rename(file)


# --------------------------------------------------------------------- files


def test_module_files(tmp_path):
    module = types.ModuleType("m")
    assert Autoreloader._file_for_file_module(module) is None
    module.__file__ = None
    assert Autoreloader._file_for_file_module(module) is None
    assert Autoreloader._file_for_module(module) is None
    module.__file__ = "some/rel.py"
    base = plugins._module__file__base
    assert Autoreloader._file_for_module(module) == os.path.join(base, "some", "rel.py")
    assert Autoreloader._file_for_module(os) == os.__file__
    assert Autoreloader._file_for_module(sys) is None
    assert Autoreloader._make_absolute("/a/b") == "/a/b"
    assert Autoreloader._archive_for_zip_module(os) is None


def test_a_module_in_a_zip_archive_is_its_archive(tmp_path, monkeypatch):
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_module_of_a_test.py", "x = 1\n")
    monkeypatch.syspath_prepend(str(archive))
    import zipped_module_of_a_test as zipped

    try:
        assert Autoreloader._archive_for_zip_module(zipped) == str(archive)
        assert Autoreloader._file_for_module(zipped) == str(archive)
    finally:
        del sys.modules["zipped_module_of_a_test"]


def test_sysfiles_match_and_vendor(monkeypatch):
    reloader = Autoreloader(LoggedBus())
    files = reloader.sysfiles()
    assert os.__file__ in files
    assert pytest.__file__ in files
    assert all(os.path.isabs(name) for name in files)
    reloader.match = r"^os$"
    assert reloader.sysfiles() == {os.__file__}
    reloader.match = ".*"
    reloader.ignore_vendor = True
    files = reloader.sysfiles()
    assert os.__file__ not in files
    assert pytest.__file__ not in files
    assert plugins.__file__ in files


def test_objects_that_pretend_to_be_modules_do_no_harm(monkeypatch):
    class Trap:
        def __getattr__(self, name):
            raise RuntimeError(name)

    class Slots:
        __slots__ = ()

    monkeypatch.setitem(sys.modules, "trap_of_a_test", Trap())
    monkeypatch.setitem(sys.modules, "slots_of_a_test", Slots())
    monkeypatch.setitem(sys.modules, "none_of_a_test", None)
    reloader = Autoreloader(LoggedBus(), match="(trap|slots|none)_of_a_test")
    assert reloader.sysfiles() == set()


# ------------------------------------------------------------------- changes


def test_a_change_restarts(reloader, watched):
    reloader.run()
    assert reloader.bus.restarts == 0
    change(watched, "x = 2\n")
    reloader.run()
    assert reloader.bus.restarts == 1
    assert reloader.bus.texts == [f"Restarting because {watched} changed."]


def test_an_older_file_is_a_change_too(reloader, watched):
    os.utime(watched, (5, 5))
    reloader.run()
    assert reloader.bus.restarts == 1


def test_a_broken_file_waits_until_it_compiles(reloader, watched):
    change(watched, "def broken(:\n")
    reloader.run()
    reloader.run()
    assert reloader.bus.restarts == 0
    assert len(reloader.bus.lines) == 1
    level, text = reloader.bus.lines[0]
    assert level == 30
    assert text.startswith(f"Not restarting: {watched} has changed but does not compile: line 1: ")
    change(watched, "x = \0\n")
    reloader.run()
    assert reloader.bus.restarts == 0
    change(watched, "x = 3\n")
    reloader.run()
    assert reloader.bus.restarts == 1


def test_one_broken_file_of_two_holds_the_restart(reloader, watched):
    other = watched.with_name("other.py")
    other.write_text("")
    reloader.files.add(str(other))
    reloader.run()
    change(other, "(")
    change(watched, "x = 2\n")
    reloader.run()
    assert reloader.bus.restarts == 0
    change(other, "()")
    reloader.run()
    assert reloader.bus.restarts == 1
    assert str(other) in reloader.bus.texts[-1] and str(watched) in reloader.bus.texts[-1]


def test_files_that_are_not_python_need_not_compile(reloader, watched):
    template = watched.with_name("page.html")
    template.write_text("<p>")
    reloader.files.add(str(template))
    reloader.run()
    change(template, "def broken(:")
    reloader.run()
    assert reloader.bus.restarts == 1


def test_save_by_delete_and_rename_restarts_with_the_new_file(reloader, watched):
    watched.unlink()
    reloader.run()
    assert reloader.bus.restarts == 0
    change(watched, "x = 4\n")
    reloader.run()
    assert reloader.bus.restarts == 1


def test_a_file_that_stays_away_restarts(reloader, watched):
    watched.unlink()
    reloader.run()
    reloader.run()
    assert reloader.bus.restarts == 1


def test_a_file_that_appears_is_news_only_from_its_next_change(reloader, tmp_path):
    file = tmp_path / "later.py"
    reloader.files.add(str(file))
    reloader.run()
    change(file, "")
    reloader.run()
    assert reloader.bus.restarts == 0
    change(file, "x = 1\n")
    reloader.run()
    assert reloader.bus.restarts == 1


def test_compiled_names_stand_for_their_source(reloader, watched):
    reloader.files.clear()
    reloader.files.add(f"{watched}c")
    reloader.run()
    change(watched, "x = 2\n")
    reloader.run()
    assert reloader.bus.restarts == 1


def test_frozen_applications_never_restart(reloader, watched, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    change(watched, "x = 2\n")
    reloader.run()
    reloader.start()
    assert reloader.thread is None
    assert reloader.bus.restarts == 0
    assert "frozen application" in reloader.bus.texts[-1]


def test_the_attributes_of_old(reloader):
    assert Autoreloader.frequency == 1
    assert Autoreloader.match == ".*"
    assert reloader.files == set()
    reloader.subscribe()
    assert reloader.bus._priorities["start", reloader.start] == 70
    reloader.frequency = 0
    reloader.start()
    assert reloader.thread is None
    reloader.unsubscribe()
    assert reloader.bus.listeners["start"] == set()


def test_a_new_start_forgets_what_changed_while_it_was_off(reloader, watched):
    reloader.start()
    assert str(watched) in reloader.mtimes
    reloader.stop()
    change(watched, "x = 2\n")
    reloader.start()
    thread = reloader.thread
    assert thread.name == "Autoreloader" and thread in threading.enumerate()
    reloader.run()
    reloader.stop()
    thread.join(5)
    assert reloader.bus.restarts == 0


# ------------------------------------------------------------- real programs


def test_a_touched_module_brings_the_same_command_back_within_two_seconds(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("VERSION = 1\n")
    program = PROGRAM.replace(", 0.05", "")  # the default frequency
    with Child(program, tmp_path, "an arg") as child:
        child.wait_for("Bus STARTED")
        began = time.monotonic()
        change(module, "VERSION = 2\n")
        child.wait_for("Restarting because", 5)
        assert time.monotonic() - began < 2
        child.wait_for("VERSION 2", 10)
        child.wait_for("Bus STARTED", times=2)
        versions = [line.split(" ", 3) for line in child.lines if line.startswith("VERSION")]
        child.send(2)
        assert child.end()[0] == 0
    assert versions[0][2] == versions[1][2] == str(child.process.pid)  # the process was replaced
    assert versions[0][3] == versions[1][3]
    assert f"LOG 20 Restarting because {module} changed." in child.lines
    assert "LOG 20 Stopped thread 'Autoreloader'." in child.lines


def test_a_broken_module_leaves_the_program_running_until_it_is_mended(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("VERSION = 1\n")
    with Child(PROGRAM + "# end", tmp_path) as child:
        child.wait_for("Bus STARTED")
        change(module, "VERSION = = 2\n")
        child.wait_for(f"LOG 30 Not restarting: {module} has changed but does not compile")
        assert child.process.poll() is None
        change(module, "VERSION = 2\n")
        child.wait_for("VERSION 2", 10)
        child.send(15)
        child.end()


def test_a_package_run_with_m_comes_back(tmp_path):
    package = tmp_path / "product"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "module.py").write_text("VERSION = 1\n")
    main = PROGRAM.replace("import module", "from product import module")
    prelude = Path(__file__).with_name("bus_kit.py").read_text().split('PRELUDE = """')[1]
    (package / "__main__.py").write_text(prelude.split('"""')[0] + main)
    with Child("", tmp_path, command=[sys.executable, "-m", "product", "x"]) as child:
        child.wait_for("Bus STARTED")
        change(package / "module.py", "VERSION = 2\n")
        child.wait_for("VERSION 2", 10)
        child.send(2)
        child.end()
