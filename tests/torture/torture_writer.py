"""
Writes batches into a store and says when each is acknowledged: a process for `strace` to watch and to kill.

    python torture_writer.py sqlite:///FILE BATCHES
"""

from __future__ import annotations

import os
import sys

from clew.model import Batch, Span
from clew.store import open_store

TRACES_PER_BATCH, SPANS_PER_TRACE = 40, 8
ACKNOWLEDGED = "acknowledged"


def trace_ids(batch: int) -> list[str]:
    """The traces of the batch of that number. Spread, as random ids are."""
    return [
        f"{(batch * TRACES_PER_BATCH + at + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}"
        for at in range(40)
    ]


def spans_of(batch: int) -> list[Span]:
    """The spans of that batch, the same each time."""
    start_ns = 1_763_700_000_000_000_000 + batch
    return [
        Span(
            trace_id=trace_id,
            span_id=f"{at + 1:016x}",
            parent_id=f"{1:016x}" if at else None,
            name=f"step {at}",
            kind="tool" if at else "root",
            start_ns=start_ns,
            end_ns=start_ns + 1_000_000 * (at + 1),
            status="ok",
            inputs=f"words of batch {batch}, number {at}",
        )
        for trace_id in trace_ids(batch)
        for at in range(SPANS_PER_TRACE)
    ]


if __name__ == "__main__":
    store = open_store(sys.argv[1])
    for batch in range(int(sys.argv[2])):
        store.write([Batch(project="default", spans=spans_of(batch))])
        os.write(1, f"{ACKNOWLEDGED} {batch}\n".encode())
    store.close()
