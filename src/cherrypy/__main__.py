"""`python -m cherrypy`: start the engine with the given configuration and modules.

`python -m cherrypy doctor FILE` looks a configuration over instead, and `python -m cherrypy monitor` runs a
program watched, or shows what one does.
"""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["doctor"]:
        from cherrypy.doctor.command import main

        sys.exit(main(sys.argv[2:]))
    if sys.argv[1:2] == ["monitor"]:
        from cherrypy.monitor.command import main as monitor

        sys.exit(monitor(sys.argv[2:]))
    from cherrypy.daemon import run

    run()
