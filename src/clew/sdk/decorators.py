"""
`@clew.traced`: a span for each call of a function, coroutine, generator or async generator.

The wrapper is of the same sort as what it wraps, so frameworks that ask (FastAPI does) see no
difference, except that generators come out of a plain function, because their parent is taken
at the call and not at the first step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, overload

from clew.sdk.ambient import NO_PARENT, parent_of
from clew.sdk.calls import Call, Parameters
from clew.sdk.faults import internal
from clew.sdk.generators import drive, drive_async
from clew.sdk.outbox import outbox
from clew.sdk.span import NO_NAME, NOTHING, ActiveSpan, leave_anyway, nothing_span

F = TypeVar("F", bound=Callable[..., Any])


class Recipe:
    """What the spans of one traced function have in common."""

    __slots__ = ("attributes", "capture_outputs", "kind", "name", "parameters", "parent")

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        kind: str,
        parent: Any,
        capture_inputs: bool,
        capture_outputs: bool,
        attributes: dict[str, Any],
    ) -> None:
        named = name is not None and name is not NO_NAME
        self.name: Any = name if named else getattr(function, "__name__", None) or type(function).__name__
        self.kind = kind
        self.parent = parent
        self.parameters = Parameters(function) if capture_inputs else None
        self.capture_outputs = capture_outputs
        self.attributes = attributes

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ActiveSpan:
        """Make the span of one call."""
        inputs = self.call(args, kwargs) if self.parameters is not None else None
        span = ActiveSpan(self.name, kind=self.kind, parent=self.parent, inputs=inputs)
        if self.attributes:
            span.set_attributes(self.attributes)
        return span

    def prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], ActiveSpan]:
        """Fix parent and inputs now, and give what makes the span later: at a generator's first step."""
        call = self.call(args, kwargs)
        above = parent_of(self.parent)
        parent = NO_PARENT if above is None else above

        def begin() -> ActiveSpan:
            span = ActiveSpan(self.name, kind=self.kind, parent=parent, inputs=call)
            if self.attributes:
                span.set_attributes(self.attributes)
            return span

        return begin

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """The inputs, unless tracing is off; before the first span it is not known to be."""
        parameters = self.parameters
        if parameters is None or not (args or kwargs or parameters.defaults):
            return None
        if outbox.settled and not outbox.recording:
            return None
        try:
            return Call(parameters, args, kwargs)
        except Exception as error:
            outbox.complain("call", f"the inputs of {self.name} were not kept: {error!r:.300}")
            return None


@overload
def traced(function: F, /) -> F: ...


@overload
def traced(
    name: str | None = None,
    /,
    *,
    kind: str = "chain",
    parent: Any = None,
    capture_inputs: bool = True,
    capture_outputs: bool = True,
    **attributes: Any,
) -> Callable[[F], F]: ...


def traced(
    name: Any = None,
    /,
    *,
    kind: str = "chain",
    parent: Any = None,
    capture_inputs: bool = True,
    capture_outputs: bool = True,
    **attributes: Any,
) -> Any:
    """
    Trace every call of a function: `@traced`, `@traced("name")`, `@traced(kind="retrieval", top_k=5)`.

    Inputs are the arguments by name, without `self`; outputs are what is returned. A generator's
    span lasts from its first step to its end, however that comes; its outputs are what it
    yielded, joined if it is text. The function's own behaviour, exceptions included, is untouched.
    """

    def decorate(function: Any) -> Any:
        try:
            if isinstance(function, (staticmethod, classmethod)):
                return type(function)(decorate(function.__func__))
            recipe = Recipe(
                function,
                name=named,
                kind=kind,
                parent=parent,
                capture_inputs=capture_inputs,
                capture_outputs=capture_outputs,
                attributes=attributes,
            )
            return _wrapped(function, recipe)
        except Exception as fault:
            internal(fault)
            return function  # Better untraced than not there.

    named: Any = None
    try:
        if callable(name) or isinstance(name, (staticmethod, classmethod)):
            return decorate(name)
        named = name if name is not None else attributes.pop("name", None)
    except Exception as fault:
        internal(fault)
        if name is not None and not isinstance(name, str):
            return name
    return decorate


def _wrapped(function: Any, recipe: Recipe) -> Any:
    import inspect

    if inspect.isasyncgenfunction(function):
        wrapper = _around_async_generator(function, recipe)
    elif inspect.isgeneratorfunction(function):
        wrapper = _around_generator(function, recipe)
    elif inspect.iscoroutinefunction(function):
        wrapper = _around_coroutine(function, recipe)
    else:
        wrapper = _around_function(function, recipe)
    return wraps(function)(wrapper)


def _around_function(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    capture = recipe.capture_outputs

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        # As `with recipe.begin(...)`, but that nothing of it can keep the function from its caller.
        span = NOTHING
        try:
            span = recipe.begin(args, kwargs)
            span.__enter__()
        except Exception as fault:
            internal(fault)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            try:
                span.__exit__(type(error), error, None)
            except BaseException as fault:
                leave_anyway(span, fault)
            raise
        try:
            if capture and result is not None:
                span.outputs = result
            span.__exit__(None, None, None)
        except BaseException as fault:
            leave_anyway(span, fault)
        return result

    return wrapper


def _around_coroutine(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    capture = recipe.capture_outputs

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        # As `with recipe.begin(...)`, but that nothing of it can keep the function from its caller.
        span = NOTHING
        try:
            span = recipe.begin(args, kwargs)
            span.__enter__()
        except Exception as fault:
            internal(fault)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            try:
                span.__exit__(type(error), error, None)
            except BaseException as fault:
                leave_anyway(span, fault)
            raise
        try:
            if capture and result is not None:
                span.outputs = result
            span.__exit__(None, None, None)
        except BaseException as fault:
            leave_anyway(span, fault)
        return result

    return wrapper


def _around_generator(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        begin: Callable[..., ActiveSpan] = nothing_span
        try:
            begin = recipe.prepare(args, kwargs)
        except Exception as fault:
            internal(fault)
        return drive(generator, begin, capture=recipe.capture_outputs)

    return wrapper


def _around_async_generator(function: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        begin: Callable[..., ActiveSpan] = nothing_span
        try:
            begin = recipe.prepare(args, kwargs)
        except Exception as fault:
            internal(fault)
        return drive_async(generator, begin, capture=recipe.capture_outputs)

    return wrapper
