"""`python -m bench.stores_opened URL TEXT`: open a store that is full, ask, and say in JSON how it went."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from clew.store import open_store
from clew.store.protocol import TraceFilter

DAY_NS = 86_400 * 10**9
PAGES = 40


def main() -> None:
    """Seconds until the first page, and megabytes resident after many."""
    begun = time.perf_counter()
    store = open_store(sys.argv[1], text_search=sys.argv[2] == "1")
    page = store.list_traces("default", TraceFilter(), limit=50)
    start_s = time.perf_counter() - begun
    now_ns = time.time_ns()
    for number in range(PAGES):
        page = store.list_traces("default", TraceFilter(to_ns=now_ns - number * 7 * DAY_NS // PAGES), limit=50)
        for summary in page.traces:
            store.trace("default", summary.trace_id)
        store.list_traces("default", TraceFilter(model="none"), limit=50)
        store.latency("default", since_ns=now_ns - 7 * DAY_NS, until_ns=now_ns)
    print(json.dumps({"start_s": start_s, "rss_mb": rss_mb("VmHWM"), "rss_anon_mb": rss_mb("RssAnon")}))
    store.close()


def rss_mb(name: str) -> float:
    """One of the figures that Linux gives of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
