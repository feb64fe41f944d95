"""
What LangSmith's `tracing_context` sets for the runs inside, and how a run begins with it.

As in LangSmith, runs inherit the metadata and the tags of what they run in: the current run's, or
the innermost `tracing_context`'s if that stands further in.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final, NamedTuple

from clew.sdk.ambient import NO_PARENT, SUPPRESSED, current, parent_of
from clew.sdk.context import tracing_context as span_context
from clew.sdk.outbox import outbox
from clew.sdk.run_parents import baggage_of, parent_span
from clew.sdk.run_payload import id_of, mapping_of, shown, tags_of, text_of
from clew.sdk.runs import RUNS, RunTree, current_run, new_run, no_run


class Settings(NamedTuple):
    """What one `tracing_context` says."""

    metadata: dict[str, Any]
    tags: list[str]
    enabled: bool | None
    project: str | None
    span: Any
    """What was current right inside of it: runs under that inherit from here."""


SETTINGS: Final[ContextVar[Settings | None]] = ContextVar("clew_langsmith", default=None)
_OWN: Final = frozenset({"usage_metadata", "reference_example_id"})
_SILENT: Final = frozenset(
    {"client", "replicas", "address", "distributed_parent_id", "attachments", "_end_on_exit", "run_extra"}
)


def enabled() -> bool:
    """Whether runs are made here."""
    settings = SETTINGS.get()
    return settings is None or settings.enabled is not False


def inherited() -> tuple[Mapping[str, Any], list[str]]:
    """Give the metadata and the tags that a run begins with here."""
    settings = SETTINGS.get()
    found = current()
    if settings is None or settings.span is not found:
        run = RUNS.get(found._span) if found is not None else None
        if run is not None:
            return handed_down(run), run.tags_below
    return (settings.metadata, settings.tags) if settings is not None else ({}, [])


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
    if project is None and (settings := SETTINGS.get()) is not None:
        project = settings.project
    return new_run(
        name, run_type, parent=above, inputs=inputs, metadata=merged, tags=tags, run_id=run_id, project=project
    )


def complain_of(where: str, given: Any, known: frozenset[str] = frozenset()) -> None:
    """Say once of each that it was ignored; of what only LangSmith's service has a use for, nothing."""
    try:
        for name in given:
            if name not in known and name not in _SILENT:
                outbox.complain(f"{where}:{name!r:.60}", f"{where} does not know {name!r:.60}; it was ignored")
    except Exception as error:
        outbox.complain(where, f"the arguments of {where} could not be read: {type(error).__name__}")


class tracing_context:  # noqa: N801  LangSmith's name
    """
    Set the parent, and what runs inherit, for a `with`.

    *parent* is whatever `parent=` may be elsewhere; None leaves the current one, False begins new
    traces. *enabled*=False makes no runs inside; Clew's own spans are made all the same.
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
        self._parent = more.pop("parent_run", None) if parent is None else parent
        complain_of("tracing_context", more)
        self._context: Any = None
        self._before: Settings | None = None
        self._settings: Settings | None = None

    def __enter__(self) -> None:
        try:
            above = parent_span(self._parent)
            metadata, tags = self._inherited(above)
            self._context = span_context(above)
            self._context.__enter__()
            given_metadata, given_tags, wanted, project = self._given
            self._before = before = SETTINGS.get()
            self._settings = Settings(
                {**metadata, **mapping_of(given_metadata)},
                sorted({*tags, *tags_of(given_tags)}),
                wanted if wanted is not None or before is None else before.enabled,
                text_of(project),
                current(),
            )
            SETTINGS.set(self._settings)
        except Exception as error:
            outbox.complain("tracing_context", f"tracing_context was not set as a whole: {shown(error)}")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Like a span: what somebody else has set since then is not ours to undo.
        if self._settings is not None and SETTINGS.get() is self._settings:
            SETTINGS.set(self._before)
        if self._context is not None:
            self._context.__exit__(exc_type, exc, traceback)

    def _inherited(self, above: Any) -> tuple[Mapping[str, Any], list[str]]:
        """What the parent hands down: it runs here, or wrote it into its headers."""
        if above is NO_PARENT:
            return {}, []
        if above is None:
            return inherited()
        if isinstance(self._parent, Mapping):
            baggage = baggage_of(self._parent)
            return baggage.metadata, baggage.tags
        run = RUNS.get(getattr(parent_of(above), "_span", 0))
        return handed_down(run), tags_of(run.tags) if run is not None else []


class trace:  # noqa: N801  LangSmith's name
    """
    A run for a `with` or an `async with`, which gives its `RunTree`.

    An exception that leaves it is the run's error, unless it is one of *exceptions_to_handle*;
    it goes on untouched in either case.
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
        self.parent = more.pop("run_tree", None) if parent is None else parent
        self.tags = tags
        self.metadata = metadata
        self.run_id = run_id
        self.reference_example_id = reference_example_id
        self.exceptions_to_handle = exceptions_to_handle
        complain_of("trace", more)
        self.new_run: RunTree | None = None

    # The span is entered in a function of this name, which the rules for generators see through.
    def __enter__(self) -> RunTree:
        self.new_run = run = self._begin()
        run.__clew_span__.__enter__()
        return run

    async def __aenter__(self) -> RunTree:
        self.new_run = run = self._begin()
        run.__clew_span__.__enter__()
        return run

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        run = self.new_run
        if run is None:
            return
        if exc is not None and not is_handled(exc, self.exceptions_to_handle):
            run.raised(exc)
            run.finish(exc)
            run.__clew_span__.__exit__(exc_type, exc, traceback)
        else:
            run.finish(None)
            run.__clew_span__.__exit__(None, None, None)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

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


def get_tracing_context(context: Any = None) -> dict[str, Any]:
    """Give what is set here, as the arguments of `tracing_context`. *context* is a copied one, or None for this."""
    if context is not None:
        return context.copy().run(get_tracing_context)  # type: ignore[no-any-return]
    settings = SETTINGS.get()
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


def set_run_metadata(**metadata: Any) -> None:
    """Add to the metadata of the current run; outside of any it is complained of once."""
    run = current_run()
    if run is None or current() is SUPPRESSED:
        outbox.complain("set_run_metadata", "set_run_metadata was called outside of any run, and did nothing")
    else:
        run.add_metadata(metadata)
