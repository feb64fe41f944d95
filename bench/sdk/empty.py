"""Floor and Clew in turns: `python -m bench.sdk.empty URL`, one line of JSON. Needs nothing but Clew."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import clew
from bench.sdk import floor

BATCHES, SPANS = 200, 50


def batch_us(make: Callable[[str], Any]) -> float:
    """Microseconds of one empty span, in a batch under a root."""
    with make("root"):
        start_ns = time.perf_counter_ns()
        for _ in range(SPANS):
            with make("empty"):
                pass
        return (time.perf_counter_ns() - start_ns) / 1e3 / SPANS


def main(url: str) -> None:
    """Take turns, with rests in which the exporter keeps up."""
    clew.configure(url, service="bench")
    floors, owns = [], []
    for _ in range(BATCHES):
        floors.append(batch_us(floor.Span))
        owns.append(batch_us(clew.span))
        time.sleep(0.01)
    clew.shutdown()
    print(json.dumps({"floor_us": median(floors[BATCHES // 5 :]), "clew_us": median(owns[BATCHES // 5 :])}))


if __name__ == "__main__":
    main(sys.argv[1])
