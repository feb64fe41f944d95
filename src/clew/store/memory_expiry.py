"""How traces go from the plain reference. What they counted is kept by the minute, as SDKs tell it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from clew.model import Score, TraceSummary
from clew.model.tally import count, merge
from clew.store.exemplars import forget
from clew.store.memory_graph import TraceKey
from clew.store.memory_latency import MemoryLatency
from clew.store.retention import Erased, Expiring, Gone, Place, Policy, Whom, check_whom, class_of, unchanged


class MemoryExpiry(MemoryLatency):
    """Keeps what `clew.store.protocol.Retention` promises, until it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._scores: dict[TraceKey, dict[tuple[str | None, str, str], Score]] = {}
        self._numbers: dict[TraceKey, int] = {}
        """In which order traces came."""
        self._last_number = 0

    @abstractmethod
    def _summary(self, project: str, trace_id: str) -> TraceSummary:
        """Give what a trace is, from all of its spans."""

    def expired(self, policy: Policy, *, now_ns: int, limit: int, after: Place | None = None) -> list[Expiring]:
        """Give traces whose time is over; see `clew.store.protocol.Retention`."""
        with self._open():
            found = []
            for key in self._spans:
                one = self._expiring(key, Place(key[0], self._summary(*key).start_ns, key[1]))
                cutoff_ns = policy.cutoffs(key[0], now_ns).get(class_of(one.flag, one.status))
                if cutoff_ns is not None and one.start_ns < cutoff_ns and (after is None or one.place > after):
                    found.append(one)
        return sorted(found, key=lambda one: one.place)[:limit]

    def earliest(self, policy: Policy, *, limit: int, after: Place | None = None, spare: bool = True) -> list[Expiring]:
        """Give traces that came first; see `clew.store.protocol.Retention`."""
        spared = policy.spared() if spare else []
        with self._open():
            for key in self._spans:
                if key not in self._numbers:
                    self._last_number += 1
                    self._numbers[key] = self._last_number
            all_of_them = [self._expiring(key, Place(key[0], self._numbers[key], key[1])) for key in self._spans]
        chosen = [one for one in all_of_them if class_of(one.flag, one.status) not in spared]
        return [one for one in chosen if after is None or one.place.number > after.number][:limit]

    def _expiring(self, key: TraceKey, place: Place) -> Expiring:
        summary = self._summary(*key)
        is_due = bool(self._due.get(key))
        return Expiring(*key, summary.start_ns, summary.flag, summary.status, summary.span_count, is_due, place)

    def drop_expired(self, found: Sequence[Expiring], *, learned_only: bool = True) -> Gone:
        """Drop traces; see `clew.store.protocol.Retention`."""
        traces = spans = 0
        with self._open():
            for was in found:
                key = was.project, was.trace_id
                if key not in self._spans or (learned_only and self._due.get(key)):
                    continue
                now = self._expiring(key, was.place)
                if unchanged(was, now.flag.value, now.status, now.start_ns, now.spans):
                    traces, spans = traces + 1, spans + self._drop(key)
        return Gone(traces, spans)

    def _drop(self, key: TraceKey) -> int:
        """Forget a trace, but not what it counted; gives how many spans it had."""
        spans = self._spans.pop(key, {})
        project = self._project(key[0])
        project.minutes = merge([project.minutes, count(span for span in spans.values() if span.end_ns is not None)])
        for kept in (self._scores, self._due, self._learned, self._numbers):
            kept.pop(key, None)
        return len(spans)

    def drop_metrics(self, resolution_s: int, *, before_s: int, limit: int) -> int:  # noqa: ARG002
        """Nothing: it has only minutes, and no coarser ones to answer from."""
        return 0

    def used_bytes(self) -> int:
        """Nothing on any disk."""
        return 0

    def give_back(self, *, spare_bytes: int = 0) -> bool:  # noqa: ARG002
        """Nothing to do: what was dropped takes no room."""
        return False

    def erase(self, whom: Whom) -> Erased:
        """Erase traces; see `clew.store.protocol.Retention`."""
        check_whom(whom)
        with self._open():
            keys = {key for key in (*self._spans, *self._scores, *self._projects_of(whom)) if self._is_of(whom, key)}
            stored = [key for key in keys if key in self._spans]
            spans = sum([self._drop(key) for key in sorted(keys)])
            for at, record in list(self._suggestions.items()):
                if (record.project, record.trace_id) in keys:
                    del self._suggestions[at]
            for project in {project for project, _ in keys}:
                self._forget_exemplars(project, {trace_id for of, trace_id in keys if of == project})
        return Erased(len(stored), spans, sorted({each for each, _ in stored}), sorted({each for _, each in stored}))

    def _projects_of(self, whom: Whom) -> Iterable[TraceKey]:
        """A trace that is named may be an exemplar and not be stored."""
        return [] if whom.trace_id is None else [(project, whom.trace_id.lower()) for project in self._projects]

    def _is_of(self, whom: Whom, key: TraceKey) -> bool:
        if whom.project not in (None, key[0]):
            return False
        if whom.trace_id is not None:
            return key[1] == whom.trace_id.lower()
        spans = self._spans.get(key, {}).values()
        if whom.user_id is not None:
            return any(span.user_id == whom.user_id for span in spans)
        return any(span.session_id == whom.session_id for span in spans)

    def _forget_exemplars(self, project: str, trace_ids: set[str]) -> None:
        at = self._project(project)
        for graph in (at.graph, *at.slices.values()):
            forget(graph, trace_ids)
        at.version += 1

    def scrub(self) -> bool:
        """Nothing to do: nothing is on any disk."""
        return False
