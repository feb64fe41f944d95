"""What was captured, as a tree: finished spans that know their parent and their children."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.model import Event, Link, Score
    from clew.wire.native import NativeSpan


class NoSuchSpan(AssertionError, LookupError):
    """No span has that name, or several have. The message shows the tree."""


class CapturedSpan:
    """One finished span, as it would have been sent."""

    def __init__(self, native: NativeSpan) -> None:
        self.name: str = native.name
        self.kind: str = native.kind
        self.attributes: dict[str, Any] = native.attributes
        self.inputs: Any = native.inputs
        self.outputs: Any = native.outputs
        self.events: list[Event] = native.events
        self.links: list[Link] = native.links
        self.status: str = native.status
        self.error: str | None = native.status_message if native.status == "error" else None
        """Why it failed; None if it did not."""
        self.problems: list[str] = native.problems
        """What Clew had to mend or cut, in words."""
        self.trace_id: str = native.trace_id
        self.span_id: str = native.span_id
        self.parent_id: str | None = native.parent_id
        """Also of a parent that was not captured: one in another process, or one that has not ended."""
        self.start_ns: int = native.start_ns
        self.end_ns: int = native.start_ns if native.end_ns is None else native.end_ns
        self.parent: CapturedSpan | None = None
        self.children: list[CapturedSpan] = []
        """Those that ended, in the order in which they began."""

    @property
    def duration_ms(self) -> float:
        """How long it ran."""
        return (self.end_ns - self.start_ns) / 1e6

    @property
    def root(self) -> CapturedSpan:
        """The topmost span above it; itself if there is none."""
        span = self
        while span.parent is not None:
            span = span.parent
        return span

    def tree(self) -> dict[str, Any]:
        """Names of what is below it, as `CapturedSpans.tree`."""
        return tree_of(self.children)

    def draw(self) -> str:
        """Draw it and what is below it, a line for each span."""
        return "\n".join(_lines([self], top=True))

    def __repr__(self) -> str:
        return f"<captured {_label(self)}>"


class CapturedSpans(Sequence[CapturedSpan]):
    """
    The spans that ended, oldest end first. Looking waits for nothing: what has ended is there.

    `spans["name"]` is the one span of that name, `spans[0]` the first that ended.
    """

    def __init__(self) -> None:
        self._spans: list[CapturedSpan] = []
        self._scores: list[Score] = []
        self._known: dict[tuple[str, str], CapturedSpan] = {}
        self._orphans: dict[tuple[str, str | None], list[CapturedSpan]] = {}
        """Those whose parent has not ended, by its ids."""

    def _all(self) -> list[CapturedSpan]:
        return self._spans

    @property
    def roots(self) -> list[CapturedSpan]:
        """The spans without a parent among the captured ones, in the order in which they began."""
        return _in_order(span for span in self._all() if span.parent is None)

    @property
    def open(self) -> list[Any]:
        """The spans that have not ended: `clew.testing.capture` finds them."""
        return []

    @property
    def scores(self) -> list[Score]:
        """What `clew.score` said."""
        self._all()
        return list(self._scores)

    def tree(self) -> dict[str, Any]:
        """
        Give the names as nested dicts: `{"request": {"retrieve": {}, "generate": {}}}`.

        Siblings stand in the order in which they began; of those that share a name the second is "name #2".
        """
        return tree_of(self.roots)

    def draw(self) -> str:
        """Draw the tree, a line for each span: its name, its kind, and why it failed."""
        return "\n".join(_lines(self.roots, top=True)) or "(no span has ended)"

    def named(self, name: str) -> list[CapturedSpan]:
        """Give all spans of that name, in the order in which they began."""
        return _in_order(span for span in self._all() if span.name == name)

    def clear(self) -> None:
        """Forget what was captured so far."""
        self._all()
        for each in (self._spans, self._scores, self._known, self._orphans):
            each.clear()

    def __getitem__(self, which: Any) -> Any:
        spans = self._all()
        if not isinstance(which, str):
            return spans[which]
        found = self.named(which)
        if len(found) != 1:
            raise NoSuchSpan(_why(which, len(found), [span.name for span in spans], self.draw()))
        return found[0]

    def __contains__(self, which: object) -> bool:
        return any(span is which or span.name == which for span in self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[CapturedSpan]:
        return iter(list(self._all()))

    def __repr__(self) -> str:
        return f"<{len(self)} captured spans>\n{self.draw()}"

    def _add(self, native: NativeSpan) -> None:
        """Take one more, and find its family."""
        made = CapturedSpan(native)
        own = made.trace_id, made.span_id
        made.children = _in_order(self._orphans.pop(own, ()))
        for child in made.children:
            child.parent = made
        if made.parent_id is not None and (parent := self._known.get((made.trace_id, made.parent_id))) is not None:
            made.parent = parent
            parent.children = _in_order([*parent.children, made])
        else:
            self._orphans.setdefault((made.trace_id, made.parent_id), []).append(made)
        self._known[own] = made
        self._spans.append(made)


def tree_of(spans: Sequence[CapturedSpan]) -> dict[str, Any]:
    """Give the names of *spans* and of what is below them as nested dicts."""
    tree: dict[str, Any] = {}
    for span in spans:
        name, count = span.name, 1
        while name in tree:
            count += 1
            name = f"{span.name} #{count}"
        tree[name] = tree_of(span.children)
    return tree


def _in_order(spans: Any) -> list[CapturedSpan]:
    return sorted(spans, key=lambda span: span.start_ns)


def _label(span: CapturedSpan) -> str:
    failed = f"  error: {span.error}" if span.error is not None else ""
    return f"{span.name} ({span.kind}){failed}"


def _lines(spans: Sequence[CapturedSpan], *, top: bool = False) -> Iterator[str]:
    for position, span in enumerate(spans):
        is_last = position == len(spans) - 1
        first, below = ("", "") if top else ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield first + _label(span)
        yield from (below + line for line in _lines(span.children))


def _why(name: str, count: int, names: list[str], drawn: str) -> str:
    from difflib import get_close_matches

    if count:
        return f"{count} spans are called {name!r}: take one of spans.named({name!r}). Captured:\n{drawn}"
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"no span that has ended is called {name!r}{hint} Captured:\n{drawn}"
