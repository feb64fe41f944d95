"""Arms and suggestions as rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from clew.model.graph import Node
from clew.store.columns import as_json
from clew.store.graph_protocol import Arm, SuggestionRecord

OPEN, SCORED = 0, 1
"""What `graph_suggestions.state` says; 2 is closed without an outcome."""


class ArmRow(NamedTuple):
    """One arm."""

    question: str
    version: int
    arm: str
    weights: dict[str, float]
    note: str
    created_ns: int
    share: float


class SuggestionRow(NamedTuple):
    """One suggestion, but for its project."""

    suggestion_id: str
    question: str
    arm: str
    arm_version: int
    trace_id: str
    parent_span_id: str
    at_ns: int
    ranked: list[Node]
    probabilities: list[float]
    outcome: Node | None
    rank: int
    state: int


read_arms = msgspec.json.Decoder(list[ArmRow]).decode
read_suggestions = msgspec.json.Decoder(list[SuggestionRow]).decode


def arms_of(rows: Iterable[ArmRow]) -> list[Arm]:
    """Give arms, by question and version."""
    ordered = sorted(rows, key=lambda row: (row.question, row.version))
    return [Arm(*row[:6], row.share > 0, row.share) for row in ordered]


def suggestion_values(record: SuggestionRecord) -> dict[str, Any]:
    """Give a row of `graph_suggestions`, but for its project."""
    values = msgspec.structs.asdict(record)
    del values["project"], values["scored"]
    for name in ("ranked", "probabilities"):
        values[name] = as_json(values[name])
    return values | {
        "outcome": None if record.outcome is None else as_json(record.outcome),
        "state": SCORED if record.scored else OPEN,
    }


def suggestions_of(rows: Iterable[SuggestionRow], project: str) -> list[SuggestionRecord]:
    """Give suggestions, oldest first."""
    ordered = sorted(rows, key=lambda row: (row.at_ns, row.suggestion_id))
    return [
        SuggestionRecord(
            suggestion_id=row.suggestion_id,
            project=project,
            question=row.question,
            arm=row.arm,
            arm_version=row.arm_version,
            trace_id=row.trace_id,
            parent_span_id=row.parent_span_id,
            at_ns=row.at_ns,
            ranked=row.ranked,
            probabilities=row.probabilities,
            outcome=row.outcome,
            rank=row.rank,
            scored=row.state == SCORED,
        )
        for row in ordered
    ]
