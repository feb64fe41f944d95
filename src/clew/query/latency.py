"""How long each operation takes: p50, p95 and p99 over the last days, from histograms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from clew.errors import BadFilter
from clew.model import Kind
from clew.query.filters import DEFAULT_PROJECT, Params, kind_of, number_of, one_of, only_known, optional, text_of
from clew.query.rows import iso
from clew.store.protocol import Latency, MetricsReader

DAY_NS = 86_400_000_000_000
DEFAULT_LOOKBACK_DAYS = 7.0
MAX_LOOKBACK_DAYS = 3_660
GROUPS = ("kind", "name", "model")

LATENCY_PARAMS: Mapping[str, str] = {
    "project": "The project to read; `default` if not given.",
    "operation_type": "Only spans of this kind, such as RETRIEVAL; every kind if not given.",
    "lookback_days": f"How far back, in days, over 0 and up to {MAX_LOOKBACK_DAYS}; 7 if not given.",
    "group_by": "What makes one operation: any of kind, name and model, with commas; kind if not given.",
}


class LatencyQuery(NamedTuple):
    """What to ask the histograms."""

    project: str
    kind: Kind | None
    lookback_ns: int
    group_by: tuple[str, ...]


def parse_latency_query(params: Params) -> LatencyQuery:
    """
    Read the parameters of `GET /api/v1/admin/traces/metrics/latency`.

    Raises:
        BadFilter: a parameter is unknown, repeated or makes no sense.
    """
    given = only_known(params, LATENCY_PARAMS)
    days = optional(given, "lookback_days", _days_of)
    return LatencyQuery(
        project=optional(given, "project", text_of) or DEFAULT_PROJECT,
        kind=optional(given, "operation_type", kind_of),
        lookback_ns=round((days or DEFAULT_LOOKBACK_DAYS) * DAY_NS),
        group_by=optional(given, "group_by", _groups_of) or ("kind",),
    )


def latency(store: MetricsReader, query: LatencyQuery, *, now_ns: int) -> dict[str, Any]:
    """Give `{"from": iso, "to": iso, "operations": [row, …]}` for the window that ends now."""
    since_ns = max(0, now_ns - query.lookback_ns)
    found = store.latency(query.project, since_ns=since_ns, until_ns=now_ns, kind=query.kind, group_by=query.group_by)
    return {"from": iso(since_ns), "to": iso(now_ns), "operations": [_operation_row(one) for one in found]}


def _days_of(name: str, value: str) -> float:
    days = number_of(name, value)
    if not 0 < days <= MAX_LOOKBACK_DAYS:
        raise BadFilter(name, f"it must be over 0 and at most {MAX_LOOKBACK_DAYS}")
    return days


def _groups_of(name: str, value: str) -> tuple[str, ...]:
    wanted = {one_of(name, part.strip().lower(), GROUPS) for part in value.split(",")}
    return tuple(group for group in GROUPS if group in wanted)


def _operation_row(one: Latency) -> dict[str, Any]:
    return {
        "operation_type": one.kind.upper(),
        "name": one.name,
        "model": one.model,
        "count": one.count,
        "errors": one.errors,
        "p50_ms": one.p50_ms,
        "p95_ms": one.p95_ms,
        "p99_ms": one.p99_ms,
        "mean_ms": one.mean_ms,
        "input_tokens": one.input_tokens,
        "output_tokens": one.output_tokens,
        "cost_usd": one.cost_usd,
    }
