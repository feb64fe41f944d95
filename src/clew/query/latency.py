"""How long each operation takes: quantiles over a window, over its steps, and as a heat map; from histograms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from clew.errors import BadFilter
from clew.model import Kind
from clew.query.filters import (
    DEFAULT_PROJECT,
    Params,
    kind_of,
    number_of,
    one_of,
    only_known,
    optional,
    text_of,
    time_of,
)
from clew.query.latency_steps import fitted, with_a_step
from clew.query.rows import iso
from clew.store.protocol import Latency, LatencyHeat, LatencyStep, MetricsReader

DAY_NS = 86_400_000_000_000
DEFAULT_LOOKBACK_DAYS = 7.0
MAX_LOOKBACK_DAYS = 3_660
T = TypeVar("T")
GROUPS = ("kind", "name", "model")

UNITS_S = {"m": 60, "h": 3_600, "d": 86_400, "minute": 60, "hour": 3_600, "day": 86_400}
_OF: Mapping[str, str] = {
    "project": "The project to read; `default` if not given.",
    "operation_type": "Only spans of this kind, such as RETRIEVAL; every kind if not given.",
    "name": "Only spans of exactly this name.",
    "model": "Only spans of exactly this model.",
    "lookback_days": f"How far back, in days, over 0 and up to {MAX_LOOKBACK_DAYS}; 7 if not given.",
    "from": "Spans that started at or after this, instead of `lookback_days`: ISO 8601, or Unix seconds.",
    "to": "Spans that started before this; now if not given.",
}
_STEP = {
    "step": "How long each step is: minute, hour, day, or like 5m, 6h, 7d; chosen by the window if not given.",
    "fit": "1 shrinks the window to where it has spans; 0 if not given.",
}
_QUANTILES = {"quantiles": "More of them beside p50, p95 and p99, from 0 to 1 and with commas: 0.5,0.9,0.999."}

LATENCY_PARAMS: Mapping[str, str] = {
    **_OF,
    "group_by": "What makes one operation: any of kind, name and model, with commas; kind if not given.",
    **_QUANTILES,
}
STEPS_PARAMS: Mapping[str, str] = {
    **_OF,
    **_STEP,
    "group_by": "What makes one operation: any of kind, name and model, with commas; all are one if not given.",
    **_QUANTILES,
}
HEAT_PARAMS: Mapping[str, str] = {
    **_OF,
    **_STEP,
    "rows_per_doubling": "In how many rows times double: 1, 5, 7 or 35; 1 if not given.",
}


class LatencyQuery(NamedTuple):
    """What to ask the histograms."""

    project: str
    kind: Kind | None
    lookback_ns: int
    group_by: tuple[str, ...]
    name: str | None = None
    model: str | None = None
    from_ns: int | None = None
    """Instead of looking back."""
    to_ns: int | None = None
    """Now, if not given."""
    quantiles: tuple[float, ...] = ()
    step_s: int | None = None
    rows_per_doubling: int = 1
    fit: bool = False
    """Shrink the window to where it has spans."""

    def window(self, now_ns: int) -> tuple[int, int]:
        """Give its begin and end, Unix nanoseconds."""
        until_ns = now_ns if self.to_ns is None else self.to_ns
        since_ns = max(0, until_ns - self.lookback_ns) if self.from_ns is None else self.from_ns
        if since_ns > until_ns:
            raise BadFilter("from", "it is after `to` or lies ahead, so the window ends before it begins")
        return since_ns, until_ns


def parse_latency_query(params: Params) -> LatencyQuery:
    """
    Read the parameters of `GET /api/v1/admin/traces/metrics/latency`.

    Raises:
        BadFilter: a parameter is unknown, repeated or makes no sense.
    """
    return _parse(params, LATENCY_PARAMS, group_by=("kind",))


def parse_steps_query(params: Params) -> LatencyQuery:
    """
    Read the parameters of `GET /api/v1/admin/traces/metrics/latency/steps`.

    Raises:
        BadFilter: a parameter is unknown, repeated or makes no sense.
    """
    return _parse(params, STEPS_PARAMS, group_by=())


def parse_heat_query(params: Params) -> LatencyQuery:
    """
    Read the parameters of `GET /api/v1/admin/traces/metrics/latency/heat`.

    Raises:
        BadFilter: a parameter is unknown, repeated or makes no sense.
    """
    return _parse(params, HEAT_PARAMS, group_by=())


def _parse(params: Params, known: Mapping[str, str], *, group_by: tuple[str, ...]) -> LatencyQuery:
    given = only_known(params, known)
    if "from" in given and "lookback_days" in given:
        raise BadFilter("lookback_days", "`from` says already where the window begins")
    days = optional(given, "lookback_days", _days_of)
    return LatencyQuery(
        project=optional(given, "project", text_of) or DEFAULT_PROJECT,
        kind=optional(given, "operation_type", kind_of),
        lookback_ns=round((days or DEFAULT_LOOKBACK_DAYS) * DAY_NS),
        group_by=optional(given, "group_by", _groups_of) or group_by,
        name=optional(given, "name", text_of),
        model=optional(given, "model", text_of),
        from_ns=optional(given, "from", time_of),
        to_ns=optional(given, "to", time_of),
        quantiles=optional(given, "quantiles", _quantiles_of) or (),
        step_s=optional(given, "step", _step_of),
        rows_per_doubling=optional(given, "rows_per_doubling", _whole_of) or 1,
        fit=optional(given, "fit", _switch_of) or False,
    )


def latency(store: MetricsReader, query: LatencyQuery, *, now_ns: int) -> dict[str, Any]:
    """Give `{"from": iso, "to": iso, "operations": [row, …]}`."""
    since_ns, until_ns = query.window(now_ns)
    found = store.latency(
        query.project,
        since_ns=since_ns,
        until_ns=until_ns,
        kind=query.kind,
        name=query.name,
        model=query.model,
        group_by=query.group_by,
        quantiles=query.quantiles,
    )
    return {"from": iso(since_ns), "to": iso(until_ns), "operations": [_operation_row(one) for one in found]}


def latency_steps(store: MetricsReader, query: LatencyQuery, *, now_ns: int) -> dict[str, Any]:
    """Give `{"from": iso, "to": iso, "step_s": n, "steps": [{"from", "to", "operations": [row, …]}, …]}`."""
    since_ns, until_ns = _window(store, query, now_ns)

    def ask(step_s: int) -> list[LatencyStep]:
        return store.latency_steps(
            query.project,
            since_ns=since_ns,
            until_ns=until_ns,
            step_s=step_s,
            kind=query.kind,
            name=query.name,
            model=query.model,
            group_by=query.group_by,
            quantiles=query.quantiles,
        )

    found, step_s = _in_steps(query, since_ns, until_ns, ask)
    return {"from": iso(since_ns), "to": iso(until_ns), "step_s": step_s, "steps": [_step_row(one) for one in found]}


def latency_heat(store: MetricsReader, query: LatencyQuery, *, now_ns: int) -> dict[str, Any]:
    """
    Give `{"from", "to", "step_s", "steps": [{"from", "to"}, …], "rows": [{"over_ms", "up_to_ms"}, …], "cells": […]}`.

    A cell is `[step, row, count]`, by their places.
    """
    since_ns, until_ns = _window(store, query, now_ns)
    found, step_s = _in_steps(
        query,
        since_ns,
        until_ns,
        lambda step_s: _heat(store, query, since_ns, until_ns, step_s, query.rows_per_doubling),
    )
    return {"from": iso(since_ns), "to": iso(until_ns), "step_s": step_s, **_heat_body(found)}


def _window(store: MetricsReader, query: LatencyQuery, now_ns: int) -> tuple[int, int]:
    since_ns, until_ns = query.window(now_ns)
    if not query.fit:
        return since_ns, until_ns
    return fitted(since_ns, until_ns, lambda since, until, step_s: _heat(store, query, since, until, step_s, 1))


def _in_steps(query: LatencyQuery, since_ns: int, until_ns: int, ask: Callable[[int], T]) -> tuple[T, int]:
    """Ask with the step that was given, and otherwise with one that suits the window."""
    if query.step_s is not None:
        return ask(query.step_s), query.step_s
    return with_a_step(since_ns, until_ns, ask)


def _heat(  # noqa: PLR0917
    store: MetricsReader, query: LatencyQuery, since_ns: int, until_ns: int, step_s: int, rows_per_doubling: int
) -> LatencyHeat:
    return store.latency_heat(
        query.project,
        since_ns=since_ns,
        until_ns=until_ns,
        step_s=step_s,
        kind=query.kind,
        name=query.name,
        model=query.model,
        rows_per_doubling=rows_per_doubling,
    )


def _days_of(name: str, value: str) -> float:
    days = number_of(name, value)
    if not 0 < days <= MAX_LOOKBACK_DAYS:
        raise BadFilter(name, f"it must be over 0 and at most {MAX_LOOKBACK_DAYS}")
    return days


def _groups_of(name: str, value: str) -> tuple[str, ...]:
    wanted = {one_of(name, part.strip().lower(), GROUPS) for part in value.split(",")}
    return tuple(group for group in GROUPS if group in wanted)


def _quantiles_of(name: str, value: str) -> tuple[float, ...]:
    """Read fractions. Whether they are from 0 to 1 is the store's to say, and how many there may be."""
    return tuple(dict.fromkeys(number_of(name, part.strip()) for part in value[:1_000].split(",")))


def _step_of(name: str, value: str) -> int:
    match = re.fullmatch(r"([0-9]{0,9}) ?([a-z]+)", value.lower())
    unit_s = UNITS_S.get(match[2]) or UNITS_S.get(match[2].rstrip("s")) if match else None
    if match is None or unit_s is None:
        raise BadFilter(name, f"{value[:60]!r} is not minute, hour, day, or like 5m, 6h, 7d")
    return int(match[1] or 1) * unit_s


def _whole_of(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise BadFilter(name, f"{value[:60]!r} is not a whole number")
    return int(value)


def _switch_of(name: str, value: str) -> bool:
    return one_of(name, value, ("0", "1")) == "1"


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
        "quantiles_ms": {str(share).removesuffix(".0"): at_ms for share, at_ms in one.quantiles_ms.items()},
    }


def _step_row(step: LatencyStep) -> dict[str, Any]:
    rows = [_operation_row(one) for one in step.operations]
    return {"from": iso(step.from_ns), "to": iso(step.to_ns), "operations": rows}


def _heat_body(heat: LatencyHeat) -> dict[str, Any]:
    return {
        "steps": [{"from": iso(from_ns), "to": iso(to_ns)} for from_ns, to_ns in heat.steps_ns],
        "rows": [{"over_ms": over_ms, "up_to_ms": up_to_ms} for over_ms, up_to_ms in heat.rows_ms],
        "cells": [list(cell) for cell in heat.cells],
    }
