"""The end of the process in spite of threads that do not end. Real processes, timed."""

from __future__ import annotations

import signal

import pytest
from bus_kit import Child

FOREIGN = """
foreign = threading.Thread(target=threading.Event().wait, name='forgotten')
foreign.start()
plugins.SignalHandler(bus).subscribe()
bus.shutdown_timeout = 0.4
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_forgotten_thread_does_not_hold_the_process(tmp_path, signum):
    source = (
        FOREIGN
        + """
import atexit
atexit.register(print, 'exit handlers ran')
bus.start()
bus.block()
sys.stdout.write('buffered')
"""
    )
    with Child(source, tmp_path, PYTHONUNBUFFERED="") as child:
        child.wait_for("Bus STARTED")
        child.send(signum)
        status, took = child.end()
    assert status == 0
    assert took < 2
    assert "LOG 20 Waiting for thread forgotten." in child.lines
    assert "LOG 30 Leaving behind threads that are still running: forgotten." in child.lines
    assert "LOG 30 Ending the process in spite of running threads: forgotten." in child.output
    assert "exit handlers ran" in child.output
    assert "buffered" in child.output


def test_exit_by_a_thread_counts_too(tmp_path):
    source = FOREIGN + "bus.start()\nthreading.Timer(0.1, bus.exit).start()\nbus.block()\n"
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert "in spite of running threads: forgotten." in child.output


def test_the_status_of_a_failing_main_thread_is_kept(tmp_path):
    source = (
        FOREIGN
        + """
@bus.subscribe('main')
def leave():
    raise SystemExit(7)
bus.start()
bus.block()
"""
    )
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 7


def test_an_exception_after_block_ends_with_one(tmp_path):
    source = FOREIGN + "bus.start()\nbus.exit()\nbus.block()\nraise ValueError('late')\n"
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 1
    assert "ValueError: late" in child.output


def test_threads_that_end_in_time_are_waited_for(tmp_path):
    source = """
        def save():
            time.sleep(0.4)
            print('saved', flush=True)
        threading.Thread(target=save, name='saver').start()
        bus.start()
        bus.exit()
        bus.block()
        print('blocked', flush=True)
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert child.output.index("saved") < child.output.index("blocked")
    assert "Leaving behind" not in child.output


def test_without_a_limit_threads_are_waited_for_as_ever(tmp_path):
    source = """
        bus.shutdown_timeout = None
        threading.Thread(target=time.sleep, args=(1.2,), name='saver').start()
        bus.start()
        bus.exit()
        began = time.monotonic()
        bus.block()
        print('took', time.monotonic() - began > 0.8, flush=True)
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert "took True" in child.output


def test_idle_pools_cost_no_time_and_no_words(tmp_path):
    source = """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        pool.submit(int).result()
        bus.start()
        bus.exit()
        began = time.monotonic()
        bus.block()
        print('quick', time.monotonic() - began < 0.5, flush=True)
        """
    with Child(source, tmp_path) as child:
        status, _ = child.end()
    assert status == 0
    assert "quick True" in child.output
    assert "Waiting for thread" not in child.output
    assert "in spite of" not in child.output


def test_a_busy_pool_does_not_hold_the_process(tmp_path):
    source = """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        pool.submit(threading.Event().wait)
        bus.shutdown_timeout = 0.5
        bus.start()
        threading.Timer(0.1, bus.exit).start()
        bus.block()
        print('blocked', flush=True)
        """
    with Child(source, tmp_path) as child:
        child.wait_for("blocked")
        status, took = child.end()
    assert status == 0
    assert took < 3
    assert "in spite of running threads: ThreadPoolExecutor" in child.output


def test_a_host_that_goes_on_after_block_is_left_alone(tmp_path):
    source = (
        FOREIGN
        + """
bus.shutdown_timeout = 0
bus.start()
bus.exit()
bus.block()
time.sleep(0.8)
print('still here', flush=True)
late = threading.Thread(target=time.sleep, args=(0.8,), name="the host's own")
late.start()
"""
    )
    with Child(source, tmp_path) as child:
        child.wait_for("still here")
        status, took = child.end()
    assert status == 0
    assert 0.4 < took < 3  # the thread that the host started afterwards was waited for


def test_a_program_without_block_ends_on_sigterm_too(tmp_path):
    source = (
        FOREIGN
        + """
server = threading.Event()
threading.Thread(target=server.wait, name='server').start()
bus.subscribe('stop', server.set)
bus.start()
print('main is over', flush=True)
"""
    )
    with Child(source, tmp_path) as child:
        child.wait_for("main is over")
        child.send(signal.SIGTERM)
        status, took = child.end()
    assert status == 0
    assert took < 2
    assert "Bus EXITED" in child.output
    assert "in spite of running threads: forgotten." in child.output


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("bus.start()", 1),
        ("try:\n    bus.start()\nexcept Exception:\n    sys.exit(3)", 1),
        ("bus.listeners['start'] = {bus.exit}\nbus.start()", 70),
    ],
    ids=["uncaught", "caught to exit at once", "exit while starting"],
)
def test_a_program_that_cannot_start_is_not_held_by_its_threads(tmp_path, call, status):
    with Child(FOREIGN + "bus.subscribe('start', lambda: 1 / 0)\n" + call, tmp_path) as child:
        found, took = child.end()
    assert found == status
    assert took < 3
    assert "in spite of running threads: forgotten." in child.output


def test_a_host_that_deals_with_a_failed_start_is_left_alone(tmp_path):
    source = """
        threading.Thread(target=time.sleep, args=(2.2,), name="the host's own").start()
        bus.subscribe('start', lambda: 1 / 0)
        try:
            bus.start()
        except wspbus.ChannelFailures:
            time.sleep(1.2)
        print('host ends', flush=True)
        """
    with Child(source, tmp_path) as child:
        child.wait_for("host ends")
        status, took = child.end()
    assert status == 0
    assert took > 0.6
    assert "in spite of" not in child.output
