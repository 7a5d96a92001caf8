"""The process as the system sees it: processor, memory, descriptors, threads, its container.

Read from /proc and the system's own calls; where there is no /proc, from psutil if it is installed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..metrics import Labels
from ..table import process as p
from .house import House

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # a module or nothing

Values = dict[Labels, float]

PROC = "/proc/self"

#: What a limit is called that is none (RLIM_INFINITY, and what containers say).
UNLIMITED = 1 << 60


def _always(look: Callable[[], Any]) -> Callable[[], Any]:
    return look


class Process:
    """This process. What a system does not tell is left out.

    once
        Has what several metrics are made of looked at once for all of them, as `House.once` does.
    """

    def __init__(self, proc: str = PROC, once: Callable[[Any], Any] = _always) -> None:
        self.proc = proc
        self._times = once(os.times)
        self._statm = once(partial(statm, proc))
        self._stat = once(partial(stat, proc))
        if resource is not None:
            self._usage = once(partial(resource.getrusage, resource.RUSAGE_SELF))
        self.has_proc = os.path.exists(proc + "/stat")
        self.page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
        self._pid = os.getpid()
        self._psutil = None if self.has_proc else _psutil()
        self._last = (time.monotonic(), sum(os.times()[:2]))
        self._used = 0.0

    def cpu(self) -> Values:
        """Seconds of processor time."""
        times = self._times()
        return {("user",): times.user, ("system",): times.system}

    def utilization(self) -> Values:
        """Processors in use since the last look: 1.0 is one of them, wholly."""
        now, used = time.monotonic(), sum(self._times()[:2])
        before, known = self._last
        if now - before >= 0.1:
            self._used = max(0.0, (used - known) / (now - before))
            self._last = (now, used)
        return {(): self._used}

    def memory(self, which: int) -> Values:
        """Bytes: 0 all that is mapped, 1 what is in memory."""
        if self.has_proc:
            return {(): float(int(self._statm()[which]) * self.page)}
        if self._psutil is not None:
            info = self._psutil.memory_info()
            return {(): float(info.rss if which else info.vms)}
        return {}

    def peak(self) -> Values:
        """The most memory that it ever had."""
        if resource is None:
            info = None if self._psutil is None else self._psutil.memory_info()
            most = getattr(info, "peak_wset", None)
            return {} if most is None else {(): float(most)}
        most = self._usage().ru_maxrss
        return {(): float(most if sys.platform == "darwin" else most * 1024)}

    def descriptors(self) -> Values:
        """Descriptors that are open."""
        for folder in (self.proc + "/fd", "/dev/fd"):
            try:
                return {(): float(len(os.listdir(folder)) - 1)}  # one of them for looking
            except OSError:
                continue
        if self._psutil is not None and hasattr(self._psutil, "num_handles"):
            return {(): float(self._psutil.num_handles())}
        return {}

    def descriptor_limit(self) -> Values:
        """How many there may be."""
        if resource is None:
            return {}
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return {(): float(limit)} if 0 <= limit < UNLIMITED else {}

    def threads(self) -> Values:
        """Threads, also those that Python knows nothing of."""
        if self.has_proc:
            return {(): float(self._stat()[17])}
        if self._psutil is not None:
            return {(): float(self._psutil.num_threads())}
        return {(): float(threading.active_count())}

    def switches(self) -> Values:
        """Times that it gave the processor away, and that it was taken."""
        if resource is None:
            return {}
        usage = self._usage()
        return {("voluntary",): float(usage.ru_nvcsw), ("involuntary",): float(usage.ru_nivcsw)}

    def faults(self) -> Values:
        """Pages that had to be found: in memory, and on the disk."""
        if resource is None:
            return {}
        usage = self._usage()
        return {("minor",): float(usage.ru_minflt), ("major",): float(usage.ru_majflt)}

    def disk(self) -> Values:
        """Bytes read from disks and written to them."""
        try:
            lines = dict(line.split(b": ") for line in read(self.proc + "/io").splitlines())
        except OSError:  # no such file, or not for us
            return {}
        return {
            ("read",): float(lines[b"read_bytes"]),
            ("write",): float(lines[b"write_bytes"]),
        }

    def started(self) -> float:
        """When it was started, in seconds since the epoch: to a hundredth of a second on Linux."""
        return _started(self._stat()) if self.has_proc else _first_seen


def read(path: str) -> bytes:
    """Read a file of the system's, which are short."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def statm(proc: str) -> list[bytes]:
    """What /proc says of a process's memory, in pages."""
    return read(proc + "/statm").split()


def stat(proc: str) -> list[bytes]:
    """What /proc says of a process, from its state on."""
    # The name of the command, in brackets, may hold anything.
    return read(proc + "/stat").rpartition(b")")[2].split()


_first_seen = time.time()


def _started(stat: list[bytes]) -> float:
    """When a process was started, by its fields in /proc: in seconds since the epoch."""
    ticks = float(stat[19])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else 0.0
    return time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK")


def _psutil() -> Any:
    try:
        import psutil  # type: ignore[import-untyped,unused-ignore]  # it may be there
    except ImportError:
        return None
    return psutil.Process()


def load_average() -> Values:
    """How many processes wanted a processor, as means of three spans of time."""
    try:
        return dict(zip((("1m",), ("5m",), ("15m",)), os.getloadavg(), strict=True))
    except (AttributeError, OSError):
        return {}


# -- the container ------------------------------------------------------------------------------------


def control_group(proc: str = PROC, root: str = "/sys/fs/cgroup") -> str | None:
    """The folder of this process's control group (version 2), if there is one."""
    try:
        with open(proc + "/cgroup", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("0::"):
                    path = root + line[3:].strip().rstrip("/")
                    # In a container the path may be that of the host, which is not to be seen.
                    return path if os.path.exists(path + "/cgroup.procs") else root
    except OSError:
        pass
    return None


def memory_limit(folder: str | None) -> Values:
    """Bytes that the container may have; nothing without a limit."""
    try:
        text = read(f"{folder}/memory.max").strip()
    except OSError:
        return {}
    return {(): float(text)} if text.isdigit() and int(text) < UNLIMITED else {}


def throttled(folder: str | None) -> Values:
    """Seconds in which the container was kept from the processor."""
    try:
        for line in read(f"{folder}/cpu.stat").splitlines():
            name, _, value = line.partition(b" ")
            if name == b"throttled_usec":
                return {(): int(value) / 1e6}
    except (OSError, ValueError):
        pass
    return {}


def begin(house: House) -> None:
    """Ask once a second."""
    of = Process(once=house.once)
    group = control_group()
    house.sample(p.PROCESS_CPU_TIME, of.cpu)
    house.sample(p.PROCESS_CPU_UTILIZATION, of.utilization)
    house.sample(p.PROCESS_MEMORY_VIRTUAL, lambda: of.memory(0))
    house.sample(p.PROCESS_MEMORY_USAGE, lambda: of.memory(1))
    house.sample(p.PROCESS_MEMORY_PEAK, of.peak)
    house.sample(p.PROCESS_UNIX_FILE_DESCRIPTOR_COUNT, of.descriptors)
    house.sample(p.PROCESS_FD_LIMIT, of.descriptor_limit)
    house.sample(p.PROCESS_THREAD_COUNT, of.threads)
    house.sample(p.PROCESS_CONTEXT_SWITCHES, of.switches)
    house.sample(p.PROCESS_PAGING_FAULTS, of.faults)
    house.sample(p.PROCESS_DISK_IO, of.disk)
    house.sample(p.PROCESS_UPTIME, lambda: {(): max(0.0, time.time() - of.started())})
    house.sample(p.SYSTEM_CPU_LOAD_AVERAGE, load_average)
    house.sample(p.CONTAINER_MEMORY_LIMIT, lambda: memory_limit(group))
    house.sample(p.CONTAINER_CPU_THROTTLED, lambda: throttled(group))
