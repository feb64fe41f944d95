"""
Measure what tracing adds to the caller, Clew beside its peers.

Rounds are interleaved (each round runs every subject once, beginning with another one each
time), and what a subject adds is taken against no tracing in the same round, so that a noisy
minute of the machine falls on all alike. The figure is the median over the rounds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import peers
from bench.places import scratch
from bench.report import Figure, Section, percentile
from bench.sdk import imports, pythons
from bench.sdk.program import run, sink
from bench.sdk.subjects import SUBJECTS
from bench.servers import Client

Runs = dict[str, list[dict[str, Any]]]
"""For each subject one result a round."""

PEERS = ("opentelemetry", "ddtrace", "langsmith")

COLUMNS = (
    "added, µs",
    "p50",
    "p99",
    "CPU",
    "a request flat out, p99",
    "empty span",
    "decorated",
    "async",
    "8 attributes",
    "spans made",
    "arrived",
)


@dataclass(frozen=True)
class Wanted:
    """The part of a peer's cost that Clew's may be; None: told, not judged."""

    request: float | None
    empty: float
    tail: bool
    """The bound of the request holds for its p99 too."""


WANTED = {
    "opentelemetry": Wanted(request=1 / 3, empty=1 / 6, tail=True),
    "ddtrace": Wanted(request=1 / 3, empty=1 / 3, tail=True),
    "langsmith": Wanted(request=1 / 10, empty=1 / 50, tail=False),
}

REQUEST_P50_US, REQUEST_P99_US = 70, 150
TOKEN_US = 0.5
TOKEN_WAYS = {
    "stream": "span.stream",
    "async stream": "span.stream, async",
    "token": "span.token",
    "timing": "noted in a traced generator",
    "async timing": "noted in a traced async generator",
    "traced": "all of a traced generator",
    "async traced": "all of a traced async generator",
}


def measure(*, rounds: int, requests: int) -> Section:
    """Run every subject *rounds* times, *requests* paced requests each; then what needs no peer beside it."""
    interpreters = {subject: peers.interpreter(subject) for subject in SUBJECTS}
    runs: Runs = {subject: [] for subject in SUBJECTS}
    names = list(SUBJECTS)
    with scratch("sdk") as directory:
        for number in range(rounds):
            turn = number % len(names)
            for subject in names[turn:] + names[:turn]:
                print(f"sdk: round {number + 1} of {rounds}, {subject}", file=sys.stderr, flush=True)
                runs[subject].append(one(subject, interpreters[subject], requests, directory))
        turns = pythons.measure(rounds, directory)
        tokens = [streams(directory) for _ in range(rounds)]
    imported = imports.measure()
    figures = [
        *pythons.figures(turns),
        *requests_figures(runs),
        *tokens_figures(tokens),
        *imports.figures(imported),
    ]
    raw = {"runs": runs, "pythons": turns, "tokens": tokens, "imports": imported}
    return Section("The caller's cost: a RAG request of 8 spans, 250 a second", figures, COLUMNS, details(runs), raw)


def one(subject: str, interpreter: Path, requests: int, directory: Path) -> dict[str, Any]:
    """One subject, one round, one sink."""
    with sink(directory) as port:
        arguments = [subject, f"http://127.0.0.1:{port}", str(requests)]
        result: dict[str, Any] = json.loads(run(interpreter, "bench.sdk.workload", arguments, directory))
        result["arrived"] = Client(port).get("/_arrived")["spans"]
    return result


def streams(directory: Path) -> dict[str, float]:
    """What a streamed token costs."""
    with sink(directory) as port:
        result: dict[str, float] = json.loads(
            run(pythons.own(), "bench.sdk.streams", [f"http://127.0.0.1:{port}"], directory)
        )
    return result


def added(runs: Runs, subject: str, share: float) -> float:
    """Microseconds that *subject* adds to no tracing at a percentile: the median over the rounds."""
    pairs = zip(runs[subject], runs["none"], strict=True)
    return median(percentile(own["paced_us"], share) - percentile(none["paced_us"], share) for own, none in pairs)


def tail(runs: Runs, subject: str) -> float:
    """Microseconds of a request at p99 when they come as fast as it goes: the median over the rounds."""
    return median(percentile(run["flat_out_us"], 0.99) for run in runs[subject])


def cpu_added(runs: Runs, subject: str) -> float:
    """Microseconds of the processor that *subject* adds to a request, all threads, over no tracing."""
    return median(own["cpu_us"] - none["cpu_us"] for own, none in zip(runs[subject], runs["none"], strict=True))


def requests_figures(runs: Runs) -> Iterator[Figure]:
    """Put the results beside each other and beside what was wanted."""
    yield from bounds(runs)
    for peer in PEERS:
        yield from against(runs, peer)
    own, other = (tail(runs, name) for name in ("clew", "ddtrace"))
    yield compared("a request flat out at p99, beside ddtrace", own, other, 1)
    for peer in PEERS:
        yield compared(f"CPU of a request, beside {peer}", cpu_added(runs, "clew"), cpu_added(runs, peer), 1)
    for peer in PEERS:
        yield single(runs, peer)


def bounds(runs: Runs) -> Iterator[Figure]:
    """The absolute bounds on what is added."""
    for share, name, most_us in ((0.5, "p50", REQUEST_P50_US), (0.99, "p99", REQUEST_P99_US)):
        own, none = added(runs, "clew", share), median(percentile(run["paced_us"], share) for run in runs["none"])
        untraced = f"{none:.0f} µs untraced"
        yield Figure(
            f"added to a request at {name}", f"{own:.0f} µs", untraced, "", f"at most {most_us} µs", own <= most_us
        )


def against(runs: Runs, peer: str) -> Iterator[Figure]:
    """What Clew adds as a part of what *peer* adds."""
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        most = WANTED[peer].request if share == 0.5 or WANTED[peer].tail else None
        own, other = added(runs, "clew", share), added(runs, peer, share)
        yield compared(f"added to a request at {name}, beside {peer}", own, other, most)


def compared(what: str, own: float, other: float, most: float | None) -> Figure:
    """Microseconds beside microseconds, of which Clew's may be *most* as many."""
    target = "" if most is None else "below" if most == 1 else f"at most 1/{1 / most:.0f}"
    met = None if most is None else own < other if most == 1 else own <= most * other
    return Figure(what, f"{own:.0f} µs", f"{other:.0f} µs", f"{own / other:.3f}", target, met)


def single(runs: Runs, peer: str) -> Figure:
    """An empty span beside the peer's."""
    most = WANTED[peer].empty
    own, other = (median(run["empty_us"] for run in runs[subject]) for subject in ("clew", peer))
    ratio = median(a["empty_us"] / b["empty_us"] for a, b in zip(runs["clew"], runs[peer], strict=True))
    target = f"at most 1/{1 / most:.0f}"
    return Figure(
        f"an empty span, beside {peer}", f"{own:.2f} µs", f"{other:.2f} µs", f"{ratio:.3f}", target, ratio <= most
    )


def tokens_figures(tokens: list[dict[str, float]]) -> Iterator[Figure]:
    """A streamed token: noted by itself; and noted by the decorator, which puts each step under its span as well."""
    for way, what in TOKEN_WAYS.items():
        own_us = median(each[way] for each in tokens)
        is_judged = "traced" not in way
        target, met = (f"under {TOKEN_US} µs", own_us < TOKEN_US) if is_judged else ("", None)
        yield Figure(f"a token: {what}", f"{own_us:.2f} µs", "", "", target, met)


def details(runs: Runs) -> list[tuple[str, ...]]:
    """A row for each subject."""
    rows = []
    for subject, results in runs.items():
        cells = [
            added(runs, subject, 0.5),
            added(runs, subject, 0.99),
            cpu_added(runs, subject),
            tail(runs, subject),
        ]
        keys = ("empty_us", "function_us", "coroutine_us", "eight_us")
        single_us = [f"{median(run[key] for run in results):.2f}" for key in keys]
        counts = sum(run["made"] for run in results), sum(run["arrived"] for run in results)
        rows.append((subject, *(f"{cell:.0f}" for cell in cells), *single_us, *(f"{count:,}" for count in counts)))
    return rows
