"""
The questions that are evaluated, their arms, and how each arm is asked.

An arm with its weights bound is a plain function of the graph and what is asked, so that
evaluating and tuning replay the same way. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any, Literal, NamedTuple, get_args

from clew.graph.paths import ARMS as PATH_ARMS
from clew.graph.paths import WEIGHTS as PATH_WEIGHTS
from clew.graph.paths import path
from clew.graph.plan import ARMS as PLAN_ARMS
from clew.graph.plan import WEIGHTS as PLAN_WEIGHTS
from clew.graph.plan import plan
from clew.graph.search import ARMS as SEARCH_ARMS
from clew.graph.search import WEIGHTS as SEARCH_WEIGHTS
from clew.graph.search import search
from clew.graph.suggest import ARMS as SUGGEST_ARMS
from clew.graph.suggest import WEIGHTS as SUGGEST_WEIGHTS
from clew.graph.suggest import rank

Question = Literal["next", "path", "plan", "search"]
QUESTIONS: tuple[Question, ...] = get_args(Question)

BASELINES: dict[Question, str] = {"next": "follows", "path": "fixed", "plan": "majority", "search": "text"}
"""What the other arms are held against."""

HEADLINES: dict[Question, tuple[str, ...]] = {
    "next": ("hit@1", "MRR"),
    "path": ("exact", "F1 between"),
    "plan": ("edge F1",),
    "search": ("recall@5", "all@5"),
}
"""The figures of each question that must not be below the baseline's."""

AIMS: dict[Question, tuple[str, ...]] = {**HEADLINES, "next": (*HEADLINES["next"], "quadratic")}
"""The figures whose mean tuning raises. For the next tool also calibration, which the others do not feel."""


class _Answer(NamedTuple):
    """How a question is answered."""

    ask: Callable[..., Any]
    arms: Sequence[str]
    weights: Mapping[str, Any]
    """Of all arms together, or arm by arm."""


_ANSWERS: dict[Question, _Answer] = {
    "next": _Answer(rank, SUGGEST_ARMS, SUGGEST_WEIGHTS),
    "path": _Answer(path, PATH_ARMS, PATH_WEIGHTS),
    "plan": _Answer(plan, PLAN_ARMS, PLAN_WEIGHTS),
    "search": _Answer(search, SEARCH_ARMS, SEARCH_WEIGHTS),
}


def arms_of(question: Question) -> tuple[str, ...]:
    """Give the arms of a question."""
    return tuple(_ANSWERS[question].arms)


def default_arm(question: Question) -> str:
    """Give the arm that answers if nobody says which."""
    arm: str = signature(_ANSWERS[question].ask).parameters["arm"].default
    return arm


def default_weights(question: Question, arm: str) -> dict[str, float]:
    """Give the weights of an arm that can be tuned; empty if it has none."""
    weights = _ANSWERS[question].weights
    own = weights.get(arm, weights)
    return {name: weight for name, weight in own.items() if isinstance(weight, float)}


def asker(question: Question, arm: str, weights: Mapping[str, float] | None = None) -> Callable[..., Any]:
    """Give the question as a function, with its arm and weights bound."""
    return partial(_ANSWERS[question].ask, arm=arm, weights=weights)
