"""
What LangSmith's `tracing_context` sets for the runs inside, and how a run begins with it.

As in LangSmith, runs inherit the metadata and the tags of what they run in: the current run's, or
the innermost `tracing_context`'s if that stands further in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from itertools import islice
from types import TracebackType
from typing import Any, Final, TypeVar

from clew.sdk.ambient import NO_PARENT, SUPPRESSED, current, parent_of
from clew.sdk.context import tracing_context as span_context
from clew.sdk.faults import harmless, internal, nothing, once_more
from clew.sdk.kept import is_a
from clew.sdk.outbox import outbox
from clew.sdk.run_parents import baggage_of, parent_span
from clew.sdk.run_payload import id_of, mapping_of, shown, tags_of, text_of
from clew.sdk.run_settings import Placed, Settings, place, settings_here, take_away
from clew.sdk.runs import RUNS, RunTree, current_run, new_run, no_run

F = TypeVar("F", bound=Callable[..., Any])


MANY: Final = 100
_OWN: Final = frozenset({"usage_metadata", "reference_example_id"})
_SILENT: Final = frozenset({"client", "replicas", "address", "distributed_parent_id", "attachments", "run_extra"})


def inherited() -> tuple[Mapping[str, Any], list[str]]:
    """Give the metadata and the tags that a run begins with here."""
    settings = settings_here()
    found = current()
    if settings is None or settings.span is not found:
        run = RUNS.get(found._span) if found is not None else None
        if run is not None:
            return handed_down(run), run.tags_below
    return (settings.metadata, settings.tags) if settings is not None else ({}, [])


def enabled() -> bool:
    """Whether runs are made here."""
    settings = settings_here()
    return settings is None or settings.enabled is not False


def handed_down(run: RunTree | None) -> dict[str, Any]:
    """
    Give the metadata that runs inside of *run* inherit.

    Facts about the run itself are not among it: a tool that a model calls has not the model's name and tokens.
    """
    if run is None or not run.metadata:
        return {}
    return {key: value for key, value in run.metadata.items() if key not in _OWN and not str(key).startswith("ls_")}


def begin(
    name: Any,
    run_type: Any,
    *,
    outer: Mapping[str, Any],
    parent: Any = None,
    inputs: Any = None,
    metadata: Any = None,
    fixed: Any = None,
    tags: list[str],
    run_id: Any = None,
    project: str | None = None,
) -> RunTree:
    """
    Begin a run, with what it inherits: *outer*.

    As in LangSmith, inherited metadata wins over *metadata*, and *fixed* over both. *tags* are whole.
    """
    above = parent_span(parent)
    beside = RUNS.get(getattr(above, "_span", 0)) if above is not None else None
    merged = {**handed_down(beside), **mapping_of(metadata), **outer, **mapping_of(fixed)}
    if project is None and (settings := settings_here()) is not None:
        project = settings.project
    return new_run(
        name, run_type, parent=above, inputs=inputs, metadata=merged, tags=tags, run_id=run_id, project=project
    )


def complain_of(where: str, given: Any, known: frozenset[str] = frozenset()) -> None:
    """Say once of each that it was ignored; of what only LangSmith's service has a use for, nothing."""
    try:
        for name in islice(given, MANY):
            if name not in known and name not in _SILENT:
                outbox.complain(f"{where}:{name!r:.60}", f"{where} does not know {name!r:.60}; it was ignored")
    except Exception as error:
        outbox.complain(where, f"the arguments of {where} could not be read: {type(error).__name__}")


class tracing_context:  # noqa: N801  LangSmith's name
    """
    Set the parent, and what runs inherit, for a `with`.

    Or for each call of a function that it decorates. *parent* is whatever `parent=` may be
    elsewhere; None leaves the current one, False begins new traces. *enabled*=False makes no runs
    inside; Clew's own spans are made all the same.
    """

    def __init__(
        self,
        *,
        project_name: str | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        parent: Any = None,
        enabled: bool | None = None,
        **more: Any,
    ) -> None:
        self._given = (metadata, tags, enabled, project_name)
        self._parent = parent
        self._context: Any = None
        self._placed: Placed | None = None
        try:
            above = more.pop("parent_run", None)
            self._parent = above if parent is None else parent
            complain_of("tracing_context", more)
        except Exception as fault:
            internal(fault)

    def __call__(self, function: F) -> F:
        """
        Decorate a function: each call runs in a `with` of its own, and of a coroutine all of it.

        An async generator function is left as it is but for the making of the generator.
        """
        import inspect

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def in_context(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

        elif inspect.isgeneratorfunction(function):

            @wraps(function)
            def in_context(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return (yield from function(*args, **kwargs))

        else:

            @wraps(function)
            def in_context(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return function(*args, **kwargs)

        return in_context  # type: ignore[return-value]

    def _again(self) -> tracing_context:
        metadata, tags, enabled, project = self._given
        return tracing_context(parent=self._parent, metadata=metadata, tags=tags, enabled=enabled, project_name=project)

    def __enter__(self) -> None:
        try:
            above = parent_span(self._parent)
            metadata, tags = self._inherited(above)
            given_metadata, given_tags, wanted, project = self._given
            before = settings_here()
            self._context = span_context(above)
            self._context.__enter__()
            self._placed = place(
                Settings(
                    {**metadata, **mapping_of(given_metadata)},
                    sorted({*tags, *tags_of(given_tags)}),
                    wanted if wanted is not None or before is None else before.enabled,
                    text_of(project),
                    current(),
                ),
                self._context.hold,
            )
        except Exception as error:
            outbox.complain("tracing_context", f"tracing_context was not set as a whole: {shown(error)}")
        except BaseException as fault:
            once_more(self._leave, fault)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._leave()
        except BaseException as fault:
            once_more(self._leave, fault)

    def _leave(self) -> None:
        if self._placed is not None:
            take_away(self._placed)
            self._placed = None
        if self._context is not None:
            self._context.__exit__()
            self._context = None

    def _inherited(self, above: Any) -> tuple[Mapping[str, Any], list[str]]:
        """What the parent hands down: it runs here, or wrote it into its headers."""
        if above is NO_PARENT:
            return {}, []
        if above is None:
            return inherited()
        if is_a(self._parent, Mapping):
            baggage = baggage_of(self._parent)
            return baggage.metadata, baggage.tags
        run = RUNS.get(getattr(parent_of(above), "_span", 0))
        return handed_down(run), tags_of(run.tags) if run is not None else []


class trace:  # noqa: N801  LangSmith's name
    """
    A run for a `with` or an `async with`, which gives its `RunTree`.

    An exception that leaves it is the run's error, unless it is one of *exceptions_to_handle*;
    it goes on untouched in either case. With *_end_on_exit*=False the run stays open when the `with`
    is left, to be ended by its `end()` and sent by its `patch()`.
    """

    def __init__(
        self,
        name: str,
        run_type: str = "chain",
        *,
        inputs: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
        project_name: str | None = None,
        parent: Any = None,
        tags: list[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        run_id: Any = None,
        reference_example_id: Any = None,
        exceptions_to_handle: tuple[type[BaseException], ...] | None = None,
        **more: Any,
    ) -> None:
        self.name = name
        self.run_type = run_type
        self.inputs = inputs
        self.extra = extra
        self.project_name = project_name
        self.parent = parent
        self._stays_open = False
        self.tags = tags
        self.metadata = metadata
        self.run_id = run_id
        self.reference_example_id = reference_example_id
        self.exceptions_to_handle = exceptions_to_handle
        self.new_run: RunTree | None = None
        self._current: Any = None
        try:
            above = more.pop("run_tree", None)
            self.parent = above if parent is None else parent
            self._stays_open = not more.pop("_end_on_exit", True)
            complain_of("trace", more)
        except Exception as fault:
            internal(fault)

    # The span is entered in a function of this name, which the rules for generators see through.
    def __enter__(self) -> RunTree:
        try:
            self.new_run = run = self._begin()
            self._current = span_context(run) if self._stays_open and run._span else run._span
            self._current.__enter__()
            return run  # noqa: TRY300  a fault in any of it gives the same
        except Exception as fault:
            internal(fault)
            return self.new_run or no_run(self.name, self.run_type, self.inputs)

    async def __aenter__(self) -> RunTree:
        try:
            self.new_run = run = self._begin()
            self._current = span_context(run) if self._stays_open and run._span else run._span
            self._current.__enter__()
            return run  # noqa: TRY300  a fault in any of it gives the same
        except Exception as fault:
            internal(fault)
            return self.new_run or no_run(self.name, self.run_type, self.inputs)

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            self._leave(exc)
        except BaseException as fault:
            once_more(partial(self._leave, exc), fault)

    def _leave(self, exc: BaseException | None) -> None:
        run = self.new_run
        if run is None or self._current is None:
            return
        failed = exc is not None and not is_handled(exc, self.exceptions_to_handle)
        if self._stays_open:
            self._current.__exit__()
            run.left_open(exc if failed else None)
        elif failed and exc is not None:
            run.raised(exc)
            run.finish(exc)
            self._current.__exit__(type(exc), exc, None)
        else:
            run.finish(None)
            self._current.__exit__(None, None, None)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            self._leave(exc)
        except BaseException as fault:
            once_more(partial(self._leave, exc), fault)

    def _begin(self) -> RunTree:
        try:
            if not enabled():
                return no_run(self.name, self.run_type, self.inputs)
            metadata = {**mapping_of(self.metadata)}
            if (example := id_of(self.reference_example_id)) is not None:
                metadata["reference_example_id"] = example
            outer, outer_tags = inherited()
            return begin(
                self.name,
                self.run_type,
                outer=outer,
                parent=self.parent,
                inputs=self.inputs,
                metadata=metadata,
                tags=sorted({*tags_of(self.tags), *outer_tags}),
                run_id=self.run_id,
                project=text_of(self.project_name),
            )
        except Exception as error:
            outbox.complain("trace", f"a run was not traced: {shown(error)}")
            return no_run(self.name, self.run_type, self.inputs)


def is_handled(error: BaseException, handled: Any) -> bool:
    """Whether *error* is one that the user does not count as a failure."""
    try:
        return bool(handled) and isinstance(error, handled)
    except Exception as problem:
        outbox.complain("exceptions_to_handle", f"exceptions_to_handle was ignored: {shown(problem)}")
        return False


@harmless(dict)
def get_tracing_context(context: Any = None) -> dict[str, Any]:
    """Give what is set here, as the arguments of `tracing_context`. *context* is a copied one, or None for this."""
    if context is not None:
        return context.copy().run(get_tracing_context)  # type: ignore[no-any-return]
    settings = settings_here()
    metadata, tags = inherited()
    return {
        "parent": current_run(),
        "project_name": settings.project if settings is not None else None,
        "tags": list(tags) or None,
        "metadata": dict(metadata) or None,
        "enabled": settings.enabled if settings is not None else None,
        "client": None,
        "replicas": None,
        "address": None,
        "distributed_parent_id": None,
    }


@harmless(nothing)
def set_run_metadata(**metadata: Any) -> None:
    """Add to the metadata of the current run; outside of any it is complained of once."""
    run = current_run()
    if run is None or current() is SUPPRESSED:
        outbox.complain("set_run_metadata", "set_run_metadata was called outside of any run, and did nothing")
    else:
        run.add_metadata(metadata)
