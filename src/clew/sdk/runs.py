"""
LangSmith's RunTree as a face of a Clew span.

A run keeps what LangSmith's code reads back (metadata, tags, inputs, outputs as dicts) and hands
it to its span when that ends. The span is what is timed, nested and sent. A run that is only a
view, of a span that something else began, hands each change on at once and never ends the span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from datetime import datetime
from time import perf_counter_ns, time_ns
from typing import Any, Final
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

from clew.sdk.ambient import NO_PARENT, SUPPRESSED, SpanContext, current, parent_of
from clew.sdk.faults import harmless, nothing
from clew.sdk.kept import is_a
from clew.sdk.outbox import outbox
from clew.sdk.run_parents import (
    LOW,
    Baggage,
    baggage_of,
    dotted_part,
    given_uuid,
    headers_of,
    moment,
    parent_span,
    run_uuid,
)
from clew.sdk.run_payload import (
    RUN_TYPES,
    as_dict,
    attributes_of,
    id_of,
    kind_of,
    list_of,
    mapping_of,
    part_of,
    plain_of,
    shown,
    tags_of,
    text_of,
)
from clew.sdk.span import NOTHING, ActiveSpan, nothing_span

KEPT_CHILDREN: Final = 1000


def _now() -> datetime:
    return moment(time_ns())


RUNS: Final[WeakValueDictionary[int, RunTree]] = WeakValueDictionary()
"""The run of each span that has one, by span id, while somebody holds the run."""


_BLANK: Final[dict[str, Any]] = {
    "_managed": False,
    "is_view": False,
    "_done": True,
    "_keeps_outputs": False,
    "_ended_at": 0,
    "_left_at": 0,
    **dict.fromkeys(("_inputs", "_outputs", "_error", "_raised", "_dotted", "_id", "_above", "session_name")),
    "_name": "Unnamed",
    "_type": "chain",
    "_started_ns": 0,
    "tags": [],
    "tags_below": [],
    "events": [],
    "child_runs": [],
    "client": None,
    "ls_client": None,
    "extra": {"metadata": {}},
    "_span": NOTHING,
}


class RunTree:
    """
    One step of a trace, in LangSmith's words. Made by `trace`, `traceable`, or by hand.

    By hand: `RunTree(name=..., inputs=...)`, then `end(outputs=...)` and `patch()`, which sends it.
    `post()` is not needed. Unknown arguments are ignored, as LangSmith does.
    """

    @harmless(nothing)
    def __init__(
        self,
        name: str | None = None,
        run_type: str = "chain",
        *,
        id: Any = None,  # noqa: A002  LangSmith's name for it
        parent_run: Any = None,
        inputs: Any = None,
        outputs: Any = None,
        extra: Any = None,
        tags: Any = None,
        start_time: datetime | None = None,
        error: str | None = None,
        project_name: str | None = None,
        **more: Any,
    ) -> None:
        self._become(
            name if name is not None else "Unnamed",
            run_type,
            parent=NO_PARENT if parent_run is None else parent_span(parent_run),
            inputs=None if inputs is None else as_dict(inputs),
            metadata={**part_of(extra, "metadata"), **mapping_of(more.get("metadata"))},
            tags=tags,
            run_id=id,
            project=text_of(project_name) or text_of(more.get("session_name")),
            start_time=start_time,
        )
        if outputs is not None:
            self.outputs = outputs
        self.error = error
        if (example := id_of(more.get("reference_example_id"))) is not None:
            self.metadata.setdefault("reference_example_id", example)

    def __getattr__(self, name: str) -> Any:
        """Give what a run that could not be begun has not got: it stands there, and does nothing."""
        if name not in _BLANK:
            raise AttributeError(f"RunTree has no attribute {name!r}")
        made = self.__dict__[name] = deepcopy(_BLANK[name])
        return made

    def _become(
        self,
        name: Any,
        run_type: Any,
        *,
        parent: Any = None,
        inputs: Any = None,
        metadata: Any = None,
        tags: Any = None,
        run_id: Any = None,
        project: str | None = None,
        start_time: datetime | None = None,
        span: Any = None,
    ) -> None:
        """Set everything. Without *span*, begin one under *parent*."""
        self._managed = span is not None
        self.is_view = span is not None
        """Its span was begun by something else, or lives in another process."""
        self._done = False
        self._keeps_outputs = False
        self._ended_at = 0
        self._left_at = 0
        self._inputs: dict[str, Any] | None = None
        self._outputs: dict[str, Any] | None = None
        self._error: str | None = None
        self._raised: str | None = None
        self._dotted: str | None = None
        self._name = name
        self._type = run_type
        self._id: UUID | None = given_uuid(run_id)
        self._above: Any = None
        self._started_ns = time_ns()
        self.session_name = project
        self.tags = tags_of(tags)
        self.tags_below = list(self.tags)
        """The tags that runs inside start with; `add_tags` does not reach them."""
        self.events: list[Any] = []
        self.child_runs: list[RunTree] = []
        """The runs right below, as they began: the first 1,000, and no spans of Clew's own."""
        self.client = self.ls_client = None
        self.extra: dict[str, Any] = {"metadata": _Handed(self) if self.is_view else {}}
        if metadata:
            dict.update(self.extra["metadata"], mapping_of(metadata))
        self._span: Any = span if span is not None else self._begin(parent, inputs, start_time)
        if self._span._span:
            RUNS[self._span._span] = self
            if span is None and self._above is not None:
                _make_known(self, RUNS.get(self._above._span))

    def _begin(self, parent: Any, inputs: Any, start_time: datetime | None) -> ActiveSpan:
        self._above = above = parent_of(parent)
        if above is not SUPPRESSED:
            parent = NO_PARENT if above is None else above
        # The kind is set when the ids stand: who listens to tools must be told the right ones.
        span = ActiveSpan(self._name, parent=parent, inputs=inputs)
        try:
            if span:
                _place(span, self._id, start_time)
            span.kind = kind_of(self._type)
            if start_time is not None:
                self._started_ns = int(start_time.timestamp() * 1e9)
        except Exception as error:
            _internal(error)
        return span

    @property
    def __clew_span__(self) -> Any:
        """What Clew's own functions take it for, as `parent=`: its span."""
        return self._span

    # What it is.

    @property
    @harmless(uuid4)
    def id(self) -> UUID:
        """The run's UUID; its last 8 bytes are the span id."""
        if self._id is None:
            span = self._span
            self._id = run_uuid(span._trace, span._span) if span._span else uuid4()
        return self._id

    @property
    @harmless(uuid4)
    def trace_id(self) -> UUID:
        """The trace's UUID: the 16 bytes of its trace id. For a root it is the run's own id."""
        return UUID(int=self._span._trace) if self._span._trace else self.id

    @property
    @harmless(nothing)
    def parent_run(self) -> RunTree | None:
        """The run above; None for a root."""
        above = self._above
        return run_of(above) if above is not None and above is not SUPPRESSED and above._span else None

    @property
    @harmless(nothing)
    def parent_run_id(self) -> UUID | None:
        """The id of the run above; None for a root."""
        above = self.parent_run
        if above is not None:
            return above.id
        parent = getattr(self._span, "_parent", 0)
        return run_uuid(self._span._trace, parent) if parent else None

    @property
    @harmless(str)
    def dotted_order(self) -> str:
        """The runs from the root down to this one, as LangSmith writes them."""
        if self._dotted is None:
            own = dotted_part(self._started_ns, self.id)
            above = self.parent_run
            if above is not None:
                own = f"{above.dotted_order}.{own}"
            elif self.trace_id != self.id:
                own = f"{dotted_part(self._started_ns, self.trace_id)}.{own}"
            self._dotted = own
        return self._dotted

    @property
    @harmless(_now)
    def start_time(self) -> datetime:
        """When it began, UTC."""
        return moment(self._started_ns)

    @property
    @harmless(nothing)
    def end_time(self) -> datetime | None:
        """When it ended, UTC; None while it runs."""
        if not self._ended_at:
            return None
        return moment(time_ns() - perf_counter_ns() + self._ended_at)

    @end_time.setter
    @harmless(nothing)
    def end_time(self, value: datetime | None) -> None:
        with suppress(Exception):
            self._ended_at = 0 if value is None else _monotonic(value)

    @property
    def name(self) -> str:
        """What the step is called."""
        return self._name  # type: ignore[no-any-return]

    @name.setter
    @harmless(nothing)
    def name(self, value: str) -> None:
        self._name = value
        if isinstance(self._span, ActiveSpan) and not self._done:
            self._span.name = value

    @property
    def run_type(self) -> str:
        """LangSmith's word for the kind."""
        return self._type  # type: ignore[no-any-return]

    @run_type.setter
    @harmless(nothing)
    def run_type(self, value: str) -> None:
        self._type = value
        if isinstance(self._span, ActiveSpan) and not self._done:
            self._span.kind = kind_of(value)

    @property
    @harmless(dict)
    def metadata(self) -> dict[str, Any]:
        """What becomes the span's attributes."""
        # Both are the user's to set, to whatever it may be.
        if not is_a(self.extra, dict):
            self.extra = {}
        if not is_a(self.extra.get("metadata"), dict):
            self.extra["metadata"] = _Handed(self) if self.is_view else {}
        return self.extra["metadata"]  # type: ignore[no-any-return]

    @property
    @harmless(dict)
    def inputs(self) -> dict[str, Any]:
        """What went in."""
        if self._inputs is None:
            self._inputs = as_dict(plain_of(getattr(self._span, "_inputs", None)), "input")
        return self._inputs

    @inputs.setter
    @harmless(nothing)
    def inputs(self, value: Any) -> None:
        self._inputs = as_dict(value, "input")
        self._hand_on()

    @property
    @harmless(dict)
    def outputs(self) -> dict[str, Any]:
        """What came out; a result that is no dict is under "output"."""
        if self._outputs is None:
            self._outputs = as_dict(plain_of(getattr(self._span, "_outputs", None)))
        return self._outputs

    @outputs.setter
    @harmless(nothing)
    def outputs(self, value: Any) -> None:
        self._outputs = as_dict(value)
        self._hand_on()

    @property
    @harmless(nothing)
    def error(self) -> str | None:
        """Why it failed; None if it did not."""
        return self._error if self._error is not None else self._raised

    @error.setter
    @harmless(nothing)
    def error(self, value: str | None) -> None:
        self._error = value
        if value is not None:
            self._hand_on()

    # What is said of it.

    @harmless(nothing)
    def add_tags(self, tags: Sequence[str] | str) -> None:
        """Add one tag or several."""
        self.tags = [*tags_of(self.tags), *tags_of(tags)]
        self._hand_on()

    @harmless(nothing)
    def add_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add to the metadata."""
        self.metadata.update(mapping_of(metadata))

    @harmless(nothing)
    def add_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Add to the inputs."""
        self.inputs = {**self.inputs, **as_dict(inputs, "input")}

    @harmless(nothing)
    def add_outputs(self, outputs: Mapping[str, Any]) -> None:
        """Add to the outputs."""
        self.outputs = {**self.outputs, **as_dict(outputs)}

    @harmless(nothing)
    def add_event(self, events: Any) -> None:
        """Note a point in time: a text, a dict with a "name", or several of these."""
        for event in [events] if is_a(events, (str, Mapping)) else list_of(events):
            self.events.append(event)
            said = {str(key): value for key, value in event.items()} if is_a(event, Mapping) else {}
            if isinstance(self._span, ActiveSpan) and not self._done:
                self._span.event(str(said.pop("name", "event")), **(said or {"message": event}))

    @harmless(nothing)
    def set(self, **given: Any) -> None:
        """Set *inputs*, *outputs*, *tags*, *metadata*, *usage_metadata*; outputs set here stay at the end."""
        if "tags" in given:
            self.tags = tags_of(given["tags"])
        if "metadata" in given:
            self.add_metadata(given["metadata"])
        if "inputs" in given:
            self.inputs = given["inputs"]
        if "outputs" in given:
            self.outputs = given["outputs"]
            self._keeps_outputs = True
        if given.get("usage_metadata") is not None:
            self.metadata["usage_metadata"] = given["usage_metadata"]
        for unknown in given.keys() - {"tags", "metadata", "inputs", "outputs", "usage_metadata"}:
            outbox.complain(f"run set:{unknown}", f"RunTree.set does not know {unknown!r}; it was ignored")

    @harmless(nothing)
    def end(
        self,
        *,
        outputs: Any = None,
        error: str | None = None,
        end_time: datetime | None = None,
        events: Any = None,
        metadata: Mapping[str, Any] | None = None,
        **_ignored: Any,
    ) -> None:
        """
        Note outputs, error and the time.

        The span is sent when the `with` or the traced function is left; of a run made by hand, at `patch()`.
        """
        self._ended_at = perf_counter_ns()
        if end_time is not None:
            self.end_time = end_time
        if outputs is not None and not self._keeps_outputs:
            # A copy: the dict is the caller's, and may be what the traced function goes on to return.
            self._outputs = {**(self._outputs or {}), **as_dict(outputs)}
        if error is not None:
            self._error = error
        if events is not None:
            self.add_event(events)
        if metadata is not None:
            self.add_metadata(metadata)
        self._hand_on()

    @harmless(lambda: no_run("", "chain", None))
    def create_child(self, name: str, run_type: str = "chain", **given: Any) -> RunTree:
        """Make a run under this one, to be ended by hand."""
        extra = {"metadata": {**self.metadata, **part_of(given.pop("extra", None), "metadata")}}
        given["id"] = given.pop("run_id", None)
        end_time = given.pop("end_time", None)
        for inherited in ("parent_run", "project_name", "metadata"):
            given.pop(inherited, None)
        child = RunTree(name, run_type, parent_run=self, extra=extra, project_name=self.session_name, **given)
        if end_time is not None:
            child.end_time = end_time
        if not child._span._span:  # Tracing is off; its user may walk the tree all the same.
            _make_known(child, self)
        return child

    def post(self, *_: Any, **__: Any) -> None:
        """Do nothing: a span is sent when it has ended."""

    @harmless(nothing)
    def patch(self, *_: Any, **__: Any) -> None:
        """Send a run made by hand; of others it only notes the time."""
        self._ended_at = self._ended_at or perf_counter_ns()
        if self._managed:
            self.flush()
        elif not self._done:
            self.flush()
            self._done = True
            if isinstance(self._span, ActiveSpan):
                self._span.end_at(self._ended_at)

    def wait(self) -> None:
        """Do nothing: `clew.flush` waits for what was sent."""

    def get_url(self) -> str:
        """Give nothing: Clew's page finds a trace by `trace_id`."""
        return ""

    @harmless(dict)
    def to_headers(self) -> dict[str, str]:
        """Give the headers that make a run elsewhere a child of this one: LangSmith's and W3C's."""
        baggage = Baggage(dict(self.metadata), tags_of(self.tags), self.session_name)
        headers = headers_of(getattr(self._span, "traceparent", ""), self.dotted_order, baggage)
        return {name: value for name, value in headers.items() if value}

    @classmethod
    @harmless(nothing)
    def from_headers(cls, headers: Mapping[Any, Any], **given: Any) -> RunTree | None:
        """Give the run that sent *headers*, as a parent; None if they name none."""
        span = parent_span(headers)
        if span is None:
            return None
        baggage = baggage_of(headers)
        run = view_of(span, metadata={**baggage.metadata, **part_of(given.get("extra"), "metadata")}, tags=baggage.tags)
        run.session_name = baggage.project or given.get("project_name")
        return run

    @classmethod
    @harmless(nothing)
    def from_dotted_order(cls, dotted_order: str, **given: Any) -> RunTree | None:
        """Give the run that *dotted_order* names, as a parent; None if it names none."""
        run = cls.from_headers({"langsmith-trace": dotted_order}, **given)
        if run is not None:
            run._dotted = dotted_order.strip()
        return run

    def __repr__(self) -> str:
        return f"RunTree(id={self.id}, name={self.name!r}, run_type={self.run_type!r})"

    def __del__(self) -> None:
        # Ended, or left open on purpose, but never patched: better sent late than lost.
        try:
            if not self._managed and not self._done and (self._ended_at or self._left_at):
                self._ended_at = self._ended_at or self._left_at
                self.patch()
        except Exception as error:
            _internal(error)

    # Behind the scenes.

    def raised(self, error: BaseException) -> None:
        """Note what came out instead of a result; the span notes it by itself."""
        self._raised = shown(error)

    def left_open(self, error: BaseException | None) -> None:
        """Its `with` is left and it goes on, to be ended and sent by hand."""
        self._managed = self.is_view
        self._left_at = perf_counter_ns()
        if error is not None:
            self._error = shown(error)

    def finish(self, error: BaseException | None) -> None:
        """Hand everything to the span and end it; with an *error* it is left to the span's own exit to end it."""
        self.flush()
        self._ended_at = ended_at = self._ended_at or perf_counter_ns()
        self._done = True
        if error is None and isinstance(self._span, ActiveSpan):
            self._span.end_at(ended_at)

    def flush(self) -> None:
        """Hand all that is noted here to the span, which ends now."""
        span = self._span
        if self._done or not isinstance(span, ActiveSpan) or not span:
            return
        try:
            span.set_attributes(attributes_of(self))
            if self._inputs is not None:
                span.inputs = self._inputs
            if self._outputs:
                # A single result needs no dict around it, and None leaves what the span itself was given.
                only = len(self._outputs) == 1 and "output" in self._outputs
                outputs: Any = self._outputs["output"] if only else self._outputs
                if outputs is not None:
                    span.outputs = outputs
            if self._error is not None:
                span.fail(self._error)
        except Exception as error:
            _internal(error)

    def _hand_on(self) -> None:
        if self.is_view:
            self.flush()


class _Handed(dict[str, Any]):
    """The metadata of a view: each change goes to the span at once."""

    def __init__(self, run: RunTree) -> None:
        super().__init__()
        self._run = run

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._run._hand_on()

    def update(self, *args: Any, **kwargs: Any) -> None:
        super().update(*args, **kwargs)
        self._run._hand_on()

    def setdefault(self, key: str, default: Any = None) -> Any:
        found = super().setdefault(key, default)
        self._run._hand_on()
        return found


def _make_known(run: RunTree, above: RunTree | None) -> None:
    """Put *run* among the children of the run *above*; bounded, as an agent may go on for days."""
    if above is None or not is_a(above.child_runs, list):
        return
    if len(above.child_runs) < KEPT_CHILDREN:
        above.child_runs.append(run)
    else:
        outbox.complain("child_runs", f"child_runs holds the first {KEPT_CHILDREN} runs below a run")


def new_run(name: Any, run_type: Any, **given: Any) -> RunTree:
    """Begin a run that a `with` or a traced function ends: see `RunTree._become`."""
    run = RunTree.__new__(RunTree)
    run._become(name, run_type, **given)
    run._managed = True
    return run


def view_of(span: Any, *, metadata: Any = None, tags: Any = None) -> RunTree:
    """Give a run for a span that something else began, or that lives in another process."""
    name = getattr(span, "name", "") or "parent"
    run = RunTree.__new__(RunTree)
    kind = getattr(span, "kind", "chain")
    run._become(name, RUN_TYPES.get(kind, kind), span=span, metadata=metadata, tags=tags)
    if type(span) is ActiveSpan:
        # A remote span's own parent is not known here.
        run._above = SpanContext(span.trace_id, span.parent_id) if span.parent_id else None
    return run


def run_of(span: Any) -> RunTree:
    """Give the run of *span*: the one that began it, or a view."""
    return RUNS.get(span._span) or view_of(span)


@harmless(nothing)
def current_run() -> RunTree | None:
    """Give the current span's run; None outside of any."""
    found = current()
    return run_of(found) if found is not None and found._span else None


def no_run(name: Any, run_type: Any, inputs: Any) -> RunTree:
    """Give a run that is never sent, for code that wants one while tracing is off."""
    run = RunTree.__new__(RunTree)
    run._become(name, run_type, span=nothing_span())
    run._inputs = as_dict(inputs, "input")
    return run


def _place(span: ActiveSpan, chosen: UUID | None, start_time: datetime | None) -> None:
    """Give a span that has just begun the ids that its run is to have, and its time."""
    if chosen is not None:
        span._span = chosen.int & LOW
        if not span._parent:
            span._trace = chosen.int
    elif not span._parent:
        # As LangSmith has it, a root's run id is the id of the trace.
        span._span = span._trace & LOW or span._span
    if start_time is not None:
        span._start = _monotonic(start_time)


def _monotonic(when: datetime) -> int:
    """Give the reading of `perf_counter_ns` that belongs to *when*."""
    return perf_counter_ns() - (time_ns() - int(when.timestamp() * 1e9))


def _internal(error: Exception) -> None:
    outbox.complain(f"run:{type(error).__name__}", f"a run was not kept as a whole: {shown(error)}")
