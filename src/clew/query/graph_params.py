"""The parameters of the questions to the graph: one sentence on each, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from clew.errors import BadFilter
from clew.graph.render import FORMATS
from clew.model.graph import EDGE_TYPES, EdgeType, Source
from clew.query.filters import Params, number_of, one_of, text_of
from clew.query.graph_arms import ARMS
from clew.query.graph_slices import DEFAULT_BEFORE

T = TypeVar("T")

MAX_NODE_CHARS = 20_000
MAX_CALLED = 10_000
MAX_TOOLS = 1_000
MAX_K = 1_000
MAX_ROWS = 10_000
SOURCES: tuple[Source, ...] = ("observed", "inferred", "template")

_PROJECT = {"project": "The project to ask; `default` if not given."}
_ARM = "The arm that answers, or a stored version's number; what was chosen if not given."
_TRACE = "The trace that asks: in an A/B it decides which arm answers"
_NODE = "A tool or capability: its name, or kind:name where several share it."

SUGGEST_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "called": "What was called so far, in order; repeat it for each call. A name, or kind:name.",
    "within": "The capability that is running; none at the top of a trace.",
    "pending": "An output that nothing has used yet, like `get_user.reservations[]`; repeat it for each.",
    "k": f"How many to suggest, 1 to {MAX_K}; 5 if not given.",
    "arm": _ARM,
    "trace_id": f"{_TRACE}, and the answer is logged, so that what comes next is scored against it.",
    "parent_span_id": "With `trace_id`: the span below which the next call will be.",
    "log": "0 does not log although `trace_id` is given.",
}
PATH_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "from": f"Where the way starts. {_NODE}",
    "to": f"Where the way ends. {_NODE}",
    "k": f"How many ways, 1 to {MAX_K}; 3 if not given.",
    "arm": _ARM,
    "trace_id": f"{_TRACE}.",
}
PLAN_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "tool": f"One of the tools to be run; repeat it, at most {MAX_TOOLS}. A name, or kind:name.",
    "arm": _ARM,
    "trace_id": f"{_TRACE}.",
}
SIMILAR_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "node": _NODE,
    "k": f"How many, 1 to {MAX_K}; 5 if not given.",
    "arm": _ARM,
    "trace_id": f"{_TRACE}.",
}
SEARCH_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "text": "What is to be done, in words.",
    "called": "What was called so far; repeat it for each call. What is near to it is found first.",
    "within": "The capability that is running.",
    "k": f"How many, 1 to {MAX_K}; 5 if not given.",
    "arm": _ARM,
    "trace_id": f"{_TRACE}.",
}
VARIANTS_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "capability": "The capability whose runs are compared; whole traces if not given.",
    "k": f"How many ways, 1 to {MAX_K}; 10 if not given.",
}
CONFORM_PARAMS: Mapping[str, str] = {**_PROJECT, "trace_id": "The trace to compare with the usual ways."}
DIFF_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "before": f"A day, days, version or project: 2026-11-20, 2026-11-01..2026-11-07, 7d, version:1.4.2, "
    f"project:shop, now; {DEFAULT_BEFORE} if not given.",
    "after": "The same. If not given: `now`, or for `7d` the last seven days, compared with the seven before.",
    "k": f"How many changes, 1 to {MAX_K}; 50 if not given.",
}
EXPORT_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "format": f"{', '.join(FORMATS)}; json if not given.",
    "type": f"Only edges of this type; repeat it: {', '.join(EDGE_TYPES)}.",
    "least_count": "Only edges seen at least so often; 1 if not given.",
}
NODES_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "kind": "Only nodes of this kind, such as tool.",
    "limit": f"How many, most called first, 1 to {MAX_ROWS}; 100 if not given.",
}
EDGES_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "type": f"Only edges of this type; repeat it: {', '.join(EDGE_TYPES)}.",
    "node": f"Only edges from or to it. {_NODE}",
    "source": f"Only edges that are {', '.join(SOURCES)}.",
    "least_count": "Only edges seen at least so often; 0 if not given, which shows declared ones too.",
    "limit": f"How many, most often seen first, 1 to {MAX_ROWS}; 100 if not given.",
}
SUMMARY_PARAMS: Mapping[str, str] = {**_PROJECT}
TEMPLATES_PARAMS: Mapping[str, str] = {**_PROJECT, "name": "Only the template of this name."}
ARMS_PARAMS: Mapping[str, str] = {**_PROJECT, "question": f"Only arms of this question: {', '.join(ARMS)}."}
AB_PARAMS: Mapping[str, str] = {
    **_PROJECT,
    "question": "The question whose logged answers are compared; suggest if not given.",
    "days": "How far back, in days, over 0 and up to 3660; 30 if not given.",
}

REPEATED = frozenset({"called", "pending", "tool", "type"})
"""May be given more than once."""


class Given:
    """The parameters of one question, each read once it is asked for."""

    def __init__(self, params: Params, known: Iterable[str]) -> None:
        """
        Sort *params* by name.

        Raises:
            BadFilter: one is unknown, or given more than once where once is meant.
        """
        allowed = list(known)
        self._values: dict[str, list[str]] = {}
        for name, value in params:
            if name not in allowed:
                raise BadFilter(name[:80], f"there is no such parameter; there are {', '.join(allowed)}")
            if value == "":
                continue
            if name in self._values and name not in REPEATED:
                raise BadFilter(name, "it is given more than once")
            self._values.setdefault(name, []).append(value)

    def raw(self, name: str) -> str | None:
        """Give the value, if it is given."""
        values = self._values.get(name)
        return values[0] if values else None

    def read(self, name: str, parse: Callable[[str, str], T]) -> T | None:
        """Parse the value, if it is given."""
        value = (self.raw(name) or "").strip()
        return parse(name, value) if value else None

    def text(self, name: str) -> str | None:
        """Give text that a store can compare with what it keeps."""
        return self.read(name, text_of)

    def node(self, name: str) -> str | None:
        """Give what may be a node's name, as it stands: names can hold anything."""
        return next(iter(self.nodes(name)), None)

    def needed(self, name: str) -> str:
        """Give a node's name, or whatever else this question is nothing without."""
        value = self.node(name)
        if value is None:
            raise BadFilter(name, "this question needs it")
        return value

    def nodes(self, name: str, most: int = MAX_CALLED) -> list[str]:
        """Give all the names, in order."""
        values = self._values.get(name, [])
        if len(values) > most:
            raise BadFilter(name, f"it is given {len(values)} times; at most {most} are read")
        if any(len(value) > MAX_NODE_CHARS for value in values):
            raise BadFilter(name, f"it is longer than {MAX_NODE_CHARS} characters")
        return values

    def count(self, name: str, default: int, *, most: int = MAX_K, least: int = 1) -> int:
        """Give a whole number."""
        value = self.read(name, lambda _, text: text)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", value) or not least <= int(value) <= most:
            raise BadFilter(name, f"it must be a whole number from {least} to {most}")
        return int(value)

    def types(self) -> list[EdgeType]:
        """Give the edge types asked for."""
        return [one_of("type", value.strip().lower(), EDGE_TYPES) for value in self._values.get("type", [])]


def shares_of(given: Mapping[str, float]) -> dict[int, float]:
    """
    Read the shares of versions.

    Raises:
        BadFilter: a version is no number.
    """
    if not all(re.fullmatch(r"[0-9]{1,9}", version) for version in given):
        raise BadFilter("shares", 'versions are whole numbers, such as {"3": 0.5}')
    return {int(version): share for version, share in given.items()}


def days_of(name: str, value: str) -> float:
    """Read a number of days."""
    days = number_of(name, value)
    if not 0 < days <= 3_660:
        raise BadFilter(name, "it must be over 0 and at most 3660")
    return days
