"""
A traced program whose server is in trouble: `python -m bench.sdk.troubled SUBJECT URL REQUESTS RATE`.

It serves RATE requests a second (0: as fast as it goes), prints one line of JSON, and ends as any
program ends: without a flush. With REQUESTS zero it makes one span and stays until its input is
closed, so that what an earlier process has left behind may be sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.sdk.subjects import SUBJECTS, Untraced
from bench.sdk.workload import SPANS_PER_REQUEST, timed

WARM_UP = 20
PATIENCE_S = 75
"""A program that is slowed down so much that it has not served its requests by then stops."""


def resident_mb() -> float:
    """Memory of this process now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0)


async def serve(sdk: Untraced, requests: int, rate: float) -> dict[str, Any]:
    """Serve the requests; what each took is told too."""
    for _ in range(WARM_UP):
        await timed(sdk)
    before_mb = resident_mb()
    took_us = []
    begun = due = time.perf_counter()
    for _ in range(requests - WARM_UP):
        if rate:
            due += 1 / rate
            early_s = due - time.perf_counter()
            if early_s > 0:
                await asyncio.sleep(early_s)
        took_us.append(await timed(sdk))
        if time.perf_counter() - begun > PATIENCE_S:
            break
    made = (WARM_UP + len(took_us)) * SPANS_PER_REQUEST
    return {"made": made, "before_mb": before_mb, "served_s": time.perf_counter() - begun, "took_us": took_us}


def main(subject: str, url: str, requests: int, rate: float) -> None:
    """Serve, or wait."""
    sdk = SUBJECTS[subject](url)
    if not requests:
        with sdk.span("later"):
            pass
        sys.stdin.read()
        return
    print(json.dumps(asyncio.run(serve(sdk, requests, rate))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
