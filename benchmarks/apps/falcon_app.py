"""The workloads in Falcon."""

from __future__ import annotations

import falcon


class Hello:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/plain"
        resp.text = "Hello World!"


class User:
    def on_get(self, req: falcon.Request, resp: falcon.Response, number: str) -> None:
        query = req.params
        resp.content_type = "text/plain"
        resp.text = f"user {number} tab {query['tab']} sum {int(query['x']) + int(query['y'])}"


class Json:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"message": "Hello World!", "numbers": [1, 2, 3], "ok": True}


app = falcon.App()
app.add_route("/", Hello())
app.add_route("/user/{number}", User())
app.add_route("/json", Json())
