"""
Which window and which steps show the most of what there is over time.

Whoever names no window wants to see something: a week of which one minute has spans would be one
thin line. So a window can be fitted to its spans, by looking at it coarsely first and then closer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from clew.errors import BadFilter
from clew.store.protocol import LatencyHeat

STEPS_S = (60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 86_400, 7 * 86_400, 28 * 86_400)
"""What is chosen from if no step is given."""

USUAL_STEPS = 100
"""At most so many then."""

LOOKS = 4
"""From days to hours to minutes; each look reads sums that are a hundredth of the window long."""

T = TypeVar("T")


def usual_step_s(since_ns: int, until_ns: int) -> int:
    """Give the length in seconds of steps of which a window has about `USUAL_STEPS`."""
    length_s = (until_ns - since_ns) // 10**9
    return next((step_s for step_s in STEPS_S if length_s <= step_s * USUAL_STEPS), STEPS_S[-1])


def with_a_step(since_ns: int, until_ns: int, ask: Callable[[int], T]) -> tuple[T, int]:
    """
    Ask with the usual step, or with the finest longer one that can be answered; give the answer and the step.

    Long ago only whole hours or days may be kept, which is no fault of whoever named no step.
    """
    usual_s = usual_step_s(since_ns, until_ns)
    for step_s in (usual_s, *(step_s for step_s in STEPS_S if step_s > usual_s)):
        try:
            return ask(step_s), step_s
        except BadFilter as error:
            if error.field != "step" or step_s == STEPS_S[-1]:
                raise
    raise AssertionError("the longest step is answered or refused")


def fitted(since_ns: int, until_ns: int, look: Callable[[int, int, int], LatencyHeat]) -> tuple[int, int]:
    """
    Shrink a window to the steps that hold its first and its last span; one that holds nothing stays.

    *look* gives the heat map of a window, Unix nanoseconds, in steps of so many seconds.
    """
    for _ in range(LOOKS):
        heat, step_s = with_a_step(since_ns, until_ns, lambda step_s: look(since_ns, until_ns, step_s))  # noqa: B023
        used = [column for column, _, _ in heat.cells]
        if not used:
            break
        since_ns, until_ns = heat.steps_ns[min(used)][0], heat.steps_ns[max(used)][1]
        if step_s == STEPS_S[0]:
            break
    return since_ns, until_ns
