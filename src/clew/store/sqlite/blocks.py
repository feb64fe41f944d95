"""
What the traces of a block have at most, so that a filter that none can meet leaves the block out. Pure.

A block is 1,024 traces in the order of arrival. A commit widens the bounds of the few blocks that it
touches: rows of `trace_blocks` and `trace_block_models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from clew.model import Flag, Status
from clew.store.columns import int64
from clew.store.retention import STATUSES

BLOCK_BITS = 10
"""Of a seq: as in schema.sql."""

_MOST = (1 << 63) - 1
_FLAGS = list(Flag)
_CLASSES = {
    (flag.value, status): 1 << (at * len(STATUSES) + of)
    for at, flag in enumerate(_FLAGS)
    for of, status in enumerate(STATUSES)
}
_names = msgspec.json.Decoder(list[str])


def classes(flag: Flag | None, status: Status | None) -> int:
    """Give the bits of the classes that a filter lets through."""
    return sum(
        bit for (of_flag, of_status), bit in _CLASSES.items() if flag in (None, of_flag) and status in (None, of_status)
    )


def rows_of(
    project_id: int, summaries: Iterable[tuple[int, Sequence[Any]]]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Give rows of both tables for traces, each its seq and what `rows.summary_values` made of it."""
    by_block: dict[int, list[Sequence[Any]]] = {}
    for seq, values in summaries:
        by_block.setdefault(seq >> BLOCK_BITS, []).append(values)
    bounds = [(project_id, block, *_bounds(rows)) for block, rows in by_block.items()]
    models = [
        (project_id, model, block)
        for block, rows in by_block.items()
        for model in sorted({model for text in {row[_MODELS] for row in rows} for model in _names.decode(text)})
    ]
    return bounds, models


_START, _DURATION, _STATUS, _KINDS, _MODELS, _INPUT, _OUTPUT, _COST, _FLAG = 2, 4, 5, 10, 11, 15, 16, 17, 24
"""Where `rows.summary_values` has them."""


def _bounds(rows: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    starts_ns = [row[_START] for row in rows]
    durations_ns = [row[_DURATION] for row in rows if row[_DURATION] is not None]
    tokens = [row[_INPUT] + row[_OUTPUT] for row in rows]
    costs_usd = [row[_COST] for row in rows if row[_COST] is not None]
    kinds = flags = 0
    for row in rows:
        kinds |= row[_KINDS]
        flags |= _CLASSES[row[_FLAG], row[_STATUS]]
    return (
        min(starts_ns),
        max(starts_ns),
        min(durations_ns, default=_MOST),
        max(durations_ns, default=-_MOST),
        int64(min(tokens)),
        int64(max(tokens)),
        min(costs_usd, default=float("inf")),
        max(costs_usd, default=float("-inf")),
        kinds,
        flags,
    )
