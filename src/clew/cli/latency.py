"""`clew latency`: how long operations take, over time, and as a heat map."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from clew import config
from clew.cli.out import JsonOption, errors, out, print_json
from clew.cli.source import open_source
from clew.cli.text import cost, duration, one_line, when
from clew.cli.traces import KeyOption, ProjectOption, StoreOption, UrlOption
from clew.errors import BadFilter

SHADES = " ·░▒▓█"
"""Of a heat map: nothing, and then by the share of the fullest cell."""

PICTURE_CELLS, MOST_CELLS = 56, 6
"""A heat map of few columns draws them wider: to about so many characters, and at most so many each."""


def latency(
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    days: Annotated[str, typer.Option("--days", help="How far back; 7 if not given, or what has spans of them.")] = "",
    since: Annotated[str, typer.Option("--from", help="Started at or after: ISO 8601 or Unix seconds.")] = "",
    until: Annotated[str, typer.Option("--to", help="Started before; now if not given.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Only spans of this kind.")] = "",
    name: Annotated[str, typer.Option("--name", help="Only spans of exactly this name.")] = "",
    model: Annotated[str, typer.Option("--model", help="Only spans of exactly this model.")] = "",
    by: Annotated[str, typer.Option("--by", help="What makes one operation: any of kind,name,model.")] = "",
    quantiles: Annotated[str, typer.Option("--quantiles", help="More of them, such as 0.9,0.999.")] = "",
    step: Annotated[str, typer.Option("--step", help="Over time: minute, hour, day, or like 5m, 6h.")] = "",
    heat: Annotated[bool, typer.Option("--heat", help="As a heat map: how many took how long, over time.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show latencies and usage from histograms over all traffic, at most 1 % off."""
    if heat and (by or quantiles):
        raise BadFilter("--heat", "a heat map is of one operation; choose it by --kind, --name and --model")
    params = {
        "project": project, "lookback_days": days, "from": since, "to": until, "operation_type": kind, "name": name,
        "model": model, "group_by": by, "quantiles": quantiles, "step": step,
    }  # fmt: skip
    if (heat or step) and not (days or since or until):
        params["fit"] = "1"  # Who names no window wants to see something, and not six days of nothing.
    given = {parameter: value for parameter, value in params.items() if value}
    with closing(open_source(store, url or config.URL.read(), key or config.API_KEY.read())) as source:
        body = source.latency(given, "heat" if heat else "steps" if step else "")
    if as_json:
        print_json(body)
    elif heat:
        _print_heat(body)
    else:
        _print_rows(body, over_time=bool(step))


def _print_rows(body: dict[str, Any], *, over_time: bool) -> None:
    steps = body["steps"] if over_time else [body]
    rows = [(step["from"], row) for step in steps for row in step["operations"]]
    if not rows:
        errors().print("nothing was measured in this window")
        return
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    chosen = list(rows[0][1]["quantiles_ms"])
    names = [f"p{float(share) * 100:.10g}" for share in chosen]
    if over_time:
        table.add_column("from", no_wrap=True)
    table.add_column("operation", no_wrap=True)
    for title in ("count", "errors", "p50", "p95", "p99", *names, "tokens in", "out", "cost"):
        table.add_column(title, no_wrap=True, justify="right")
    for at, row in rows:
        table.add_row(*([when(at)] if over_time else []), _operation(row), *_figures(row, chosen))
    out().print(table)


def _operation(row: dict[str, Any]) -> Text:
    words = (row["operation_type"].lower(), row["name"], row["model"])
    return Text(one_line(" ".join(word for word in words if word), 60) or "all")


def _figures(row: dict[str, Any], chosen: list[str]) -> list[str]:
    times = [row["p50_ms"], row["p95_ms"], row["p99_ms"], *(row["quantiles_ms"][share] for share in chosen)]
    usage = [f"{row[field]:,}" if row[field] else "" for field in ("input_tokens", "output_tokens")]
    return [
        f"{row['count']:,}",
        f"{row['errors']:,}" if row["errors"] else "",
        *map(duration, times),
        *usage,
        cost(row["cost_usd"] or None),
    ]


def _print_heat(body: dict[str, Any]) -> None:
    if not body["cells"]:
        errors().print("nothing was measured in this window")
        return
    counts = {(column, row): count for column, row, count in body["cells"]}
    fullest = max(counts.values())
    wide = max(1, min(MOST_CELLS, PICTURE_CELLS // len(body["steps"])))
    console = out()
    for row in reversed(range(len(body["rows"]))):
        shades = "".join(wide * _shade(counts.get((column, row), 0), fullest) for column in range(len(body["steps"])))
        label = duration(body["rows"][row]["up_to_ms"])
        console.print(Text(f"{label:>12} │{shades}│"), no_wrap=True, soft_wrap=True)
    first, last = body["steps"][0]["from"], body["steps"][-1]["to"]
    console.print(Text(f"{when(first)} to {when(last)}, a column is {_length(body['step_s'])}"))


def _length(step_s: int) -> str:
    for unit_s, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if step_s % unit_s == 0:
            count = step_s // unit_s
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return f"{step_s:,} s"


def _shade(count: int, fullest: int) -> str:
    return SHADES[-(-count * (len(SHADES) - 1) // fullest)]
