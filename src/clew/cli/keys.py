"""`clew keys create | ls | revoke`: API keys, on the store itself."""

from __future__ import annotations

import re
import time
from contextlib import closing
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from clew import config
from clew.cli.out import JsonOption, errors, out, print_json
from clew.cli.text import one_line
from clew.errors import BadFilter, ClewError, ConfigError
from clew.query.filters import DEFAULT_PROJECT, text_of
from clew.query.rows import iso
from clew.server.auth import ALL_PROJECTS, SCOPES, hash_key, new_key
from clew.store import open_store
from clew.store.protocol import KeyRecord, Store

commands = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)

SHOWN_HASH_CHARS = 12

StoreOption = Annotated[
    str | None, typer.Option("--store", help="The store that keeps the keys; CLEW_STORE if not given.")
]


class NoSuchKey(ClewError):
    """No key has that id, or several have. Exit status 1."""


@commands.command("create")
def create(
    scope: Annotated[str, typer.Option(help="ingest writes, read reads, admin does everything.")] = "ingest",
    project: Annotated[str, typer.Option(help="The project that the key writes to or reads.")] = "",
    label: Annotated[str, typer.Option(help="What it is for, for `clew keys ls`.")] = "",
    store: StoreOption = None,
) -> None:
    """Make a key and print it, this once."""
    if scope not in SCOPES:
        raise ConfigError("--scope", f"{scope!r} is none of {', '.join(SCOPES)}")
    key = new_key(scope)
    record = KeyRecord(
        key_hash=hash_key(key), scope=scope, project=_project(scope, project), label=label, created_ns=time.time_ns()
    )
    with closing(_open(store)) as opened:
        opened.add_key(record)
    out().print(key, markup=False, soft_wrap=True)
    where = "every project" if record.project == ALL_PROJECTS else f"project {record.project}"
    errors().print(f"{scope} key for {where}; it is shown only now", style="bright_black", markup=False)


@commands.command("ls")
def ls(store: StoreOption = None, *, as_json: JsonOption = False) -> None:
    """List keys: by the first digits of their hash, never themselves."""
    with closing(_open(store, read_only=True)) as opened:
        keys = opened.list_keys()
    if as_json:
        print_json({"keys": [_row(key) for key in keys]})
        return
    table = Table(box=None, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for column in ("id", "scope", "project", "made", "label"):
        table.add_column(column, no_wrap=True)
    for key in keys:
        made = datetime.fromtimestamp(key.created_ns / 1e9).strftime("%Y-%m-%d %H:%M")
        row = (key.key_hash[:SHOWN_HASH_CHARS], key.scope, one_line(key.project, 40), made, one_line(key.label, 60))
        table.add_row(*map(Text, row))
    out().print(table)


def _row(key: KeyRecord) -> dict[str, Any]:
    shown = {"id": key.key_hash[:SHOWN_HASH_CHARS], "scope": key.scope, "project": key.project, "label": key.label}
    return {**shown, "made": iso(key.created_ns)}


@commands.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id as `clew keys ls` shows it.")],
    store: StoreOption = None,
) -> None:
    """Forget a key. A running server stops taking it within seconds."""
    if not re.fullmatch(r"[0-9a-f]{8,64}", key_id):
        raise ConfigError("ID", "give at least the first 8 hex digits of an id that `clew keys ls` shows")
    with closing(_open(store)) as opened:
        matching = [key for key in opened.list_keys() if key.key_hash.startswith(key_id)]
        if len(matching) != 1:
            raise NoSuchKey(f"{len(matching) or 'no'} keys have an id that starts with {key_id}; see `clew keys ls`")
        opened.remove_key(matching[0].key_hash)
    errors().print(f"revoked {key_id}")


def _open(store: str | None, *, read_only: bool = False) -> Store:
    return open_store(config.STORE.read() if store is None else store, read_only=read_only)


def _project(scope: str, project: str) -> str:
    if scope == "admin":
        if project:
            raise ConfigError("--project", "an admin key is for every project")
        return ALL_PROJECTS
    if project == ALL_PROJECTS:
        raise ConfigError("--project", "only an admin key is for every project")
    try:
        return text_of("--project", project) or DEFAULT_PROJECT
    except BadFilter as error:
        raise ConfigError("--project", error.problem) from None
