"""Tutorial 9: files, up and down.

python -m cherrypy.tutorial.tut09_files
"""

import hashlib
import os
from html import escape
from typing import Any

import cherrypy
from cherrypy.lib import static

HERE = os.path.dirname(os.path.abspath(__file__))
CONF = os.path.join(HERE, "tutorial.conf")

HEAD = """<!DOCTYPE html>
<html lang="en">
<title>Tutorial 9</title>
"""

# Forms with files have an encoding of their own.
FORM = """
<form action="/upload" method="post" enctype="multipart/form-data">
<p><label>A file <input type="file" name="document"></label> <button>Send</button></p>
</form>
<p><a href="/recipe">Our recipe</a></p>
"""


class Files:
    @cherrypy.expose
    def index(self) -> str:
        return HEAD + FORM

    # `document` is no text but a part of the form: it has `filename`, `content_type` and `file`.
    # Large ones are on disk by now, and vanish with the request: copy what you want to keep.
    @cherrypy.expose
    @cherrypy.tools.allow(methods=["POST"])
    def upload(self, document: Any) -> str:
        if not getattr(document, "filename", ""):
            raise cherrypy.HTTPError(400, "Please choose a file.")
        size, digest = 0, hashlib.sha256()
        while block := document.file.read(65536):  # a piece at a time: it may be a film
            size += len(block)
            digest.update(block)
        # The name is whatever the visitor says: show it, escaped, but never make it a path.
        return HEAD + (
            f"<p>{escape(document.filename)}: {size} bytes.</p>\n"
            f"<p>SHA-256: <code>{digest.hexdigest()}</code></p>\n"
        )

    # serve_download makes browsers save the file; serve_file would have them show it. Both know
    # its type and time, and give parts of it to those who ask for parts.
    @cherrypy.expose
    def recipe(self) -> Any:
        return static.serve_download(os.path.join(HERE, "recipe.txt"), "cherry-jam.txt")


if __name__ == "__main__":
    cherrypy.quickstart(Files(), config=CONF)
