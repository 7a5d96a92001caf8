"""The pages of the Django site that `test_hosting_grafts` hosts."""

import io
import itertools
from typing import Any

from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path, reverse

closed: list[int] = []

LARGE = bytes(range(256)) * 2000


def hello(request: Any, name: str) -> HttpResponse:
    return HttpResponse(f"{name} {request.GET['q']} {reverse('hello', args=['x'])}")


def size(request: Any) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


def stream(request: Any) -> StreamingHttpResponse:
    def numbers() -> Any:
        try:
            for number in itertools.count():
                yield f"{number}\n"
                if number == 2 and "endless" not in request.GET:
                    break
        finally:
            closed.append(1)

    return StreamingHttpResponse(numbers())


def file(request: Any) -> FileResponse:
    return FileResponse(io.BytesIO(LARGE), content_type="application/x-large")


def broken(request: Any) -> HttpResponse:
    raise LookupError("a secret")


urlpatterns = [
    path("hello/<str:name>", hello, name="hello"),
    path("size", size),
    path("stream", stream),
    path("file", file),
    path("broken", broken),
]
