"""`clew graph …`: what all the traces together teach, for people and for pipes."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from clew.cli import graph_text as show
from clew.cli.graph_ask import (
    ArmOption,
    Ask,
    LeastOption,
    TraceOption,
    TypeOption,
    WithinOption,
    k_option,
    open_asked,
    pairs,
)
from clew.cli.graph_change import arms, templates
from clew.cli.out import JsonOption, errors
from clew.cli.text import safe
from clew.cli.traces import KeyOption, ProjectOption, StoreOption, UrlOption
from clew.errors import ConfigError

commands = typer.Typer(
    help="Ask what all traces together teach: what comes next, what is needed first, what changed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
commands.add_typer(templates, name="template")
commands.add_typer(arms, name="arms")


class Format(str, Enum):
    """How `export` writes."""

    JSON = "json"
    DOT = "dot"
    MERMAID = "mermaid"
    GRAPHML = "graphml"


@commands.command("show")
def summary(
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the graph at a glance: its size, and what is called most."""
    Ask(store, url, key, project, as_json)("summary", show.print_summary)


@commands.command("suggest")
def suggest(
    called: Annotated[list[str] | None, typer.Argument(help="What was called so far, in order.")] = None,
    *,
    within: WithinOption = "",
    pending: Annotated[
        list[str] | None, typer.Option("--pending", help="An output that nothing has used yet; may be repeated.")
    ] = None,
    k: Annotated[str, k_option(5)] = "",
    arm: ArmOption = "",
    trace_id: Annotated[
        str, typer.Option("--trace-id", help="The trace that asks; the answer is logged, and scored when it has ended.")
    ] = "",
    parent_span_id: Annotated[
        str, typer.Option("--parent-span-id", help="With --trace-id: the span below which the next call will be.")
    ] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say what usually comes next."""
    ask = Ask(store, url, key, project, as_json)
    given = (("called", called), ("within", within), ("pending", pending), ("k", k), ("arm", arm))
    traced = (("trace_id", trace_id), ("parent_span_id", parent_span_id))
    ask("suggest", show.print_suggestions, *given, *traced, to_write=bool(trace_id))


@commands.command("path")
def path(
    start: Annotated[str, typer.Argument(help="Where the way starts.")],
    goal: Annotated[str, typer.Argument(help="Where the way ends.")],
    *,
    k: Annotated[str, k_option(3)] = "",
    arm: ArmOption = "",
    trace_id: TraceOption = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give the best ways from one tool to another."""
    given = (("from", start), ("to", goal), ("k", k), ("arm", arm), ("trace_id", trace_id))
    Ask(store, url, key, project, as_json)("path", show.print_paths, *given)


@commands.command("plan")
def plan(
    tools: Annotated[list[str], typer.Argument(help="The tools to be run.")],
    *,
    arm: ArmOption = "",
    trace_id: TraceOption = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say in which order to run a set of tools, and what can run side by side."""
    given = (("tool", tools), ("arm", arm), ("trace_id", trace_id))
    Ask(store, url, key, project, as_json)("plan", show.print_plan, *given)


@commands.command("similar")
def similar(
    node: Annotated[str, typer.Argument(help="A tool or capability.")],
    *,
    k: Annotated[str, k_option(5)] = "",
    arm: ArmOption = "",
    trace_id: TraceOption = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give the tools that keep the same company."""
    given = (("node", node), ("k", k), ("arm", arm), ("trace_id", trace_id))
    Ask(store, url, key, project, as_json)("similar", show.print_similar, *given)


@commands.command("search")
def search(
    text: Annotated[list[str], typer.Argument(help="What is to be done, in words.")],
    *,
    called: Annotated[
        list[str] | None, typer.Option("--called", help="What was called so far; may be repeated.")
    ] = None,
    within: WithinOption = "",
    k: Annotated[str, k_option(5)] = "",
    arm: ArmOption = "",
    trace_id: TraceOption = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Find tools and capabilities by what they are for."""
    given = (("text", " ".join(text)), ("called", called), ("within", within))
    Ask(store, url, key, project, as_json)(
        "search", show.print_found, *given, ("k", k), ("arm", arm), ("trace_id", trace_id)
    )


@commands.command("variants")
def variants(
    capability: Annotated[str, typer.Argument(help="The capability; whole traces if not given.")] = "",
    *,
    k: Annotated[str, k_option(10)] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the usual ways in which a capability runs."""
    given = (("capability", capability), ("k", k))
    Ask(store, url, key, project, as_json)("variants", show.print_variants, *given)


@commands.command("conform")
def conform(
    trace_id: Annotated[str, typer.Argument(help="The trace's id, 32 hex digits.")],
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show where one trace left the usual ways."""
    Ask(store, url, key, project, as_json)("conform", show.print_conformance, ("trace_id", trace_id))


@commands.command("diff")
def diff(
    before: Annotated[
        str, typer.Argument(help="2026-11-20, 2026-11-01..2026-11-07, 7d, version:1.4.2, project:shop or now.")
    ] = "",
    after: Annotated[str, typer.Argument(help="The same; `now` if not given, or for 7d the last seven days.")] = "",
    *,
    k: Annotated[str, k_option(50)] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what changed between two times, versions or projects."""
    given = (("before", before), ("after", after), ("k", k))
    Ask(store, url, key, project, as_json)("diff", show.print_diff, *given)


@commands.command("nodes")
def nodes(
    *,
    kind: Annotated[str, typer.Option("--kind", help="Only nodes of this kind, such as tool.")] = "",
    limit: Annotated[str, typer.Option("--limit", help="How many, most called first; 100 if not given.")] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """List tools, capabilities and other steps, most called first."""
    Ask(store, url, key, project, as_json)("nodes", show.print_nodes, ("kind", kind), ("limit", limit))


@commands.command("edges")
def edges(
    node: Annotated[str, typer.Argument(help="Only edges from or to this one.")] = "",
    *,
    types: TypeOption = None,
    origin: Annotated[str, typer.Option("--source", help="Only edges that are observed, inferred or template.")] = "",
    least_count: LeastOption = "",
    limit: Annotated[str, typer.Option("--limit", help="How many, most often seen first; 100 if not given.")] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """List what contains, follows and feeds what."""
    given = (("node", node), ("type", types), ("source", origin), ("least_count", least_count), ("limit", limit))
    Ask(store, url, key, project, as_json)("edges", show.print_edges, *given)


@commands.command("export")
def export(
    *,
    form: Annotated[Format, typer.Option("--format", help="json, dot, mermaid or graphml.")] = Format.JSON,
    types: TypeOption = None,
    least_count: LeastOption = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; stdout if not given.")
    ] = None,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
) -> None:
    """Write the whole graph, to be drawn or read elsewhere."""
    given = pairs(("project", project), ("format", form.value), ("type", types), ("least_count", least_count))
    with open_asked(store, url, key) as source:
        text = source.graph_export([*given])
    if output is None:
        sys.stdout.write(safe(text) + ("" if text.endswith("\n") else "\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError("--output", f"{output} cannot be written: {error.strerror}") from None
    errors().print(f"wrote {output}", style="bright_black", markup=False, soft_wrap=True)


@commands.command("ab")
def ab(
    question: Annotated[str, typer.Argument(help="The question whose logged answers are compared.")] = "suggest",
    *,
    days: Annotated[str, typer.Option("--days", help="How far back; 30 if not given.")] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Compare arms by what really came after their suggestions."""
    Ask(store, url, key, project, as_json)("ab", show.print_ab, ("question", question), ("days", days))
