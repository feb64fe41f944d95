"""`clew graph template …` and `clew graph arms …`: what people say about the graph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from clew.cli import graph_text as show
from clew.cli.graph_ask import Ask, QuestionArgument, open_asked
from clew.cli.out import JsonOption, out
from clew.cli.text import safe
from clew.cli.traces import KeyOption, ProjectOption, StoreOption, UrlOption
from clew.errors import BadTemplate, ConfigError

templates = typer.Typer(help="Declare how a workflow should run.", no_args_is_help=True, rich_markup_mode=None)
arms = typer.Typer(help="Which way of answering answers.", no_args_is_help=True, rich_markup_mode=None)


@templates.command("ls")
def list_templates(
    name: Annotated[str, typer.Argument(help="Only this one.")] = "",
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the declared workflows."""
    Ask(store, url, key, project, as_json)("templates", show.print_templates, ("name", name))


@templates.command("add")
def add_template(
    file: Annotated[Path, typer.Argument(help="A workflow in YAML; - reads stdin.")],
    *,
    name: Annotated[str, typer.Option("--name", help="For a file that names none; the file's name if not given.")] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
) -> None:
    """Declare a workflow; one of the same name is replaced."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadTemplate(f"{file} cannot be read: {error}") from None
    with open_asked(store, url, key, to_write=True) as source:
        name = source.save_template(project, text, name or ("" if str(file) == "-" else file.stem))
    out().print(f"declared {safe(name)}", markup=False, soft_wrap=True)


@templates.command("rm")
def remove_template(
    name: Annotated[str, typer.Argument(help="The workflow's name.")],
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
) -> None:
    """Forget a declared workflow. What was observed stays."""
    with open_asked(store, url, key, to_write=True) as source:
        source.remove_template(project, name)
    out().print(f"forgot {safe(name)}", markup=False, soft_wrap=True)


@arms.command("ls")
def list_arms(
    question: Annotated[str, typer.Argument(help="suggest, path, plan, similar or search; all if not given.")] = "",
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the arms, what is stored of them, and which answer."""
    Ask(store, url, key, project, as_json)("arms", show.print_arms, ("question", question))


@arms.command("add")
def add_arm(
    question: QuestionArgument,
    arm: Annotated[str, typer.Argument(help="The arm's name; `clew graph arms ls` has them.")],
    *,
    weights: Annotated[str, typer.Option("--weights", help='JSON, such as {"order": 0.5}; or @file.')] = "{}",
    note: Annotated[str, typer.Option("--note", help="Where the weights come from, for whoever chooses.")] = "",
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
) -> None:
    """Store an arm with weights of its own. It answers once it is chosen."""
    with open_asked(store, url, key, to_write=True) as source:
        version = source.add_arm(project, question, arm, _weights(weights), note)
    out().print(f"stored {safe(arm)} as version {version} of {safe(question)}", markup=False, soft_wrap=True)


@arms.command("choose")
def choose_arms(
    question: QuestionArgument,
    shares: Annotated[
        list[str], typer.Argument(help="A version; or for an A/B VERSION=SHARE, several. 0: the default.")
    ],
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
) -> None:
    """Say which versions answer. What no share covers, the default answers."""
    with open_asked(store, url, key, to_write=True) as source:
        show.print_arms(out(), source.choose_arms(project, question, _shares(shares)))


@arms.command("rollback")
def roll_back(
    question: QuestionArgument,
    *,
    store: StoreOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    project: ProjectOption = "",
) -> None:
    """Let the version before answer again."""
    with open_asked(store, url, key, to_write=True) as source:
        show.print_arms(out(), source.choose_arms(project, question, None))


def _weights(text: str) -> dict[str, float]:
    try:
        raw = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        return msgspec.json.decode(raw, type=dict[str, float])
    except (OSError, UnicodeError, msgspec.DecodeError) as error:
        raise ConfigError("--weights", f"it is no JSON object of numbers: {error}") from None


def _shares(given: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for each in given:
        version, equals, share = each.partition("=")
        try:
            shares[version] = float(share) if equals else 1.0
        except ValueError:
            raise ConfigError("SHARES", f"{each!r} is neither a version nor VERSION=SHARE, like 3=0.5") from None
    return shares
