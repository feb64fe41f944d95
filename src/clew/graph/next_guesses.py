"""Guesses at what comes next that need no counts: what the run itself, or a template, makes likely. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from clew.graph.next_contexts import Walk

GUESSES: tuple[str, ...] = ("the last again", "one of the earlier again", "a late one again", "declared")
LAST_AGAIN, AGAIN, LATE_AGAIN, DECLARED = range(len(GUESSES))

FADING = 0.6
"""By so much each earlier call is less likely to come again than the one after it."""

Guess = dict[int, float]
Edges = Mapping[int, Mapping[int, int]]


class Declared:
    """The dependencies of templates: what may run once what it depends on has run."""

    def __init__(self) -> None:
        self._out: Edges = {}
        self._needs: dict[int, set[int]] = {}

    def follow(self, out: Edges) -> None:
        """Take in the dependency edges as they are now: origin -> target -> row."""
        self._out, self._needs = out, {}
        for origin, targets in out.items():
            for target in targets:
                self._needs.setdefault(target, set()).add(origin)

    def guess(self, walk: Walk) -> Guess:
        """Give what has not run and waits for nothing more, where something that it waited for did run."""
        if not self._needs:
            return {}
        ran = set(walk.nodes)
        waited = {target for node in ran for target in self._out.get(node, ()) if target not in ran}
        ready = [target for target in waited if self._needs[target] <= ran]
        return dict.fromkeys(ready, 1 / len(ready)) if ready else {}


def guesses(walk: Walk, declared: Declared) -> list[tuple[int, Guess]]:
    """Give the guesses that can be made at a place, by their number: shares that sum to 1."""
    nodes = walk.nodes
    if not nodes:
        return []
    any_: Guess = {}
    late: Guess = {}
    fade = total = 0.0
    for node in reversed(nodes):
        fade = fade * FADING or 1.0
        total += fade
        any_[node] = any_.get(node, 0.0) + 1 / len(nodes)
        late[node] = late.get(node, 0.0) + fade
    late = {node: share / total for node, share in late.items()}
    found = [(LAST_AGAIN, {nodes[-1]: 1.0}), (AGAIN, any_), (LATE_AGAIN, late)]
    template = declared.guess(walk)
    return [*found, (DECLARED, template)] if template else found
