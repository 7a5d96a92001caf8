"""pycurl: transfers over HTTP, one at a time or many at once; its classes of C are subclassed.

A transfer counts as one request, redirects that curl follows included. Its duration is that until the
first byte of the response is there, as curl has measured it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..patches import Patches
from .awaits import covered, uncover
from .clients import where
from .external import Call, inside
from .guard import failed
from .httpclient import layered
from .subclasses import stand_in

LIBRARY = "pycurl"

#: The host of a transfer whose URL curl has not told.
UNKNOWN = "unknown"

#: Schemes of what is a request to a service.
_SCHEMES = ("http", "https", "ws", "wss")


class Reader:
    """What handles tell of their transfers.

    module
        `pycurl`.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.kinds: dict[int, str] = {}
        for name in sorted(vars(module)):
            if name.startswith("E_") and isinstance(getattr(module, name), int):
                self.kinds.setdefault(getattr(module, name), name[2:])

    def begun(self, handle: Any) -> Call | None:
        """Return the call that a transfer is, or None: it is of another protocol, or of ours."""
        try:
            if inside():
                return None
            scheme, host = self.where(handle)
            return Call(LIBRARY, "GET", scheme, host) if scheme in _SCHEMES else None
        except Exception as error:
            failed(LIBRARY, error)
            return None

    def where(self, handle: Any) -> tuple[str, str]:
        """The scheme and the host of a handle's URL."""
        try:
            url = str(handle.getinfo(self.module.EFFECTIVE_URL))
        except self.module.error:  # curl completes a URL without a scheme later
            return "http", UNKNOWN
        scheme, host = where(url if "://" in url else f"http://{url}")
        return scheme.lower(), host or UNKNOWN

    def ended(self, call: Call, handle: Any, error: BaseException | None = None) -> None:
        """The transfer is over."""
        took = None
        status = 0
        try:
            if call.host == UNKNOWN:
                call.address(*self.where(handle))
            asked = getattr(self.module, "EFFECTIVE_METHOD", None)
            if asked is not None:
                call.ask(handle.getinfo(asked))
            status = handle.getinfo(self.module.RESPONSE_CODE)
            took = handle.getinfo(self.module.STARTTRANSFER_TIME)
        except Exception as more:
            failed(LIBRARY, more)
        if error is None:
            call.answered(status, took)
        else:
            call.failed(error, self.kind(error))

    def kind(self, error: BaseException) -> str:
        """What curl calls an error: its classes are all one."""
        code = error.args[0] if error.args else None
        return self.kinds.get(code, "") if type(code) is int else ""


def instrument(module: Any) -> Callable[[], object]:
    """Have the transfers counted of the handles that are made from now on: of `pycurl`."""
    patches = Patches()
    reader = Reader(module)
    for plain, methods in (
        (module.Curl, _handle(module.Curl, reader)),
        (module.CurlMulti, _handles(module.CurlMulti, reader)),
    ):
        patches.bound(plain, stand_in(plain, methods))
    return patches.end


def _handle(plain: Any, reader: Reader) -> dict[str, Any]:
    """Methods of a handle: it transfers, and waits for that."""

    def made(perform: Any) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = reader.begun(self)
            if call is None:
                return perform(self, *args, **kwargs)
            token = covered.set(True)
            call.enter()
            try:
                answer = perform(self, *args, **kwargs)
            except BaseException as error:
                reader.ended(call, self, error)
                raise
            finally:
                uncover(token)
            reader.ended(call, self)
            return answer

        return method

    names = ("perform", "perform_rb", "perform_rs")
    return {name: made(getattr(plain, name)) for name in names if hasattr(plain, name)}


def _handles(plain: Any, reader: Reader) -> dict[str, Any]:
    """Methods of what has several handles transfer at once, while its user does other things."""
    #: The calls under way, by the handle whose they are.
    calls: weakref.WeakKeyDictionary[Any, Call] = weakref.WeakKeyDictionary()

    def over(handle: Any, error: BaseException | None) -> None:
        call = calls.pop(handle, None)
        if call is not None:
            call.enter()  # for the step
            reader.ended(call, handle, error)

    def add_handle(self: Any, handle: Any) -> Any:
        answer = plain.add_handle(self, handle)
        call = reader.begun(handle)
        if call is not None:
            calls[handle] = call
        return answer

    def remove_handle(self: Any, handle: Any) -> Any:
        call = calls.pop(handle, None)
        if call is not None:
            call.dropped()
        return plain.remove_handle(self, handle)

    def info_read(self: Any, *args: Any) -> Any:
        answer = plain.info_read(self, *args)
        try:
            for handle in answer[1]:
                over(handle, None)
            for handle, code, *_ in answer[2]:
                over(handle, reader.module.error(code))
        except Exception as error:
            failed(LIBRARY, error)
        return answer

    waits = ("perform", "select", "socket_action", "socket_all")
    return {
        "add_handle": add_handle,
        "remove_handle": remove_handle,
        "info_read": info_read,
        **{name: layered(getattr(plain, name)) for name in waits if hasattr(plain, name)},
    }
