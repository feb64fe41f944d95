"""Arms and suggestions of the plain reference: in lists and dicts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from clew.store.check import check_shares
from clew.store.graph_protocol import Arm, SuggestionRecord


class MemoryChoices:
    """Keeps what `clew.store.graph_protocol.Arms` and `SuggestionLog` promise, until it is closed."""

    def __init__(self) -> None:
        self._arms: dict[str, list[Arm]] = {}
        self._suggestions: dict[tuple[str, str], SuggestionRecord] = {}
        """By project and id."""
        self._decided: set[tuple[str, str]] = set()
        """The suggestions whose outcome is known, or no longer waited for."""

    @abstractmethod
    def _open(self) -> AbstractContextManager[Any]:
        """Hold the lock of a store that is not closed."""

    # Arms.

    def add_arm(  # noqa: PLR0917
        self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str, at_ns: int
    ) -> int:
        """Keep an arm, not chosen; gives its version, counted from 1 for each question."""
        with self._open():
            version = len(self.arms(project, question)) + 1
            added = Arm(question, version, arm, dict(weights), note, at_ns, chosen=False, share=0.0)
            self._arms.setdefault(project, []).append(added)
            return version

    def arms(self, project: str, question: str | None) -> list[Arm]:
        """Give the arms of one question, or of all, by question and version."""
        with self._open():
            found = [arm for arm in self._arms.get(project, ()) if question in (None, arm.question)]
        return sorted(found, key=lambda arm: (arm.question, arm.version))

    def choose_arms(self, project: str, question: str, shares: Mapping[int, float]) -> None:
        """Let each version named answer its share; see `clew.store.graph_protocol.Arms`."""
        with self._open():
            mine = self.arms(project, question)
            check_shares(shares, {arm.version for arm in mine})
            chosen = [(arm, float(shares.get(arm.version, 0))) for arm in mine]
            changed = [msgspec.structs.replace(arm, chosen=share > 0, share=share) for arm, share in chosen]
            self._arms[project] = [arm for arm in self.arms(project, None) if arm.question != question] + changed

    # Suggestions.

    def log_suggestion(self, record: SuggestionRecord) -> None:
        """Keep a suggestion; the same id again changes nothing."""
        key = record.project, record.suggestion_id
        with self._open():
            self._suggestions.setdefault(key, msgspec.structs.replace(record))
            if record.scored:
                self._decided.add(key)

    def open_suggestions(self, project: str, trace_ids: Sequence[str]) -> list[SuggestionRecord]:
        """Give those of these traces whose outcome is not known, oldest first."""
        with self._open():
            still = [record for key, record in self._suggestions.items() if key not in self._decided]
        return _oldest_first(each for each in still if each.project == project and each.trace_id in trace_ids)

    def score_suggestions(self, records: Sequence[SuggestionRecord]) -> None:
        """Keep outcomes; see `clew.store.graph_protocol.SuggestionLog`."""
        with self._open():
            for record in records:
                key = record.project, record.suggestion_id
                kept = self._suggestions.get(key)
                if record.scored and kept is not None and key not in self._decided:
                    kept.outcome, kept.rank, kept.scored = record.outcome, record.rank, True
                    self._decided.add(key)

    def close_suggestions(self, before_ns: int) -> int:
        """Close, without an outcome, what was suggested before; gives how many there were."""
        with self._open():
            old = {key for key, record in self._suggestions.items() if record.at_ns < before_ns} - self._decided
            self._decided |= old
        return len(old)

    def drop_suggestions(self, *, before_ns: int, limit: int) -> int:
        """Drop old ones that are closed; see `clew.store.protocol.Retention`."""
        with self._open():
            closed = ((record.at_ns, key) for key, record in self._suggestions.items() if key in self._decided)
            old = sorted(each for each in closed if each[0] < before_ns)[:limit]
            for _, key in old:
                del self._suggestions[key]
                self._decided.discard(key)
        return len(old)

    def suggestion_records(self, project: str, question: str, since_ns: int) -> list[SuggestionRecord]:
        """Give what was suggested since then, oldest first, scored or not."""
        with self._open():
            found = [
                each for each in self._suggestions.values() if (each.project, each.question) == (project, question)
            ]
        return _oldest_first(each for each in found if each.at_ns >= since_ns)


def _oldest_first(records: Iterable[SuggestionRecord]) -> list[SuggestionRecord]:
    ordered = sorted(records, key=lambda record: (record.at_ns, record.suggestion_id))
    return [msgspec.structs.replace(record) for record in ordered]
