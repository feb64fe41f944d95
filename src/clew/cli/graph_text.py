"""
Answers of the graph for people: the bodies of the admin API on 80 columns.

Names and reasons come from traces, so everything passes `clew.cli.text` before it is printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from clew.cli.text import duration, one_line, when

Body = dict[str, Any]

NAME_CHARS = 40
MOST_REASONS = 3
DIM = "bright_black"
CHANGE_STYLES = {
    "new": "green",
    "more": "green",
    "gone": "yellow",
    "less": "yellow",
    "failing": "bold red",
    "mended": "green",
}
AB_FIGURES = ("hit@1", "hit@3", "MRR", "ece")
NOTHING = "nothing was learned in this project yet; a trace is learned some seconds after it has ended"


def print_summary(console: Console, body: Body) -> None:
    """Show a graph at a glance."""
    if not body["nodes"]:
        console.print(_line(f"The graph of {body['project']!r} is empty: {NOTHING}."))
        return
    console.print(_line(f"The graph of {body['project']!r}, learned from {_many(body['traces'], 'trace')}.\n"))
    _fact(console, "nodes", body["nodes"], body["nodes_by_kind"])
    _fact(console, "edges", body["edges"], body["edges_by_type"])
    _fact(console, "of these", None, body["edges_by_source"])
    _fact(console, "ways", body["episodes"], {})
    for title, name in (("what contains other steps", "capabilities"), ("what is called most", "tools")):
        if body[name]:
            console.print(_line(f"\n{title}", "bold"))
            console.print(_nodes_table(body[name]))


def print_nodes(console: Console, body: Body) -> None:
    """Show nodes as a table."""
    _table_or(console, body["nodes"], _nodes_table, "no such nodes")
    _rest(console, body, "nodes")


def print_edges(console: Console, body: Body) -> None:
    """Show edges as a table."""
    _table_or(console, body["edges"], _edges_table, "no such edges")
    _rest(console, body, "edges")


def print_suggestions(console: Console, body: Body) -> None:
    """Show what usually comes next."""
    if not body["suggestions"]:
        console.print(_line(f"No suggestion: {NOTHING}."))
    for place, one in enumerate(body["suggestions"], 1):
        _ranked(console, place, one["node"], f"{100 * one['probability']:.1f} %")
        _reasons(console, one["reasons"])
    _answered_by(console, body)
    if body["suggestion_id"]:
        console.print(_line(f"logged as suggestion {one_line(body['suggestion_id'], 40)}", DIM))


def print_paths(console: Console, body: Body) -> None:
    """Show ways, best first."""
    if not body["paths"]:
        console.print(_line("There is no way from the one to the other."))
    for place, one in enumerate(body["paths"], 1):
        console.print(_joined((f"{place:>3}. ", ""), (_way(one["nodes"]), "bold"), (f"   cost {one['cost']:.3g}", DIM)))
        _reasons(console, one["reasons"], most=len(one["nodes"]))
    _answered_by(console, body)


def print_plan(console: Console, body: Body) -> None:
    """Show a plan by its levels."""
    console.print(_line("Run one line after the other; what stands on one line can run side by side.\n"))
    for place, level in enumerate(body["levels"], 1):
        console.print(_joined((f"{place:>3}. ", ""), (", ".join(map(_name, level)), "bold")))
    for title, edges in (
        ("\nwhy in this order", body["edges"]),
        ("\nleft out, since it would close a cycle", body["refused"]),
    ):
        if edges:
            console.print(_line(title, "bold"))
        for edge in edges:
            pair = f"{_name(edge['origin'])} → {_name(edge['target'])}"
            console.print(_joined(("     ", ""), (pair, ""), (f"   evidence {edge['evidence']:.2f}", DIM)))
            _reasons(console, edge["reasons"], most=1)
    if body["unknown"]:
        console.print(
            _line(
                f"\nnever seen, so placed first: {', '.join(one_line(each, NAME_CHARS) for each in body['unknown'])}",
                "yellow",
            )
        )
    _answered_by(console, body)


def print_similar(console: Console, body: Body) -> None:
    """Show what keeps the same company."""
    _scored(console, body, body["similar"], "Nothing keeps the same company.")


def print_found(console: Console, body: Body) -> None:
    """Show what a search found."""
    _scored(console, body, body["found"], "Nothing was found.")


def print_variants(console: Console, body: Body) -> None:
    """Show the ways in which a capability runs."""
    what = "whole traces" if body["capability"] is None else _name(body["capability"])
    if not body["variants"]:
        console.print(_line(f"{what}: no run was seen."))
        return
    console.print(_line(f"{what}: {_many(body['runs'], 'run')}. The usual ways:\n"))
    for place, one in enumerate(body["variants"], 1):
        figures = f"{_many(one['count'], 'run')}, {one['failures']:,} failed"
        took = "" if one["mean_duration_ms"] is None else f", {duration(one['mean_duration_ms'])}"
        console.print(_joined((f"{place:>3}. ", ""), (f"{100 * one['share']:5.1f} %  ", "bold"), (figures + took, DIM)))
        console.print(_indented(_steps(one["steps"]), 5))
        _example(console, one["traces"])


def print_conformance(console: Console, body: Body) -> None:
    """Show where a trace left the usual ways."""
    if body["fits"]:
        console.print(_line(f"As usual: {_many(body['checked'], 'capability run')} compared.", "green"))
    for one in body["departures"]:
        what = "the trace" if one["capability"] is None else _name(one["capability"])
        console.print(
            _joined((f"{what} ", "bold"), (f"left the usual ways after {_many(one['position'], 'step')}", "yellow"))
        )
        came = "it ended" if one["left_by"] is None else f"{_name(one['left_by'])}  (span {one['left_by_span_id']})"
        console.print(_indented(f"here came   {came}", 5))
        usual = ", ".join(f"{_name(each['node'])} {100 * each['probability']:.0f} %" for each in one["expected"])
        console.print(_indented(f"usual is    {usual or 'to end here'}", 5))
        console.print(_indented(f"as in       {_steps(one['usual']['steps'])}", 5, DIM))


def print_diff(console: Console, body: Body) -> None:
    """Show what changed."""
    sides = [f"{one_line(body[side], 60)} ({_many(body[f'{side}_traces'], 'trace')})" for side in ("before", "after")]
    console.print(_line(f"{sides[0]}  →  {sides[1]}\n"))
    for title, name in (("new", "nodes_new"), ("gone", "nodes_gone")):
        if body[name]:
            console.print(_joined((f"{title:<6}", CHANGE_STYLES[title]), (", ".join(map(_name, body[name][:20])), "")))
    if not body["changes"]:
        console.print(_line("No edge changed more than chance would explain."))
    for one in body["changes"]:
        pair = f"{_name(one['origin'])} → {_name(one['target'])}"
        console.print(
            _joined(
                (f"{one['change']:<8}", CHANGE_STYLES.get(one["change"], "")), (pair, ""), (f"  {one['type']}", DIM)
            )
        )
        shares = f"{100 * one['before_share']:.0f} % → {100 * one['after_share']:.0f} % of its calls"
        counts = f"{one['before_count']:,} → {one['after_count']:,} times"
        console.print(_indented(f"{counts}, {shares}; by chance 1 in {_chance(one['surprise'])}", 8, DIM))


def print_templates(console: Console, body: Body) -> None:
    """Show declared workflows."""
    if not body["templates"]:
        console.print(_line("No templates. `clew graph template add FILE` declares one."))
    for one in body["templates"]:
        console.print(_joined((one_line(one["name"], 60), "bold"), (f"   since {when(one['saved_at'])}", DIM)))
        for line in one["source"].splitlines()[:200]:
            console.print(_line(f"    {one_line_kept(line)}"))


def print_arms(console: Console, body: Body) -> None:
    """Show which arms there are, which are stored, and which answer."""
    for question, arms in body["known"].items():
        stored = [one for one in body["arms"] if one["question"] == question]
        console.print(_joined((f"{question:<8} ", "bold"), (", ".join(arms), "")))
        rest = 1 - sum(one["share"] for one in stored)
        if rest > 1e-9:
            console.print(
                _joined(
                    ("     0  ", ""),
                    (f"{100 * rest:3.0f} %  ", "green"),
                    (f"{one_line(body['default'][question], 30)}, the default", DIM),
                )
            )
        for one in stored:
            share = (f"{100 * one['share']:3.0f} %  ", "green") if one["share"] else ("       ", "")
            note = one_line(one["note"], 40)
            facts = f"{one['arm']}, {_many(len(one['weights']), 'weight')}, {when(one['created_at'])}  {note}"
            console.print(_joined((f"{one['version']:>6}  ", ""), share, (facts, "")))


def print_ab(console: Console, body: Body) -> None:
    """Show what logged suggestions came to, arm by arm."""
    if not body["arms"]:
        console.print(_line("No suggestion was logged; those asked for with a trace id are."))
        return
    for one in body["arms"]:
        counts = f"{_many(one['traces'], 'trace')}, {_many(one['scored'], 'suggestion')} scored"
        waiting = f", {one['unscored']:,} waiting" if one["unscored"] else ""
        name = f"{one_line(one['arm'], 20)}, version {one['version']}"
        console.print(_joined((f"{name:<28}", "bold"), (counts + waiting, DIM)))
        _figures(console, one["figures"])
    for one in body["differences"]:
        console.print(_line(f"version {one['version']} minus version {one['than']}", "bold"))
        _figures(console, one["figures"])
    for warning in body["warnings"]:
        console.print(_line(one_line(warning, 200), "yellow"))


def _figures(console: Console, figures: Body) -> None:
    for name in AB_FIGURES:
        if name in figures:
            of = figures[name]
            interval = f"between {of['low']:.3f} and {of['high']:.3f}"
            console.print(_joined((f"     {name:<6} ", ""), (f"{of['value']:7.3f}   ", "green"), (interval, DIM)))


def one_line_kept(text: str) -> str:
    """Give one line with its indentation, safe."""
    return " " * min(40, len(text) - len(text.lstrip())) + one_line(text, 160)


def _name(node: Body) -> str:
    name = one_line(node["name"], NAME_CHARS) or "(no name)"
    return name if node["kind"] in ("tool", "capability") else f"{name} ({one_line(node['kind'], 20)})"


def _way(nodes: Iterable[Body]) -> str:
    return " → ".join(map(_name, nodes))


def _steps(steps: Iterable[Sequence[Body]]) -> str:
    shown = [_name(step[0]) if len(step) == 1 else f"({', '.join(map(_name, step))})" for step in steps]
    return " → ".join(shown) or "(no steps)"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _chance(surprise: float | None) -> str:
    if surprise is None or surprise > 12:
        return "a trillion or more"
    return f"{10 ** max(0.0, surprise):,.0f}"


def _line(text: str, style: str = "") -> Text:
    return Text(text, style)


def _joined(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts)


def _indented(text: str, by: int, style: str = "") -> Padding:
    return Padding(Text(text, style), (0, 0, 0, by), expand=False)


def _ranked(console: Console, place: int, node: Body, figure: str) -> None:
    console.print(_joined((f"{place:>3}. ", ""), (f"{_name(node):<{NAME_CHARS}}", "bold"), (f"  {figure:>8}", "green")))


def _scored(console: Console, body: Body, ranked: list[Body], nothing: str) -> None:
    if not ranked:
        console.print(_line(nothing))
    for place, one in enumerate(ranked, 1):
        _ranked(console, place, one["node"], f"{one['score']:.3g}")
        _reasons(console, one["reasons"])
    _answered_by(console, body)


def _reasons(console: Console, reasons: list[Body], *, most: int = MOST_REASONS) -> None:
    for reason in reasons[:most]:
        console.print(_indented(one_line(reason["text"], 240), 5, DIM))
    _example(console, next((reason["traces"] for reason in reasons if reason["traces"]), ()))


def _example(console: Console, traces: Sequence[str]) -> None:
    if traces:
        # A command is copied, so it is never broken.
        console.print(_line(f"     see  clew traces show {one_line(traces[0], 64)}", DIM), soft_wrap=True)


def _answered_by(console: Console, body: Body) -> None:
    version = f", version {body['arm_version']}" if body["arm_version"] else ""
    console.print(_line(f"\nanswered by {one_line(body['arm'], 40)}{version}", DIM))


def _fact(console: Console, name: str, count: int | None, parts: Body) -> None:
    shown = "" if count is None else f"{count:,}"
    detail = ", ".join(f"{value:,} {one_line(part, 20)}" for part, value in parts.items())
    console.print(_joined((f"  {name:<10}", DIM), (f"{shown:>8}  ", ""), (detail, DIM)))


def _rest(console: Console, body: Body, name: str) -> None:
    left = body["total"] - len(body[name])
    if left > 0:
        console.print(_line(f"and {left:,} more; --limit shows them", DIM))


def _table_or(console: Console, rows: list[Body], table: Any, nothing: str) -> None:
    console.print(table(rows) if rows else _line(nothing))


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style=DIM, padding=(0, 2, 0, 0))
    for title, justify in columns:
        table.add_column(title, no_wrap=justify == "right", justify="right" if justify == "right" else "left")
    return table


def _nodes_table(rows: list[Body]) -> Table:
    table = _table(("name", "left"), ("kind", "left"), ("calls", "right"), ("failed", "right"), ("took", "right"))
    for row in rows:
        took = "" if row["mean_duration_ms"] is None else duration(row["mean_duration_ms"])
        name = Text(one_line(row["name"], NAME_CHARS) or "(no name)")
        table.add_row(name, Text(one_line(row["kind"], 16)), f"{row['count']:,}", f"{row['failures']:,}", took)
    return table


def _edges_table(rows: list[Body]) -> Table:
    table = _table(("edge", "left"), ("type", "left"), ("times", "right"), ("failed", "right"), ("source", "left"))
    for row in rows:
        pair = Text(f"{_name(row['origin'])} → {_name(row['target'])}")
        seen = row["count"] + row["inferred"]
        table.add_row(pair, row["type"], f"{seen:,}", f"{row['failures']:,}", row["source"])
    return table
