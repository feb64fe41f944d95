"""What latencies are made of, summed by the server from the tallies of traces and of deltas."""

from __future__ import annotations

from clew.model.tally import Sums, Tally
from clew.store.clickhouse.connect import Servers, hexed
from clew.store.latencies import Asked, Tallied
from clew.store.tally import MINUTE_S, Operation

LAST = (1 << 63) - 1
"""Behind every position of a log."""


def read_tallies(servers: Servers, project: str, asked: Asked) -> Tallied:
    """Sum up what `LatencyReader` asks for."""
    values = {
        "project": hexed(project),
        "from_minute": asked.from_s // MINUTE_S,
        "to_minute": -(-asked.to_s // MINUTE_S),
        "kind": asked.kind or "",
        "name": hexed(asked.name or ""),
        "model": hexed(asked.model or ""),
        "step_s": asked.step_s or 0,
    }
    groups = {f"by_{name}": int(name in asked.group_by) for name in ("kind", "name", "model")}
    # Drops move counts from traces to the log: read both as of one of its positions.
    values["gone"] = servers.value("head", {"project": hexed(project), "stream": "gone"}) or 0
    values["told"] = LAST
    rows = servers.rows("tallies", values | groups)
    tallied: Tallied = {}
    for step_s, kind, name, model, *sums, (buckets, counts) in rows:
        tally = Tally()
        tally.add_sums(Sums(*sums))
        tally.buckets = dict(zip(buckets, counts, strict=True))
        tallied[step_s, Operation(text_of(kind), text_of(name), text_of(model))] = tally  # type: ignore[arg-type]
    return tallied


def text_of(text: bytes | str) -> str:
    """Give a text as one: columns of few values come as texts, the others as bytes."""
    return text.decode() if isinstance(text, bytes) else text
