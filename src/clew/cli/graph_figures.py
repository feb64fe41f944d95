"""The figures of `clew graph evaluate` and `tune` as tables. Names come from data, so all is made one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clew.cli.text import one_line
from clew.graph.evaluate import DataFigures, QuestionFigures
from clew.graph.evaluate_arms import HEADLINES, Question
from clew.graph.evaluate_curve import Curve
from clew.graph.evaluate_order import FalseEdges
from clew.graph.evaluate_tally import ArmFigures
from clew.graph.statistics import Bin, Interval
from clew.graph.tune import Tuned

TITLES: dict[Question, str] = {
    "next": "next tool",
    "path": "path, first and last tool given",
    "plan": "plan, the tools given",
    "search": "search, the request given",
}
SHOWN: dict[Question, tuple[str, ...]] = {
    "next": ("hit@1", "hit@3", "MRR", "ece", "ece_shown", "quadratic"),
    "path": ("exact", "F1 between"),
    "plan": ("edge F1", "precision", "recall", "cyclic"),
    "search": ("recall@5", "all@5"),
}
DIM = "bright_black"
DASH = Text("-", DIM)


def print_figures(console: Console, figures: DataFigures) -> None:
    """Show all that was measured on one data set."""
    console.print(_line(f"{one_line(figures.data, 80)}", "bold underline"))
    console.print(
        _line(
            f"{figures.traces:,} traces of {figures.tasks:,} tasks, {figures.calls:,} calls of {figures.tools:,} tools"
        )
    )
    for asked in figures.questions:
        _print_question(console, asked)
    if figures.curves:
        console.print(_line("\nhit@1 as traces grow", "bold"))
        console.print(_curve_table(figures.curves))
    if figures.false_edges.nested:
        _print_false_edges(console, figures.false_edges)
    console.print(_line("\ngates", "bold"))
    for gate in figures.gates:
        verdict, style = ("met   ", "green") if gate.met else ("MISSED", "bold red")
        console.print(Text.assemble((f"{verdict}  ", style), gate.rule, (f"   {gate.detail}", DIM)), soft_wrap=True)
    console.print()


def _print_question(console: Console, asked: QuestionFigures) -> None:
    title = f"\n{TITLES[asked.question]}"
    if not asked.arms:
        console.print(Text.assemble((title, "bold"), (f"   not asked: {asked.note}", DIM)), soft_wrap=True)
        return
    how = f"   asked {asked.asked:,} times, {asked.tasks:,} tasks" + (f"; {asked.note}" if asked.note else "")
    console.print(Text.assemble((title, "bold"), (how, DIM)), soft_wrap=True)
    console.print(_arms_table(asked))
    bins = next((arm.reliability for arm in asked.arms if arm.arm == asked.default), ())
    if bins:
        console.print(_line(f"\n{asked.default}: what was said beside what came, of each suggestion shown", "bold"))
        console.print(_reliability_table(bins))


def _arms_table(asked: QuestionFigures) -> Table:
    columns, compared = SHOWN[asked.question], HEADLINES[asked.question]
    table = _table("arm", *columns, *(f"{name} - {asked.baseline}" for name in compared))
    for arm in asked.arms:
        figures = [_interval(arm.figures.get(name)) for name in columns]
        differences = [_difference(arm.differences.get(name)) for name in compared if arm.differences] or [DASH] * len(
            compared
        )
        table.add_row(Text(arm.arm, "bold" if arm.arm == asked.default else ""), *figures, *differences)
    return table


def _reliability_table(bins: Iterable[Bin]) -> Table:
    table = _table("said", "suggestions", "mean said", "came")
    for each in bins:
        said, was = f"{100 * each.said:.1f} %", f"{100 * each.was:.1f} %"
        table.add_row(f"{100 * each.low:.0f} to {100 * each.high:.0f} %", f"{each.count:,}", said, was)
    return table


def _curve_table(curves: Sequence[Curve]) -> Table:
    table = _table("traces learned", *(f"{size:,}" for size in curves[0].sizes))
    for curve in curves:
        table.add_row(curve.arm, *(_interval(hit) for hit in curve.hits))
    return table


def _print_false_edges(console: Console, false: FalseEdges) -> None:
    console.print(_line("\nfalse edges", "bold"))
    shares = ", ".join(f"{100 * share:.1f} % {relation}" for relation, share in false.relations.items())
    lines = (
        f"chronological graph: {false.chronological:,} edges drawn: {shares}",
        f"    of its different edges {100 * false.distinct_false:.1f} % are false",
        f"    siblings by start alone: {100 * false.siblings_side_by_side:.1f} % of the pairs ran side by side",
        f"Clew: {false.clew:,} sequence edges drawn, {false.clew_false:,} false",
    )
    for line in lines:
        console.print(_line(line), soft_wrap=True)


def print_summary(console: Console, measured: Sequence[DataFigures]) -> None:
    """Show the headline figures of several data sets beside each other."""
    for question, names in HEADLINES.items():
        rows = [(each.data, asked) for each in measured for asked in each.questions if asked.question == question]
        answered = [(data, asked) for data, asked in rows if asked.arms]
        if not answered:
            continue
        arms = list(dict.fromkeys(arm.arm for _, asked in answered for arm in asked.arms))
        table = _table("data (asked)", *arms)
        for data, asked in answered:
            by_arm = {arm.arm: arm for arm in asked.arms}
            table.add_row(
                one_line(f"{data} ({asked.asked:,})", 60), *(_headline(by_arm.get(arm), names) for arm in arms)
            )
        console.print(_line(f"{TITLES[question]}: {' / '.join(names)}", "bold"))
        console.print(table)
        console.print()
    gates = [(each.data, gate) for each in measured for gate in each.gates]
    missed = [(data, gate) for data, gate in gates if not gate.met]
    console.print(
        _line(f"{len(gates) - len(missed)} of {len(gates)} gates met", "bold red" if missed else "bold green")
    )
    for data, gate in missed:
        console.print(_line(f"MISSED  {one_line(data, 60)}: {gate.rule}   {gate.detail}", "red"), soft_wrap=True)


def print_tuned(console: Console, data: str, tuned: Tuned) -> None:
    """Show new weights beside the arm's own, and whether they are better."""
    console.print(Text.assemble((one_line(data, 80), "bold underline"), f"  {TITLES[tuned.question]}, arm {tuned.arm}"))
    table = _table("weight", "own", "tuned")
    for name, weight in tuned.weights.items():
        own = tuned.default_weights[name]
        table.add_row(one_line(name, 60), f"{own:.4g}", Text(f"{weight:.4g}", "" if weight == own else "bold"))
    console.print(table)
    console.print(
        f"fitted on {tuned.fit_tasks:,} tasks, {tuned.tried:,} sets of weights tried: "
        f"{tuned.fitted_from:.4f} -> {tuned.fitted_to:.4f}"
    )
    names = SHOWN[tuned.question]
    judged = _table(f"on {tuned.report_tasks:,} other tasks", *names)
    judged.add_row("own", *(_interval(tuned.before.figures.get(name)) for name in names))
    judged.add_row("tuned", *(_interval(tuned.after.figures.get(name)) for name in names))
    judged.add_row("difference", *(_difference(tuned.after.differences.get(name)) for name in names))
    console.print(judged)
    verdict = "better" if tuned.better else "not better than chance would explain"
    console.print(Text.assemble("gain ", _difference(tuned.gain), f"  {verdict}"))


def _headline(arm: ArmFigures | None, names: Sequence[str]) -> str:
    return " / ".join(f"{arm.figures[name].value:.3f}" for name in names) if arm else ""


def _interval(interval: Interval | None) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f} {interval.high:.3f}]" if interval else ""


def _difference(interval: Interval | None) -> Text:
    if interval is None:
        return Text("")
    style = "green" if interval.low > 0 else "red" if interval.high < 0 else ""
    return Text(f"{interval.value:+.3f} [{interval.low:+.3f} {interval.high:+.3f}]", style)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style=DIM, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True, min_width=len(first))
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _line(text: str, style: str = "") -> Text:
    return Text(text, style)
