"""`python -m bench [sdk|trouble|ingest|query|crash|graph|stores …]`: measure, print, keep. README.md says how."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import crash, graph, ingest, peers, query, report, stores
from bench.places import ROOT
from bench.sdk import drive, trouble

PARTS = ("sdk", "trouble", "ingest", "query", "crash", "graph", "stores")
NEEDED = {
    "sdk": drive.PEERS,
    "trouble": trouble.PEERS,
    "ingest": ("phoenix",),
    "query": (),
    "crash": (),
    "graph": graph.PEERS,
    "stores": (),
}


def arguments() -> argparse.Namespace:
    """The parts, and how much of each."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Clew beside its peers, in one run.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; all when none is named")
    sizes = {
        "rounds": (5, "sdk: interleaved rounds"),
        "requests": (1000, "sdk: paced requests of a round"),
        "away-spans": (200_000, "trouble: spans made while the server is away"),
        "away-rate": (0, "trouble: requests a second meanwhile; 0 is as fast as it goes"),
        "ingest-rounds": (3, "ingest: fresh servers for each dialect"),
        "spans": (204_800, "ingest, stores: spans of a load"),
        "phoenix-spans": (10_240, "ingest: spans of Phoenix' load; 0 leaves Phoenix out"),
        "connections": (8, "ingest: connections that send side by side"),
        "stored": (200_000, "query: spans in the store"),
        "asks": (100, "query: times that each question is asked"),
        "writes": (100, "query: background writes"),
        "kills": (20, "crash: how often the server is killed"),
        "nodes": (10_000, "graph: tools and capabilities"),
        "edges": (100_000, "graph: edges of the graph that is asked"),
        "graph-asks": (200, "graph: times that each question is asked"),
        "graph-traces": (20_000, "graph: RAG requests that are learned"),
        "store-asks": (60, "stores: times that each question is asked"),
    }
    for name, (default, meaning) in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{meaning} ({default})")
    parser.add_argument(
        "--store", choices=sorted(stores.ENGINES), help="stores: one engine, with and without full text"
    )
    parser.add_argument("--no-text", action="store_true", help="stores: only without full text")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="stores: keep SQLite's files there, or go on with them"
    )
    parser.add_argument("--strict", action="store_true", help="end with status 1 when a target was missed")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return given


def main() -> int:
    """Run the parts that were named, one after the other: side by side they would disturb each other."""
    given = arguments()
    begun = time.monotonic()
    console = Console(width=None if sys.stdout.isatty() else 160)
    named = [part for part in PARTS if part in (given.parts or PARTS)]
    needed = [peer for part in named for peer in NEEDED[part] if peer != "phoenix" or given.phoenix_spans]
    needed = list(dict.fromkeys(needed))
    for peer in needed:
        peers.python(peer)
    on = report.machine(needed)
    console.print(on + "\n", soft_wrap=True)
    measures: dict[str, Callable[[], report.Section]] = {
        "sdk": partial(drive.measure, rounds=given.rounds, requests=given.requests),
        "trouble": partial(trouble.measure, spans=given.away_spans, rate=given.away_rate),
        "ingest": partial(
            ingest.measure,
            rounds=given.ingest_rounds,
            spans=given.spans,
            phoenix_spans=given.phoenix_spans,
            connections=given.connections,
        ),
        "query": partial(query.measure, spans=given.stored, asks=given.asks, writes=given.writes),
        "crash": partial(crash.measure, kills=given.kills),
        "graph": partial(
            graph.measure, nodes=given.nodes, edges=given.edges, asks=given.graph_asks, traces=given.graph_traces
        ),
        "stores": partial(
            stores.measure,
            spans=given.spans,
            asks=given.store_asks,
            engine=given.store,
            text=not given.no_text,
            at=given.keep,
        ),
    }
    sections = []
    for part in named:
        sections.append(measures[part]())
        report.show(sections[-1], console)
    verdicts = [figure.met for section in sections for figure in section.figures if figure.met is not None]
    path = report.save(sections, on)
    minutes = (time.monotonic() - begun) / 60
    console.print(
        f"{sum(verdicts)} of {len(verdicts)} targets met, in {minutes:.1f} minutes; "
        f"all figures in {path.relative_to(ROOT)}",
        soft_wrap=True,
    )
    return int(given.strict and not all(verdicts))


if __name__ == "__main__":
    sys.exit(main())
