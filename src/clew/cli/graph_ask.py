"""What the commands of `clew graph` share: options, whom to ask, and how an answer is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from clew import config
from clew.cli.out import out, print_json
from clew.cli.source import Source, open_source

ArmOption = Annotated[str, typer.Option("--arm", help="The arm that answers, or a stored version's number.")]
TraceOption = Annotated[
    str, typer.Option("--trace-id", help="The trace that asks: in an A/B it decides which arm answers.")
]
WithinOption = Annotated[str, typer.Option("--within", help="The capability that is running.")]
TypeOption = Annotated[
    list[str] | None, typer.Option("--type", help="Only contains, sequence, provides or dependency; may be repeated.")
]
LeastOption = Annotated[str, typer.Option("--least-count", help="Only edges seen at least so often.")]
QuestionArgument = Annotated[str, typer.Argument(help="suggest, path, plan, similar or search.")]


def k_option(default: int) -> Any:
    """Give the option that says how many."""
    return typer.Option("--k", help=f"How many; {default} if not given.")


Printer = Callable[[Console, dict[str, Any]], None]


@contextmanager
def open_asked(store: str | None, url: str | None, key: str | None, *, to_write: bool = False) -> Iterator[Source]:
    """Open the store if one is named, otherwise the server."""
    asked, given = url or config.URL.read(), key or config.API_KEY.read()
    with closing(open_source(store, asked, given, to_write=to_write)) as source:
        yield source


class Ask:
    """Asks one question of whatever the options name, and prints the answer."""

    def __init__(self, store: str | None, url: str | None, key: str | None, project: str, as_json: bool) -> None:
        self._where = store, url, key
        self._project = project
        self._as_json = as_json

    def __call__(self, question: str, printer: Printer, *params: tuple[str, Any], to_write: bool = False) -> None:
        """Ask; *params* without a value are left out, and lists are repeated."""
        with open_asked(*self._where, to_write=to_write) as source:
            body = source.graph(question, [*pairs(("project", self._project), *params)])
        if self._as_json:
            print_json(body)
        else:
            printer(out(), body)


def pairs(*params: tuple[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the parameters that have a value, as in a query string."""
    for name, value in params:
        values = value if isinstance(value, (list, tuple)) else [value]
        yield from ((name, str(each)) for each in values if each not in ("", None))
