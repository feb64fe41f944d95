"""
One call of a `traceable` function, and the run it makes: `clew.sdk.run_traceable` wraps functions in these.

The call goes on as if nothing was there: what fails in here, or in the user's `process_inputs`,
`process_outputs`, `reduce_fn` or `on_end`, is logged once and costs at most the payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from clew.sdk.ambient import NO_PARENT, parent_of
from clew.sdk.calls import Call, Parameters
from clew.sdk.faults import internal
from clew.sdk.outbox import outbox
from clew.sdk.run_context import begin, complain_of, enabled, inherited, is_handled
from clew.sdk.run_parents import parent_span
from clew.sdk.run_payload import as_dict, id_of, mapping_of, shown, tags_of, taken, text_of
from clew.sdk.runs import RunTree

_EXTRA: Final = frozenset(
    {"name", "parent", "run_tree", "project_name", "metadata", "tags", "run_id", "on_end", "reference_example_id",
     "_on_success", "client"}
)  # fmt: skip


def name_of(function: Any) -> str:
    """Give what a run of *function* is called: of a partial, what is inside; of an object, its class."""
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func
    return str(getattr(function, "__name__", None) or type(function).__name__)


def parameter_names(function: Any) -> list[str]:
    """Give the names in the function's signature; none where it cannot be read."""
    import inspect

    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


class RunRecipe:
    """What the runs of one traceable function have in common."""

    def __init__(self, function: Callable[..., Any], run_type: str, options: dict[str, Any]) -> None:
        self.function = function
        self.run_type = run_type
        self.options = options
        self.name = text_of(options["name"]) or name_of(function)
        # Of a bound method the signature's first name is the object, which is not among a call's arguments.
        self.bound = getattr(function, "__self__", None) is not None and hasattr(function, "__func__")
        self.parameters = Parameters(function.__func__ if self.bound else function)  # type: ignore[attr-defined]
        names = parameter_names(function)
        self.takes_config = "config" in names
        self.run_at = names.index("run_tree") if "run_tree" in names else -1

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any], extra: Any) -> RunCall:
        """Take one call's arguments; the run begins with `RunCall.begin`."""
        if not self.takes_config:
            kwargs.pop("config", None)
        return RunCall(self, args, kwargs, extra)

    def untraced(self, args: tuple[Any, ...], kwargs: dict[str, Any], fault: Exception) -> dict[str, Any]:
        """Clew failed with *fault*: give the keywords with which the function is called all the same."""
        internal(fault)
        if self.run_at >= len(args):
            return {**kwargs, "run_tree": None}
        return kwargs

    @property
    def off(self) -> bool:
        """Whether no runs are made of it here: its own word counts before the context's."""
        if outbox.settled and not outbox.recording:
            return True
        wanted = self.options["enabled"]
        return not enabled() if wanted is None else not wanted


class RunCall:
    """One call of a traceable function, and its run."""

    def __init__(self, recipe: RunRecipe, args: tuple[Any, ...], kwargs: dict[str, Any], extra: Any) -> None:
        self.recipe = recipe
        self.args = args
        self.kwargs = kwargs
        self.run: RunTree | None = None
        self._begun = False
        self.extra: Mapping[str, Any] = {} if extra is None else taken(extra)
        if self.extra:
            complain_of("langsmith_extra", self.extra, _EXTRA)

    def fix_parent(self) -> RunCall:
        """Fix the parent now, of a run that begins later."""
        try:
            above = parent_of(self._parent())
            self.extra = {**self.extra, "parent": NO_PARENT if above is None else above}
        except Exception as error:
            self._failed(error)
        return self

    def begin(self) -> RunTree | None:
        """Begin the run, and give it to the function if it asks; None if tracing is off."""
        if self._begun:
            return self.run
        self._begun = True
        try:
            if not self.recipe.off:
                run = self._begun_run()
                self.run = run if run._span else None
        except Exception as error:
            self._failed(error)
        if self.recipe.run_at >= len(self.args):
            self.kwargs = {**self.kwargs, "run_tree": self.run}
        return self.run

    def _begun_run(self) -> RunTree:
        recipe, extra, options = self.recipe, self.extra, self.recipe.options
        outer = inherited()
        fixed = mapping_of(options["metadata"])
        if (example := id_of(extra.get("reference_example_id"))) is not None:
            fixed = {**fixed, "reference_example_id": example}
        return begin(
            text_of(extra.get("name")) or recipe.name,
            recipe.run_type,
            outer=outer[0],
            parent=self._parent(),
            inputs=self._inputs(),
            metadata=extra.get("metadata"),
            fixed=fixed,
            tags=[*tags_of(extra.get("tags")), *outer[1], *tags_of(options["tags"])],
            run_id=extra.get("run_id"),
            project=text_of(extra.get("project_name")) or text_of(options["project_name"]),
        )

    def _parent(self) -> Any:
        parent = self.extra.get("parent")
        return parent_span(self.extra.get("run_tree") if parent is None else parent)

    def _inputs(self) -> Any:
        """The arguments by name, or what the user's function makes of them."""
        kwargs = self.kwargs
        if "run_tree" in kwargs and self.recipe.run_at >= 0:
            kwargs = {name: value for name, value in kwargs.items() if name != "run_tree"}
        args = (None, *self.args) if self.recipe.bound else self.args
        call = Call(self.recipe.parameters, args, kwargs)
        process = self.recipe.options["process_inputs"]
        if process is None:
            return call
        return self._processed(process, call.bound([]), "inputs")

    def chunk(self, item: Any) -> Any:
        """What is kept of one streamed item."""
        process = self.recipe.options["process_chunk"]
        return item if process is None else self._processed(process, item, "chunk")

    def reduced(self, items: list[Any]) -> Any:
        """What the streamed items come to: nothing, the items, or what the user's function makes of them."""
        reduce_fn = self.recipe.options["reduce_fn"]
        if not items or self.run is None:
            return None
        if reduce_fn is None:
            return "".join(items) if all(type(item) is str for item in items) else items
        try:
            return reduce_fn(items)
        except Exception as error:
            outbox.complain("reduce_fn", f"reduce_fn of {self.recipe.name} failed, the items were kept: {shown(error)}")
            return items

    def _processed(self, process: Callable[[Any], Any], value: Any, what: str) -> Any:
        """Closed when it fails: it may be there to keep secrets, so nothing raw is kept."""
        try:
            return process(value)
        except Exception as error:
            kind = type(error).__name__
            outbox.complain(f"process_{what}", f"process_{what} of {self.recipe.name} failed: {kind}; {what} not kept")
            return {"ls_error": f"process_{what} failed with {kind}; {what} not kept"}

    def finish(self, result: Any = None, error: BaseException | None = None) -> None:
        """Note the outcome; the span's own end follows, unless the error is no failure."""
        run = self.run
        if run is None:
            return
        try:
            process = self.recipe.options["process_outputs"]
            if process is not None and (error is None or result is not None):
                result = self._processed(process, result, "outputs")
            if error is not None and not is_handled(error, self.recipe.options["exceptions_to_handle"]):
                run.raised(error)
            if error is None and callable(told := self.extra.get("_on_success")):
                told(run)
            run.end(outputs={"output": None} if result is None else as_dict(result))
        except Exception as problem:
            self._failed(problem)
        run.finish(error if run.error is not None else None)

    def close(self) -> None:
        """The span has ended: tell who wanted to know."""
        told = self.extra.get("on_end") if self.run is not None else None
        if callable(told):
            try:
                told(self.run)
            except Exception as error:
                outbox.complain("on_end", f"on_end of {self.recipe.name} failed: {shown(error)}")

    def _failed(self, error: Exception) -> None:
        outbox.complain("traceable", f"a call of {self.recipe.name} was not traced as a whole: {shown(error)}")
