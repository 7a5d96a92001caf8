"""The process, and Python in it."""

from __future__ import annotations

from ..metrics import counter, gauge, histogram

PROCESS_CPU_TIME = counter(
    "process.cpu.time", "s", "cpu.mode", help="Processor time of the process.", merge="each"
)
PROCESS_CPU_UTILIZATION = gauge(
    "process.cpu.utilization",
    "1",
    help="Processors that the process keeps busy: 1 is one of them, wholly.",
    merge="each",
)
PROCESS_MEMORY_USAGE = gauge(
    "process.memory.usage",
    "By",
    help="Memory that the process has in use (resident set size).",
    merge="each",
)
PROCESS_MEMORY_VIRTUAL = gauge(
    "process.memory.virtual", "By", help="Memory that the process has mapped.", merge="each"
)
PROCESS_MEMORY_PEAK = gauge(
    "cherrypy.process.memory.peak",
    "By",
    help="The most memory that the process ever had in use.",
    merge="each",
)
PROCESS_UNIX_FILE_DESCRIPTOR_COUNT = gauge(
    "process.unix.file_descriptor.count",
    "{file_descriptor}",
    help="Descriptors that the process has open: files, sockets, pipes.",
    merge="each",
)
PROCESS_FD_LIMIT = gauge(
    "cherrypy.process.fd.limit",
    "{file_descriptor}",
    help="How many descriptors the process may have open.",
    merge="each",
)
PROCESS_THREAD_COUNT = gauge(
    "process.thread.count",
    "{thread}",
    help="Threads of the process, also those that Python knows nothing of.",
    merge="each",
)
PROCESS_CONTEXT_SWITCHES = counter(
    "process.context_switches",
    "{context_switch}",
    "process.context_switch.type",
    help="Times that the process gave the processor away, or had it taken.",
    merge="each",
)
PROCESS_PAGING_FAULTS = counter(
    "process.paging.faults",
    "{fault}",
    "system.paging.fault.type",
    help="Pages that had to be found when they were used: in memory (minor) or on disk (major).",
    merge="each",
)
PROCESS_DISK_IO = counter(
    "process.disk.io",
    "By",
    "disk.io.direction",
    help="Bytes that the process had read from disks, and written to them.",
    level=2,
    merge="each",
)
PROCESS_UPTIME = gauge(
    "process.uptime", "s", help="How long ago the process was started.", merge="each"
)
CPYTHON_GC_COLLECTIONS = counter(
    "cpython.gc.collections",
    "{collection}",
    "cpython.gc.generation",
    help="Garbage collections by generation.",
    merge="each",
)
CPYTHON_GC_COLLECTED_OBJECTS = counter(
    "cpython.gc.collected_objects",
    "{object}",
    "cpython.gc.generation",
    help="Objects that garbage collections have freed.",
    merge="each",
)
CPYTHON_GC_UNCOLLECTABLE_OBJECTS = counter(
    "cpython.gc.uncollectable_objects",
    "{object}",
    "cpython.gc.generation",
    help="Objects that garbage collections could not free.",
    merge="each",
)
GC_PAUSE_DURATION = histogram(
    "cherrypy.gc.pause.duration",
    "s",
    "generation",
    help="How long garbage collections took, during which nothing else ran in their thread.",
    merge="each",
)
GC_TRACKED_OBJECTS = gauge(
    "cherrypy.gc.tracked_objects",
    "{object}",
    "generation",
    help="What the collector counts towards the next collection of each generation: new objects, and collections of the one before.",
    merge="each",
)
RUNTIME_WAKEUP_DELAY = histogram(
    "cherrypy.runtime.wakeup_delay",
    "s",
    help="By how much a thread woke up too late: it waited for the GIL, or for a processor.",
    merge="each",
)
RUNTIME_LOOP_LAG = histogram(
    "cherrypy.runtime.loop_lag",
    "s",
    help="How long the event loop took to come to a call that was due at once.",
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
    help="What runs here; always 1.",
)
CONTAINER_MEMORY_LIMIT = gauge(
    "cherrypy.container.memory.limit",
    "By",
    help="Memory that the container may use (control groups, version 2).",
)
CONTAINER_CPU_THROTTLED = counter(
    "cherrypy.container.cpu.throttled",
    "s",
    help="Time in which the container was kept from the processor, as it had used its share.",
)
SYSTEM_CPU_LOAD_AVERAGE = gauge(
    "system.cpu.load_average",
    "1",
    "window",
    help="How many processes of the machine were running or ready to run, as a mean.",
)
