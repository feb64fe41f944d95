"""
LangSmith's `traceable`: a run for each call of a function, coroutine, generator or stream.

As with `clew.traced`, generators come out of a plain function, because their parent is taken at
the call and not at the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final, TypeVar, overload

from clew.sdk.faults import harmless, internal, once_more
from clew.sdk.generators import drive, drive_async
from clew.sdk.run_calls import RunCall, RunRecipe
from clew.sdk.run_context import complain_of
from clew.sdk.run_streams import AsyncStream, Stream, TracedAsyncIterator, TracedIterator
from clew.sdk.span import NOTHING, ActiveSpan, leave_anyway

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Final = (
    "name", "metadata", "tags", "reduce_fn", "process_inputs", "process_outputs", "process_chunk", "enabled",
    "exceptions_to_handle", "project_name",
)  # fmt: skip
_SERVICE: Final = frozenset({"client", "address", "extra", "_invocation_params_fn", "dangerously_allow_filesystem"})
_WHOLE: Final = (str, bytes, list, tuple, dict, set, frozenset)
"""What can be iterated, but is no stream."""


@overload
def traceable(function: F, /, **options: Any) -> F: ...


@overload
def traceable(run_type: str = "chain", /, **options: Any) -> Callable[[F], F]: ...


def traceable(*args: Any, **options: Any) -> Any:
    """
    Trace every call of a function: `@traceable`, `@traceable("llm")`, `@traceable(run_type="tool", name="search")`.

    Options: *name*, *metadata*, *tags*, *reduce_fn* (of a stream's items), *process_inputs*,
    *process_outputs*, *process_chunk* (what is kept instead of what was), *enabled*,
    *exceptions_to_handle* (which are no failure), *project_name*. A call takes `langsmith_extra=`.
    """
    run_type: Any = "chain"
    known: dict[str, Any] = {}

    def decorate(function: Any) -> Any:
        try:
            if isinstance(function, (staticmethod, classmethod)):
                return type(function)(decorate(function.__func__))
            return _wrapped(function, RunRecipe(function, run_type, known))
        except Exception as fault:
            internal(fault)
            return _untraced(function)

    function = args[0] if args and type(args[0]) is not str else None
    try:
        if isinstance(function, str):
            function = None
        given = args[0] if args and function is None else options.pop("run_type", None)
        options.pop("run_type", None)
        run_type = "chain" if given is None or given == "" else given
        known = {name: options.pop(name, None) for name in _OPTIONS}
        complain_of("traceable", options, _SERVICE)
    except Exception as fault:
        internal(fault)
        known = {**dict.fromkeys(_OPTIONS), **known}
    try:
        return decorate if function is None else decorate(function)
    except Exception as fault:
        internal(fault)
        return _untraced(function)


def _untraced(function: Any) -> Any:
    """Better untraced than not there; it still takes what callers of a traceable function may give."""
    if isinstance(function, (staticmethod, classmethod)):
        return function

    def untraced(*args: Any, langsmith_extra: Any = None, **kwargs: Any) -> Any:  # noqa: ARG001
        return function(*args, **kwargs)

    return untraced


@harmless(lambda: False)
def is_traceable_function(function: Any) -> bool:
    """Whether `traceable` made it, or what a partial or an object would call."""
    candidates = (function, getattr(function, "func", None), getattr(function, "__call__", None))  # noqa: B004
    return any(getattr(each, "__langsmith_traceable__", False) for each in candidates)


def ensure_traceable(function: Any, **options: Any) -> Any:
    """Give *function* back if it is traceable, else made so."""
    try:
        return function if is_traceable_function(function) else traceable(**options)(function)
    except Exception as fault:
        internal(fault)
        return function


def _wrapped(function: Any, recipe: RunRecipe) -> Any:
    import inspect

    streams = recipe.options["reduce_fn"] is not None
    inner = getattr(function, "__wrapped__", function)
    if inspect.isasyncgenfunction(function):
        wrapper = _around_async_generator(recipe)
    elif inspect.isgeneratorfunction(function):
        wrapper = _around_generator(recipe)
    elif inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inner):
        wrapper = (_around_async_stream if streams else _around_coroutine)(function, recipe)
    else:
        wrapper = (_around_stream if streams else _around_function)(function, recipe)
    made: Any = wraps(function)(wrapper)
    made.__langsmith_traceable__ = True
    return made


def _around_function(function: Callable[..., Any], recipe: RunRecipe) -> Callable[..., Any]:
    def wrapper(*args: Any, langsmith_extra: Any = None, **kwargs: Any) -> Any:
        # As a `with` of the run, but that nothing of it can keep the function from its caller.
        span, call = NOTHING, None
        try:
            call = recipe.call(args, kwargs, langsmith_extra)
            run = call.begin()
            kwargs = call.kwargs
            if run is not None:
                span = run._span
                span.__enter__()
        except Exception as fault:
            kwargs = recipe.untraced(args, kwargs, fault)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            try:
                _over(call, span, None, error)
            except BaseException as fault:
                leave_anyway(span, fault)
            raise
        try:
            _over(call, span, result, None)
        except BaseException as fault:
            leave_anyway(span, fault)
        return result

    return wrapper


def _around_coroutine(function: Callable[..., Any], recipe: RunRecipe) -> Callable[..., Any]:
    async def wrapper(*args: Any, langsmith_extra: Any = None, **kwargs: Any) -> Any:
        # As a `with` of the run, but that nothing of it can keep the function from its caller.
        span, call = NOTHING, None
        try:
            call = recipe.call(args, kwargs, langsmith_extra)
            run = call.begin()
            kwargs = call.kwargs
            if run is not None:
                span = run._span
                span.__enter__()
        except Exception as fault:
            kwargs = recipe.untraced(args, kwargs, fault)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            try:
                _over(call, span, None, error)
            except BaseException as fault:
                leave_anyway(span, fault)
            raise
        try:
            _over(call, span, result, None)
        except BaseException as fault:
            leave_anyway(span, fault)
        return result

    return wrapper


def _around_generator(recipe: RunRecipe) -> Callable[..., Any]:
    def wrapper(*args: Any, langsmith_extra: Any = None, **kwargs: Any) -> Any:
        try:
            call = recipe.call(args, kwargs, langsmith_extra).fix_parent()
            stream: Any = Stream(call, _made(call))
            begin = stream.begin
        except Exception as fault:
            return recipe.function(*args, **recipe.untraced(args, kwargs, fault))
        return drive(stream, begin, capture=False)

    return wrapper


def _around_async_generator(recipe: RunRecipe) -> Callable[..., Any]:
    def wrapper(*args: Any, langsmith_extra: Any = None, **kwargs: Any) -> Any:
        try:
            call = recipe.call(args, kwargs, langsmith_extra).fix_parent()
            stream: Any = AsyncStream(call, _made(call))
            begin = stream.begin
        except Exception as fault:
            return recipe.function(*args, **recipe.untraced(args, kwargs, fault))
        return drive_async(stream, begin, capture=False)

    return wrapper


def _over(call: RunCall | None, span: ActiveSpan, result: Any, error: BaseException | None) -> None:
    """The call has ended: hand over what came of it, and leave the span."""
    if call is not None:
        call.finish(result, error)
        span.__exit__(type(error) if error is not None else None, error, None)
        call.close()


def _made(call: RunCall) -> Callable[[], Any]:
    """Make the generator when the run is there, which the function may want as an argument."""
    return lambda: call.recipe.function(*call.args, **call.kwargs)


def _around_stream(function: Callable[..., Any], recipe: RunRecipe) -> Callable[..., Any]:
    def wrapper(*args: Any, langsmith_extra: Any = None, **kwargs: Any) -> Any:
        call, calling = None, None
        try:
            call = recipe.call(args, kwargs, langsmith_extra)
            run = call.begin()
            kwargs = call.kwargs
            if run is not None:
                calling = _Calling(call)
                calling.__enter__()
        except Exception as fault:
            kwargs = recipe.untraced(args, kwargs, fault)
        if call is None or calling is None:
            return function(*args, **kwargs)
        try:
            returned = function(*args, **kwargs)
        except BaseException as error:
            try:
                calling.__exit__(type(error), error, None)
            except BaseException as fault:
                once_more(calling.leave, fault)
            raise
        try:
            calling.__exit__(None, None, None)
        except BaseException as fault:
            once_more(calling.leave, fault)
        try:
            return _streamed(call, returned, to_await=False)
        except Exception as fault:
            internal(fault)
            return returned

    return wrapper


def _around_async_stream(function: Callable[..., Any], recipe: RunRecipe) -> Callable[..., Any]:
    async def wrapper(*args: Any, langsmith_extra: Any = None, **kwargs: Any) -> Any:
        call, calling = None, None
        try:
            call = recipe.call(args, kwargs, langsmith_extra)
            run = call.begin()
            kwargs = call.kwargs
            if run is not None:
                calling = _Calling(call)
                calling.__enter__()
        except Exception as fault:
            kwargs = recipe.untraced(args, kwargs, fault)
        if call is None or calling is None:
            return await function(*args, **kwargs)
        try:
            returned = await function(*args, **kwargs)
        except BaseException as error:
            try:
                calling.__exit__(type(error), error, None)
            except BaseException as fault:
                once_more(calling.leave, fault)
            raise
        try:
            calling.__exit__(None, None, None)
        except BaseException as fault:
            once_more(calling.leave, fault)
        try:
            return _streamed(call, returned, to_await=True)
        except Exception as fault:
            internal(fault)
            return returned

    return wrapper


class _Calling:
    """Makes a call's run current while the function runs; its span goes on when that has returned a stream."""

    def __init__(self, call: RunCall) -> None:
        from clew.sdk.context import tracing_context

        self._call = call
        self._context = tracing_context(call.run)

    def __enter__(self) -> None:
        self._context.__enter__()

    def leave(self) -> None:
        """Have it current no more."""
        self._context.__exit__(None, None, None)

    def __exit__(self, exc_type: Any, exc: BaseException | None, traceback: Any) -> None:
        self._context.__exit__(exc_type, exc, traceback)
        if exc is not None and (run := self._call.run) is not None:
            self._call.finish(None, exc)
            run._span.__exit__(exc_type, exc, traceback)
            self._call.close()


def _streamed(call: RunCall, returned: Any, *, to_await: bool) -> Any:
    """Give the function's result, traced as it is iterated if it is a stream; otherwise the run is over."""
    if isinstance(returned, _WHOLE) or not (hasattr(returned, "__iter__") or hasattr(returned, "__aiter__")):
        call.finish(call.reduced(list(returned)) if isinstance(returned, (list, tuple)) else returned)
        call.close()
        return returned
    # Some clients' streams are both; the function says which is meant.
    if hasattr(returned, "__aiter__") and (to_await or not hasattr(returned, "__iter__")):
        return TracedAsyncIterator(AsyncStream(call, partial(aiter_of, returned)), returned)
    return TracedIterator(Stream(call, partial(iter, returned)), returned)


def aiter_of(returned: Any) -> Any:
    """Give the iterator of *returned*, as `aiter` does: not `await`ed, and not the object itself."""
    return returned.__aiter__()
