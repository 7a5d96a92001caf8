"""The process, and Python in it."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

PROCESS_CPU_TIME = counter(
    "process.cpu.time", "s", "cpu.mode", help="Os.times/psutil.", merge="each"
)
PROCESS_CPU_UTILIZATION = gauge("process.cpu.utilization", "1", help="Derived.", merge="each")
PROCESS_MEMORY_USAGE = gauge("process.memory.usage", "By", help="RSS.", merge="each")
PROCESS_MEMORY_VIRTUAL = gauge("process.memory.virtual", "By", help="VMS.", merge="each")
PROCESS_MEMORY_PEAK = gauge("cherrypy.process.memory.peak", "By", help="Ru_maxrss.", merge="each")
PROCESS_UNIX_FILE_DESCRIPTOR_COUNT = gauge(
    "process.unix.file_descriptor.count",
    "{file_descriptor}",
    help="/proc/self/fd / psutil.",
    merge="each",
)
PROCESS_FD_LIMIT = gauge(
    "cherrypy.process.fd.limit", "{file_descriptor}", help="RLIMIT_NOFILE.", merge="each"
)
PROCESS_THREAD_COUNT = gauge("process.thread.count", "{thread}", help="OS threads.", merge="each")
PROCESS_CONTEXT_SWITCHES = counter(
    "process.context_switches", "{context_switch}", "type", help="Getrusage.", merge="each"
)
PROCESS_PAGING_FAULTS = counter(
    "process.paging.faults", "{fault}", "type", help="Getrusage.", merge="each"
)
PROCESS_DISK_IO = counter(
    "process.disk.io", "By", "direction", help="/proc/self/io.", level=2, merge="each"
)
PROCESS_UPTIME = gauge("process.uptime", "s", help="Start stamp.", merge="each")
CPYTHON_GC_COLLECTIONS = counter(
    "cpython.gc.collections",
    "{collection}",
    "cpython.gc.generation",
    help="Gc.get_stats.",
    merge="each",
)
CPYTHON_GC_COLLECTED_OBJECTS = counter(
    "cpython.gc.collected_objects",
    "{object}",
    "cpython.gc.generation",
    help="Gc.get_stats.",
    merge="each",
)
CPYTHON_GC_UNCOLLECTABLE_OBJECTS = counter(
    "cpython.gc.uncollectable_objects",
    "{object}",
    "cpython.gc.generation",
    help="Gc.get_stats.",
    merge="each",
)
GC_PAUSE_DURATION = histogram(
    "cherrypy.gc.pause.duration", "s", "generation", help="Gc.callbacks start/stop.", merge="each"
)
GC_TRACKED_OBJECTS = gauge(
    "cherrypy.gc.tracked_objects",
    "{object}",
    "generation",
    help="Gc.get_count (cheap); get_objects only on demand.",
    merge="each",
)
RUNTIME_WAKEUP_DELAY = histogram(
    "cherrypy.runtime.wakeup_delay",
    "s",
    help="Sampler thread sleep overshoot: GIL/CPU starvation.",
    merge="each",
)
RUNTIME_LOOP_LAG = histogram(
    "cherrypy.runtime.loop_lag",
    "s",
    help="Call_later overshoot where an event loop runs.",
    merge="each",
)
RUNTIME_INFO = gauge(
    "cherrypy.runtime.info",
    "1",
    "python",
    "implementation",
    "gil",
    "cherrypy.version",
    "os",
    help="Constant.",
)
CONTAINER_MEMORY_LIMIT = gauge("cherrypy.container.memory.limit", "By", help="Cgroup v2.")
CONTAINER_CPU_THROTTLED = counter(
    "cherrypy.container.cpu.throttled", "s", help="Cgroup v2 cpu.stat."
)
SYSTEM_CPU_LOAD_AVERAGE = gauge("system.cpu.load_average", "1", "window", help="Os.getloadavg.")
