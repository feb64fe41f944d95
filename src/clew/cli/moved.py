"""What `clew export`, `clew import` and `clew backup` show: a bar while they work, and what was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from clew.cli.out import errors
from clew.cli.text import safe


class _Done(ProgressColumn):
    """'4,000 of 40,000 spans', or without the whole if nobody knows it."""

    def render(self, task: Task) -> Text:
        of = "" if task.total is None else f" of {int(task.total):,}"
        return Text.assemble(f"{int(task.completed):,}{of} ", (str(task.fields["unit"]), "bright_black"))


class Bar:
    """How far something is."""

    def __init__(self, progress: Progress, title: str, unit: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, unit=unit)

    def reach(self, done: int, total: int | None = None) -> None:
        """Be at *done*, of *total* if that is known now."""
        self._progress.update(self._task, completed=done, total=total)

    def advance(self, by: int) -> None:
        """Be further."""
        self._progress.advance(self._task, by)


@contextmanager
def bar(title: str, unit: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar on a terminal, and nothing elsewhere."""
    console = errors()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None if console.width < 80 else 40),
        _Done(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, title, unit, total)


def figures(title: str, rows: Sequence[tuple[str, str]], *, good: bool = True) -> None:
    """Print what was done, in lines that a terminal does not break."""
    console = errors()
    mark = ("✓", "bold green") if good else ("✗", "bold red")
    console.print(Text.assemble("  ", mark, " ", (title, "bold")), soft_wrap=True)
    for name, text in rows:
        console.print(Text.assemble((f"    {name:<11}", "bright_black"), safe(text)), soft_wrap=True)


def size(count_bytes: int) -> str:
    """Say a number of bytes for people."""
    if count_bytes < 1_000:
        return f"{count_bytes} bytes"
    amount = count_bytes / 1_000
    for unit in ("kB", "MB", "GB"):
        if amount < 1_000:
            return f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} TB"
