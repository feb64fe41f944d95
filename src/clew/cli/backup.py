"""`clew backup FILE`: a copy of a SQLite store, made while a server writes to it."""

from __future__ import annotations

import re
import shlex
import time
from typing import Annotated

import typer

from clew import config
from clew.cli.moved import bar, figures, size
from clew.cli.out import out
from clew.cli.text import one_line
from clew.errors import ConfigError
from clew.store.url import shown


def backup(
    file: Annotated[str, typer.Argument(help="The copy to make, such as backup-2026-11-21.db.")],
    *,
    store: Annotated[str | None, typer.Option("--store", help="The store to copy; CLEW_STORE if not given.")] = None,
) -> None:
    """Copy a SQLite store to a file, while a server goes on writing to it."""
    url = config.STORE.read() if store is None else store
    path = _path_of(url, file)
    from clew.store.sqlite.backup import back_up

    began = time.monotonic()
    with bar(one_line(path, 60), "pages") as progress:
        copied = back_up(path, file, progress.reach)
    figures(
        "backed up",
        [
            ("store", shown(url)),
            ("copy", f"{file} ({size(copied.bytes)}, checked)"),
            ("holds", f"{copied.traces:,} traces, {copied.spans:,} spans, {copied.scores:,} scores"),
            ("took", f"{time.monotonic() - began:.1f} s"),
            ("restore", f"clew serve --store sqlite:///{file}"),
        ],
    )


def _path_of(url: str, file: str) -> str:
    """Give the file that *url* names; of another store, say what to do instead."""
    scheme, _, rest = url.partition("://")
    if scheme in {"postgresql", "postgres"}:
        schema = re.search(r"search_path(?:=|%3D)(\w+)", url)
        of = f"--schema={schema.group(1)} " if schema else ""
        command = f"pg_dump --format=custom {of}--file={shlex.quote(file)} {shlex.quote(shown(url))}"
        out().print(command, markup=False, soft_wrap=True)
        raise ConfigError(
            "--store", "PostgreSQL makes its own backups: run the pg_dump above; pg_restore reads it back"
        )
    if scheme != "sqlite" or not rest.startswith("/") or not rest[1:]:
        raise ConfigError("--store", f"{shown(url)!r} is no SQLite file; `clew export` copies what any store holds")
    return rest[1:]
