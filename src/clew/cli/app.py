"""
The commands of `clew`, on one screen.

Exit status: 0 done; 1 something failed (the store, the server, the port); 2 something was
asked that makes no sense (a setting, a filter, an option).
"""

from __future__ import annotations

import sys
from typing import Any

import typer

from clew.cli import (
    backup,
    doctor,
    erase,
    export,
    graph,
    graph_evaluate,
    import_,
    keys,
    latency,
    mcp,
    retention,
    serve,
    traces,
)
from clew.cli.out import errors
from clew.cli.text import one_line
from clew.errors import BadFilter, BadTemplate, ClewError, ConfigError, MalformedId, UnknownNode

SENSELESS = (ConfigError, BadFilter, BadTemplate, MalformedId, UnknownNode)
"""Asked again in the same way, it can never work."""

commands = typer.Typer(
    name="clew",
    help="Tracing for RAG and agent applications: one request, one whole tree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands.command("serve")(serve.serve)
commands.command("doctor")(doctor.doctor)
commands.command("import")(import_.import_)
commands.command("export")(export.export)
commands.command("backup")(backup.backup)
commands.command("latency")(latency.latency)
commands.command("mcp")(mcp.mcp)
commands.command("retention")(retention.retention)
commands.command("erase")(erase.erase)
commands.add_typer(traces.commands, name="traces")
graph.commands.command("evaluate")(graph_evaluate.evaluate)
graph.commands.command("tune")(graph_evaluate.tune)
commands.add_typer(graph.commands, name="graph")
commands.add_typer(keys.commands, name="keys")


def app(args: list[str] | None = None) -> None:
    """Run one command line; ends the process with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        _never_fail_on_a_character(stream)
    try:
        commands(args)
    except ClewError as error:
        errors().print(f"clew: {one_line(error, 500)}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2 if isinstance(error, SENSELESS) else 1) from None
    except BrokenPipeError:
        # `clew traces export | head`: the reader has enough. Nothing more may be written to it.
        sys.stderr.close()
        raise SystemExit(0) from None


def _never_fail_on_a_character(stream: Any) -> None:
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
