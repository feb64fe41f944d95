"""All that the demo prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console, Group
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from clew.cli.text import duration, one_line, safe
from clew.cli.tree import FLAG_STYLES, print_trace
from examples.hybrid_rag.demo.script import Ask

_EMBEDDING = re.compile(r"embedding (\w+): (\d+) of (\d+) passages")


class Outcome(NamedTuple):
    """What came of one question."""

    ask: Ask
    trace: dict[str, Any] | None
    """The body of the admin API; None if the trace never came."""
    problems: list[str]
    """How the trace is not as it must be; [] if it is."""
    link: str


def title(console: Console) -> None:
    """Open the demo."""
    console.print()
    console.print(
        Text.assemble((" Clew ", "bold black on green"), "  A real RAG service, and the trace of each question.")
    )
    console.print(Text("        Its model is tiny: never mind the answers, look at the traces.", "bright_black"))
    console.print()


@contextmanager
def starting(console: Console) -> Iterator[Progress]:
    """Show what starts, a line for each, while it does."""
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16, complete_style="green"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield progress


def log_line_to(progress: Progress, task: TaskID, name: str) -> Callable[[str], None]:
    """Give what turns a server's last log line into progress."""

    def on_line(line: str) -> None:
        text = line.partition("  [trace")[0]
        if found := _EMBEDDING.search(text):
            store, done, total = found[1].replace("_", " "), int(found[2]), int(found[3])
            progress.update(task, total=total, completed=min(done, total - 1), description=f"{name}: embedding {store}")
        elif text:
            progress.update(task, description=f"{name}: {one_line(text, 60)}")

    return on_line


def finish(progress: Progress, task: TaskID, description: str) -> None:
    """Tick a line off."""
    progress.update(task, total=1, completed=1, description=description)


def where_to_watch(console: Console, login_link: str) -> None:
    """Give the page before the first question, so that the traces can be seen to come."""
    console.print()
    console.print(
        Text.assemble("  Watch them come: ", Text(login_link, f"bold underline link {login_link}")), soft_wrap=True
    )


def question(console: Console, number: int, total: int, ask: Ask) -> None:
    """Announce a question."""
    console.print()
    console.print(Rule(Text(f" {number} of {total} · {ask.title} ", style="bold"), align="left", style="bright_black"))
    console.print()
    flags = " ".join(["strategy", ask.strategy, *(["· streamed"] if ask.stream else [])])
    console.print(Text.assemble(("  ? ", "bold green"), (ask.question, "bold"), (f"   {flags}", "bright_black")))


@contextmanager
def waiting(console: Console, ask: Ask) -> Iterator[Callable[[str], None]]:
    """Show that the model is at work: the pieces of a stream as they come, else a spinner."""
    if ask.stream:
        console.print(Text("  » ", "bold green"), end="")
        yield stream_to(console, indent=4)
        console.print()
    else:
        with console.status("[bright_black]answering…"):
            yield lambda _piece: None


def stream_to(console: Console, *, indent: int) -> Callable[[str], None]:
    """Give what prints pieces one after the other, and begins a new line where a word would not fit."""
    column = indent

    def on_piece(piece: str) -> None:
        nonlocal column
        flat = safe(piece).replace("\n", " ")
        if column + len(flat) >= console.width - 2 and flat.startswith(" "):
            console.print()
            flat, column = " " * indent + flat.lstrip(), 0
        column += len(flat)
        console.print(Text(flat), end="", soft_wrap=True)

    return on_piece


def answered(console: Console, answer: dict[str, Any], *, was_streamed: bool) -> None:
    """Show an answer with what stands beside it."""
    if not was_streamed:
        text = one_line(answer["answer"], 500) or "(nothing was found, so nothing is said)"
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_row(Text("  »", "bold green"), Text(text, "" if answer["answer"] else "italic"))
        console.print(line)
    sources = " · ".join(one_line(source["title"], 40) for source in answer["sources"])
    console.print(Text(f"    {answer['strategy']}, {answer['language']}; from: {sources or 'nothing'}", "bright_black"))
    for note in answer["notes"]:
        console.print(Text(f"    {one_line(note, 200)}", "yellow"))


def outcome(console: Console, result: Outcome) -> None:
    """Show a trace, and whether it is as it must be."""
    if result.trace is not None:
        print_trace(console, result.trace, result.link)
    if result.problems:
        console.print(Text("\n  ✗ this is not the trace that the question must leave", "bold red"))
        for line in result.problems:
            console.print(Text(f"    {line}", {"-": "red", "+": "yellow"}.get(line[:1], "bright_black")))
    else:
        console.print(Text("  ✓ exactly the trace that this question must leave", "green"))


def summary(console: Console, results: Sequence[Outcome]) -> None:
    """Give all traces on one screen."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for result in results:
        trace: dict[str, Any] = result.trace["trace"] if result.trace else {"flag": "(not stored)", "duration_ms": 0}
        table.add_row(
            Text("✗", "bold red") if result.problems else Text("✓", "green"),
            Text(trace["flag"], FLAG_STYLES.get(trace["flag"], "")),
            Text(duration(trace["duration_ms"]), justify="right"),
            Text(one_line(result.ask.question, 64)),
        )
    good = sum(not result.problems for result in results)
    verdict = Text(
        f"{good} of {len(results)} traces are exactly as they must be", "green" if good == len(results) else "red"
    )
    console.print()
    console.print(Rule(style="bright_black"))
    console.print(Padding(Group(table, Text(), verdict), (1, 0, 0, 2)))


def what_next(console: Console, *, login_link: str, clew_url: str, key: str, service_url: str) -> None:
    """Say where to look and what to try, while both servers run. Nothing is framed, so it can be copied."""
    ask = (
        f"curl -N {service_url}/api/v1/query -H 'authorization: Bearer demo-ada' \\\n"
        "    -H 'content-type: application/json' \\\n"
        """    -d '{"question": "What is a lambda expression?", "stream": true}'"""
    )
    traces = f"CLEW_URL={clew_url} CLEW_API_KEY={key} \\\n    .venv/bin/clew traces ls --flag LOW_CONFIDENCE"
    parts = (
        ("Look at them on the page, logged in:", Text(login_link, f"underline link {login_link}")),
        ("Ask something yourself:", Text(ask, "cyan")),
        ("Ask for traces in another terminal:", Text(traces, "cyan")),
    )
    for what, how in parts:
        console.print(Text(f"\n  {what}", "bold"))
        console.print(Text("    ") + how, soft_wrap=True)
    console.print(Text("\n  Both servers run until Ctrl-C; the traces stay.", "bright_black"))


def failure(console: Console, message: str) -> None:
    """Say why the demo cannot go on."""
    console.print(Text.assemble(("\nclew demo: ", "bold red"), message))
