"""Page handlers: what a dispatcher puts in `request.handler`, and why a call did not match.

Law: arguments live on the request, so a tool sees and may change them until the call.
"""

from __future__ import annotations

from types import AsyncGeneratorType, CoroutineType
from typing import TYPE_CHECKING, Any

from ..errors import HTTPError
from ..serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ("LateParamPageHandler", "PageHandler", "test_callable_spec")


class PageHandler:
    """Calls a page with the request's positional and keyword arguments.

    Args:
        callable: the page: a function, method, class or instance with `__call__`.
        args, kwargs: its arguments; kept as `request.args` and `request.kwargs`.
    """

    callable: Callable[..., Any]

    def __init__(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.callable = callable
        request = serving.request
        request.args = args
        request.kwargs = kwargs

    @property
    def args(self) -> Any:
        """The positional arguments of the page: `request.args`."""
        return serving.request.args

    @args.setter
    def args(self, args: Any) -> None:
        serving.request.args = args

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments of the page: `request.kwargs`."""
        kwargs: dict[str, Any] = serving.request.kwargs
        return kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Any]) -> None:
        serving.request.kwargs = kwargs

    def __call__(self) -> Any:
        """Call the page.

        Raises:
            HTTPError: 404 or 400 when the arguments do not fit the page's signature.
        """
        try:
            if type(self) is LateParamPageHandler and not self._kwargs:
                request = serving.request
                # The call itself makes a dict of its own.
                result = self.callable(*request.args, **request.params)
            else:
                result = self.callable(*self.args, **self.kwargs)
        except TypeError as exc:
            self.blame(exc)
            raise
        if type(result) in AWAITED:
            return awaited(self, result)
        return result

    def blame(self, error: TypeError) -> None:
        """Find out whether a call failed of its arguments. Raises HTTPError if it did."""
        try:
            test_callable_spec(self.callable, self.args, self.kwargs)
        except HTTPError as mismatch:
            raise mismatch from error
        except Exception:  # no signature to be had: the page's own error says more
            pass


#: What a page gives that has yet to run, on the event loop.
AWAITED = frozenset((CoroutineType, AsyncGeneratorType))


def awaited(handler: PageHandler, made: Any) -> Any:
    """Return what comes of a coroutine or an asynchronous generator that a page has given."""
    from ..coroutines import result_of  # loads asyncio, which few programs need

    return result_of(handler, made)


class LateParamPageHandler(PageHandler):
    """A page handler whose keyword arguments are `request.params` at the time of the call.

    Dispatch happens before the request body is read, so its parameters come late.
    """

    _kwargs: dict[str, Any] | None = None

    def __init__(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.callable = callable
        serving.request.args = args
        if kwargs:
            self.kwargs = kwargs

    @property
    def kwargs(self) -> dict[str, Any]:
        """A fresh dict: the request's parameters, and those set here over them."""
        kwargs: dict[str, Any] = serving.request.params.copy()
        if self._kwargs:
            kwargs.update(self._kwargs)
        return kwargs

    @kwargs.setter
    def kwargs(self, kwargs: dict[str, Any]) -> None:
        serving.request.kwargs = kwargs
        self._kwargs = kwargs


def late_handler(callable: Callable[..., Any], args: Any) -> LateParamPageHandler:
    """Return `LateParamPageHandler(callable, *args)`, made without the detour through `__init__`."""
    handler = _new(LateParamPageHandler)
    handler.callable = callable
    serving.request.args = args
    return handler


_new = object.__new__


def test_callable_spec(
    callable: Callable[..., Any], callable_args: Iterable[Any], callable_kwargs: Mapping[str, Any]
) -> None:
    """Return if a call with these arguments would fit the signature of `callable`.

    Raises:
        HTTPError: 404 for what the URL is to blame for, 400 for what the body is. The message
            names the parameters if `request.show_mismatched_params` is on.
    """
    positional, names, required, var_args, var_kwargs = _spec(callable)
    args = tuple(callable_args)
    given = positional[: len(args)]
    # Keyword arguments can fill what the positional ones have not, but positional-only ones.
    missing = [
        name
        for name in required
        if name not in given and (name not in callable_kwargs or name not in names)
    ]
    if missing:
        # The resource does not exist under this URL, hence not 400.
        raise _mismatch(404, "Missing parameters", [",".join(missing)])
    if len(args) > len(positional) and not var_args:
        raise HTTPError(404)
    body_params = getattr(serving.request.body, "params", None) or {}
    twice = [name for name in callable_kwargs if name in given and name in names]
    if twice:
        status = 400 if any(name in body_params for name in twice) else 404
        raise _mismatch(status, "Multiple values for parameters", twice)
    own = _own_name(callable)
    extra = [
        name for name in callable_kwargs if name == own or (name not in names and not var_kwargs)
    ]
    in_query = [name for name in extra if name not in body_params]
    if in_query:
        raise _mismatch(404, "Unexpected query string parameters", in_query)
    if extra:
        raise _mismatch(400, "Unexpected body parameters", extra)


test_callable_spec.__test__ = False  # type: ignore[attr-defined]  # a name that pytest collects


def _mismatch(status: int, what: str, names: Iterable[str]) -> HTTPError:
    if getattr(serving.request, "show_mismatched_params", False):
        return HTTPError(status, f"{what}: {', '.join(names)}")
    return HTTPError(status)


def _own_name(callable: Callable[..., Any]) -> str | None:
    """Return what a bound method calls its `self`, if a keyword of that name would clash."""
    code = getattr(getattr(callable, "__func__", None), "__code__", None)
    if code is None or code.co_posonlyargcount or not code.co_argcount:
        return None
    name: str = code.co_varnames[0]
    return name


def _spec(
    callable: Callable[..., Any],
) -> tuple[list[str], set[str], list[str], bool, bool]:
    """Return the parameters of a callable, leaving out those a bound method fills itself.

    That is: the positional ones, those that a keyword can give, those without a default, and
    whether it takes any number of positional and of keyword arguments.

    Raises:
        ValueError, TypeError: it has no signature (some builtins).
    """
    import inspect

    positional: list[str] = []
    names: set[str] = set()
    required: list[str] = []
    var_args = var_kwargs = False
    # Wrappers are not followed: what counts is what the call itself accepts.
    signature = inspect.signature(callable, follow_wrapped=False)
    for name, parameter in signature.parameters.items():
        kind = parameter.kind
        if kind is parameter.VAR_POSITIONAL:
            var_args = True
        elif kind is parameter.VAR_KEYWORD:
            var_kwargs = True
        else:
            if kind is not parameter.KEYWORD_ONLY:
                positional.append(name)
            if kind is not parameter.POSITIONAL_ONLY:
                names.add(name)
            if parameter.default is parameter.empty:
                required.append(name)
    return positional, names, required, var_args, var_kwargs
