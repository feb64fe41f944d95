"""The report of an A/B run."""

from __future__ import annotations

import random

import msgspec
import pytest

from clew.graph.ab import LEAST_TRACES, report
from clew.model.graph import Node

CAME = Node("tool", "came")


class Logged(msgspec.Struct):
    """What is read of a logged suggestion."""

    arm: str
    arm_version: int
    trace_id: str
    probabilities: list[float]
    outcome: Node | None
    rank: int
    scored: bool


def logged(version: int, trace: int, rank: int, *, said: float = 0.5, came: bool = True, scored: bool = True) -> Logged:
    return Logged(
        arm=f"arm {version}",
        arm_version=version,
        trace_id=f"trace {trace}",
        probabilities=[said],
        outcome=CAME if came else None,
        rank=rank,
        scored=scored,
    )


def test_each_version_is_scored_on_what_came():
    """Ranks 1, 3 and none: one hit at once, two among three, a mean reciprocal rank of (1 + 1/3) / 3."""
    (arm,) = report([logged(2, 1, 1), logged(2, 2, 3), logged(2, 3, 0)]).arms

    assert (arm.arm, arm.version, arm.scored, arm.traces) == ("arm 2", 2, 3, 3)
    assert arm.figures["hit@1"].value == pytest.approx(1 / 3)
    assert arm.figures["hit@3"].value == pytest.approx(2 / 3)
    assert arm.figures["MRR"].value == pytest.approx(4 / 9)
    assert arm.figures["ece"].value == pytest.approx(0.5 - 1 / 3)


def test_what_nothing_followed_and_what_is_not_finished_are_no_misses():
    """No suggestion could have been right there, or nobody knows yet."""
    (arm,) = report([logged(1, 1, 1), logged(1, 2, 0, came=False), logged(1, 3, 0, scored=False, came=False)]).arms

    assert (arm.scored, arm.ended, arm.unscored) == (1, 1, 1)
    assert arm.figures["hit@1"].value == 1.0


def test_a_version_that_is_better_shows_an_interval_above_zero():
    """70 % beside 30 %, 300 traces each."""
    records = [logged(1, at, int(at % 10 < 3)) for at in range(300)]
    records += [logged(2, 1000 + at, int(at % 10 < 7)) for at in range(300)]

    (difference,) = report(records).differences

    assert (difference.version, difference.than) == (2, 1)
    assert difference.figures["hit@1"].value == pytest.approx(0.4)
    assert 0.2 < difference.figures["hit@1"].low < 0.4 < difference.figures["hit@1"].high < 0.6


def test_versions_that_are_alike_do_not_differ():
    """The draws of the two must not move together, as if each had answered the other's questions."""
    records = [logged(version, 1000 * version + at, at % 2) for version in (1, 2) for at in range(100)]

    (difference,) = report(records).differences

    low, high = difference.figures["hit@1"].low, difference.figures["hit@1"].high
    assert low < -0.05
    assert high > 0.05


def test_suggestions_of_one_trace_are_one_observation():
    """A long run that always went well is not a hundred of them."""
    one_trace = [logged(1, 0, 1) for _ in range(100)] + [logged(1, 1, 0) for _ in range(100)]

    (arm,) = report(one_trace).arms

    assert (arm.figures["hit@1"].low, arm.figures["hit@1"].high) == (0.0, 1.0)


def test_too_few_traces_come_with_a_warning():
    """An interval from three traces looks like one from three thousand."""
    few = report([logged(1, at, 1) for at in range(LEAST_TRACES - 1)])
    enough = report([logged(1, at, 1) for at in range(LEAST_TRACES)])

    assert few.warnings == (
        f"version 1 (arm 1) was scored on {LEAST_TRACES - 1} traces; under {LEAST_TRACES} its intervals say little",
    )
    assert enough.warnings == ()


def test_a_version_of_which_nothing_is_known_yet_is_shown_and_not_compared():
    """Right after the start of an A/B that is every version."""
    found = report([logged(1, 1, 1), logged(2, 2, 0, scored=False, came=False)])

    assert [(arm.version, arm.scored, arm.figures == {}) for arm in found.arms] == [(1, 1, False), (2, 0, True)]
    assert found.differences == ()


def test_nothing_logged_is_an_empty_report():
    """Nobody asked yet."""
    empty = report([])

    assert (empty.arms, empty.differences, empty.warnings) == ((), (), ())


def test_any_order_of_the_records_gives_the_same_report():
    """Stores promise an order, reports should not need one."""
    records = [logged(version, at, at % 4, said=at % 10 / 10) for version in (1, 2) for at in range(40)]
    shuffled = random.Random(5).sample(records, len(records))

    assert rounded(msgspec.to_builtins(report(shuffled))) == rounded(msgspec.to_builtins(report(records)))


def rounded(value: object) -> object:
    """Sums of fractions in another order differ in the last digit."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return round(value, 9) if isinstance(value, float) else value
