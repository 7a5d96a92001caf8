"""Monitoring: what the application does, seen without touching it.

On by `engine.monitor.on = True` (or `monitor.on` in a section `[monitor]`), or by starting the
unchanged program with `python -m cherrypy monitor run app.py`. `recorder` is the hot path,
`metrics` and `table` what is measured, `snapshots` what of it leaves the process.
"""
