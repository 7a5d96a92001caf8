"""block(): what ends it, and what it waits for and how long."""

from __future__ import annotations

import threading
import time

import pytest
from bus_kit import Child

LIFE = ["Bus STARTING", "Bus STARTED", "Bus STOPPING", "Bus STOPPED", "Bus EXITING", "Bus EXITED"]


def test_block_ends_with_exit_from_a_thread_and_publishes_main(bus):
    ticks = []
    bus.subscribe("main", lambda: ticks.append(threading.current_thread()))
    bus.start()
    timer = threading.Timer(0.2, bus.exit)
    timer.start()
    began = time.monotonic()
    bus.block(interval=0.02)
    assert time.monotonic() - began < 2
    assert len(ticks) >= 3
    assert set(ticks) == {threading.main_thread()}
    assert "Waiting for child threads to terminate..." in bus.texts


def test_block_handles_keyboard_interrupt(bus):
    def interrupt():
        raise KeyboardInterrupt

    bus.subscribe("main", interrupt)
    bus.start()
    bus.block(interval=0.01)
    assert "Keyboard Interrupt: shutting down bus" in bus.texts
    assert bus.state is bus.states.EXITING


def test_block_handles_system_exit_and_passes_it_on(bus):
    def leave():
        raise SystemExit(3)

    bus.subscribe("main", leave)
    bus.start()
    with pytest.raises(SystemExit) as caught:
        bus.block(interval=0.01)
    assert caught.value.code == 3
    assert "SystemExit raised: shutting down bus" in bus.texts
    assert bus.state is bus.states.EXITING


def test_block_bounds_its_wait_for_foreign_threads(bus):
    release = threading.Event()
    thread = threading.Thread(target=release.wait, args=(20,), name="foreign")
    thread.start()
    try:
        bus.shutdown_timeout = 0.3
        bus.start()
        bus.exit()
        began = time.monotonic()
        bus.block()
        took = time.monotonic() - began
    finally:
        release.set()
        thread.join(10)
    assert 0.2 < took < 1.5
    assert "Waiting for thread foreign." in bus.texts
    assert (30, "Leaving behind threads that are still running: foreign.") in bus.lines


def test_block_waits_for_the_exit_that_another_thread_is_in(tmp_path):
    source = """
        @bus.subscribe('exit')
        def slow():
            time.sleep(0.4)
            print('cleaned up', flush=True)
        bus.start()
        threading.Thread(target=bus.exit, daemon=True).start()
        bus.block()
        print('blocked', flush=True)
        """
    with Child(source, tmp_path) as child:
        assert child.end()[0] == 0
    assert child.output.index("cleaned up") < child.output.index("blocked")


def test_block_does_not_wait_for_ever_for_an_exit_listener_in_another_thread(bus):
    release = threading.Event()
    bus.subscribe("exit", lambda: release.wait(20))
    bus.shutdown_timeout = 0.2
    bus.start()
    thread = threading.Thread(target=bus.exit, daemon=True)
    thread.start()
    began = time.monotonic()
    bus.block()
    assert time.monotonic() - began < 2
    assert (30, "The listeners of exit are still running.") in bus.lines
    release.set()
    thread.join(5)


def test_exit_from_many_threads_at_once_happens_once(bus):
    barrier = threading.Barrier(8)
    stops = []

    def slow():
        stops.append(1)
        time.sleep(0.2)

    bus.subscribe("stop", slow)
    bus.start()

    def leave():
        barrier.wait(10)
        bus.exit()

    threads = [threading.Thread(target=leave) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert stops == [1]
    assert bus.texts == LIFE
