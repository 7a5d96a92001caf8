"""One ordinary CherryPy application that shows the framework at work: `python -m cherrypy.tutorial.showcase`.

Written as the documentation teaches: classes whose exposed methods are pages, tools switched on by configuration. The
pages are in `pages`, the configuration in `settings`, HTML in `templates/`, everything else a browser needs in `static/`.
"""
