"""`clew traces ls | show | export`: what is stored, for people and for pipes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple

import typer
from rich.table import Table
from rich.text import Text

from clew import config
from clew.cli.out import JsonOption, errors, out, print_json
from clew.cli.source import Source, open_source
from clew.cli.text import cost, duration, json_text, one_line, when
from clew.cli.tree import FLAG_STYLES, STATUS_STYLES, print_trace
from clew.query.conditions import pair_of
from clew.query.filters import DEFAULT_LIMIT, MAX_LIMIT

commands = typer.Typer(help="List, show and export traces.", no_args_is_help=True, rich_markup_mode=None)


class Format(str, Enum):
    """How `export` writes."""

    JSONL = "jsonl"
    JSON = "json"


StoreOption = Annotated[
    str | None, typer.Option("--store", help="Read this store straight, such as sqlite:///clew.db, with no server.")
]
UrlOption = Annotated[str | None, typer.Option("--url", help="The server to ask; CLEW_URL if not given.")]
KeyOption = Annotated[str | None, typer.Option("--key", help="An admin or read key; CLEW_API_KEY if not given.")]
ProjectOption = Annotated[str, typer.Option("--project", help="The project to read.")]


def _filter(name: str, text: str) -> Any:
    return typer.Option(name, help=text)


User = Annotated[str, _filter("--user", "Traces of this user.")]
Session = Annotated[str, _filter("--session", "Traces of this session.")]
Since = Annotated[str, _filter("--from", "Started at or after: ISO 8601 or Unix seconds.")]
Until = Annotated[str, _filter("--to", "Started before: ISO 8601 or Unix seconds.")]
MinLatency = Annotated[str, _filter("--min-latency-ms", "Took at least so long.")]
MaxLatency = Annotated[str, _filter("--max-latency-ms", "Took at most so long.")]
FlagOption = Annotated[str, _filter("--flag", "USER_NEGATIVE, EMPTY, LOW_CONFIDENCE or NORMAL.")]
StatusOption = Annotated[str, _filter("--status", "unset, ok or error.")]
KindOption = Annotated[str, _filter("--kind", "Has a span of this kind.")]
Model = Annotated[str, _filter("--model", "Has a span of this model.")]
SpanName = Annotated[str, _filter("--name", "Has a span of exactly this name.")]
Tags = Annotated[list[str] | None, _filter("--tag", "Has a span with this tag; may be repeated.")]
Attributes = Annotated[
    list[str] | None,
    _filter("--attr", "Has this attribute: tier=gold, top_k>=5, tier!=gold, or a name; may be repeated."),
]
Scores = Annotated[list[str] | None, _filter("--score", "Has such a score: rating<=2, fit=good; may be repeated.")]
MinTokens = Annotated[str, _filter("--min-tokens", "Took at least so many tokens, in and out.")]
MaxTokens = Annotated[str, _filter("--max-tokens", "Took at most so many tokens.")]
MinCost = Annotated[str, _filter("--min-cost-usd", "Cost at least so much.")]
MaxCost = Annotated[str, _filter("--max-cost-usd", "Cost at most so much.")]
Words = Annotated[str, _filter("--text", "Every word occurs in names, errors, inputs or outputs.")]


@commands.command("ls")
def ls(
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    user: User = "",
    session: Session = "",
    since: Since = "",
    until: Until = "",
    min_latency_ms: MinLatency = "",
    max_latency_ms: MaxLatency = "",
    flag: FlagOption = "",
    status: StatusOption = "",
    kind: KindOption = "",
    model: Model = "",
    text: Words = "",
    name: SpanName = "",
    tag: Tags = None,
    attr: Attributes = None,
    score: Scores = None,
    min_tokens: MinTokens = "",
    max_tokens: MaxTokens = "",
    min_cost_usd: MinCost = "",
    max_cost_usd: MaxCost = "",
    limit: Annotated[str, _filter("--limit", f"How many, 1 to {MAX_LIMIT}.")] = str(DEFAULT_LIMIT),
    cursor: Annotated[str, _filter("--cursor", "Go on after this, as the page before said.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List traces, newest first."""
    params = _params(
        project, user, session, since, until, min_latency_ms, max_latency_ms, flag, status, kind, model, text,
        name, min_tokens, max_tokens, min_cost_usd, max_cost_usd, tag=tag, attr=attr, score=score,
    )  # fmt: skip
    with closing(_source(store, url, key)) as source:
        page = source.traces([*params, ("limit", limit), ("cursor", cursor)])
    if as_json:
        print_json(page)
    else:
        _print_page(page)


def _print_page(page: dict[str, Any]) -> None:
    if page["traces"]:
        console = out()
        console.print(_table(page["traces"], console.width))
    if page.get("unfinished"):
        # What was looked through has an end; an empty table would read as "no such traces".
        errors().print(f"not all were looked through; to go on: --cursor {page['next_cursor']}", soft_wrap=True)
    elif page["next_cursor"]:
        errors().print(f"there are more: --cursor {page['next_cursor']}", style="bright_black", soft_wrap=True)
    elif not page["traces"]:
        errors().print("no traces match")


@commands.command("show")
def show(
    trace_id: Annotated[str, typer.Argument(help="The trace's id, 32 hex digits.")],
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    payloads: Annotated[bool, typer.Option("--payloads", help="Also inputs, outputs and attributes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one trace as a tree."""
    with closing(_source(store, url, key)) as source:
        body = source.trace(project, trace_id)
    if as_json:
        print_json(body)
        return
    link = f"{source.url}/#/traces/{body['trace']['trace_id']}" if source.url else None
    print_trace(out(), body, link, payloads=payloads)


@commands.command("export")
def export(
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    user: User = "",
    session: Session = "",
    since: Since = "",
    until: Until = "",
    min_latency_ms: MinLatency = "",
    max_latency_ms: MaxLatency = "",
    flag: FlagOption = "",
    status: StatusOption = "",
    kind: KindOption = "",
    model: Model = "",
    text: Words = "",
    name: SpanName = "",
    tag: Tags = None,
    attr: Attributes = None,
    score: Scores = None,
    min_tokens: MinTokens = "",
    max_tokens: MaxTokens = "",
    min_cost_usd: MinCost = "",
    max_cost_usd: MaxCost = "",
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many traces; all if not given.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="jsonl: one trace a line; json: one list.")] = Format.JSONL,
) -> None:
    """Write whole traces, with payloads, to stdout: JSON lines, newest first."""
    params = _params(
        project, user, session, since, until, min_latency_ms, max_latency_ms, flag, status, kind, model, text,
        name, min_tokens, max_tokens, min_cost_usd, max_cost_usd, tag=tag, attr=attr, score=score,
    )  # fmt: skip
    with closing(_source(store, url, key)) as source:
        _write(_whole_traces(source, params, limit), form)


def _source(store: str | None, url: str | None, key: str | None) -> Source:
    return open_source(store, url or config.URL.read(), key or config.API_KEY.read())


def _params(
    *values: str, tag: list[str] | None, attr: list[str] | None, score: list[str] | None
) -> list[tuple[str, str]]:
    names = (
        "project", "user_id", "session_id", "from", "to", "min_latency_ms", "max_latency_ms", "quality_flag",
        "status", "kind", "model", "text", "name", "min_tokens", "max_tokens", "min_cost_usd", "max_cost_usd",
    )  # fmt: skip
    return [
        *((name, value) for name, value in zip(names, values, strict=True) if value),
        *(("tag", each) for each in tag or ()),
        *(pair_of("attr.", each) for each in attr or ()),
        *(pair_of("score.", each) for each in score or ()),
    ]


def _table(rows: list[dict[str, Any]], width: int) -> Table:
    """Give the rows as a table with the columns that there is room for; id and name always."""
    columns = [column for column in COLUMNS if width >= column.from_width]
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.title, no_wrap=True, justify=column.justify)
    for row in rows:
        table.add_row(*(column.cell(row) for column in columns))
    return table


class Column(NamedTuple):
    """One column of the list."""

    title: str
    from_width: int
    """Shown in terminals at least so wide."""
    justify: Literal["left", "right"]
    cell: Callable[[dict[str, Any]], Text]


def _name(row: dict[str, Any]) -> Text:
    return Text(one_line(row["name"], 60) or "(no name)", "red" if row["status"] == "error" else "")


def _tokens(row: dict[str, Any]) -> Text:
    count = (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
    return Text(f"{count:,}" if count else "")


COLUMNS = (
    Column("started", 100, "left", lambda row: Text(when(row["started_at"]))),
    Column("trace", 0, "left", lambda row: Text(row["trace_id"], "bright_black")),
    Column("name", 0, "left", _name),
    Column("took", 0, "right", lambda row: Text(duration(row["duration_ms"]))),
    Column("spans", 120, "right", lambda row: Text(str(row["span_count"]))),
    Column("status", 120, "left", lambda row: Text(row["status"], STATUS_STYLES.get(row["status"], ""))),
    Column("flag", 0, "left", lambda row: Text(row["flag"], FLAG_STYLES.get(row["flag"], ""))),
    Column("tokens", 130, "right", _tokens),
    Column("cost", 130, "right", lambda row: Text(cost(row["cost_usd"]))),
)


def _whole_traces(source: Source, params: list[tuple[str, str]], limit: int | None) -> Iterator[dict[str, Any]]:
    left, cursor = limit, ""
    while left is None or left > 0:
        page = source.traces([*params, ("limit", str(min(MAX_LIMIT, left or MAX_LIMIT))), ("cursor", cursor)])
        for row in page["traces"]:
            yield source.trace(row["project"], row["trace_id"])
        left = None if left is None else left - len(page["traces"])
        cursor = page["next_cursor"] or ""
        if not cursor:
            return


def _write(traces: Iterator[dict[str, Any]], form: Format) -> None:
    opening, between, closing_ = ("", "\n", "\n") if form is Format.JSONL else ("[", ",\n", "]\n")
    sys.stdout.write(opening)
    separator = ""
    for trace in traces:
        sys.stdout.write(separator + json_text(trace))
        separator = between
    sys.stdout.write(closing_ if separator or form is Format.JSON else "")
    sys.stdout.flush()
