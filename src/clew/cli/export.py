"""`clew export PLACE`: all that a store holds, into a folder or one file, to be imported elsewhere."""

from __future__ import annotations

import time
from contextlib import closing
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import urlsplit

import typer

from clew import config
from clew.cli.moved import bar, figures, size
from clew.cli.server_store import ServerStore
from clew.cli.source import HttpSource
from clew.cli.text import one_line
from clew.errors import BadFilter, ConfigError
from clew.query.filters import text_of, time_of
from clew.store import open_store
from clew.store.protocol import Store
from clew.store.url import shown

if TYPE_CHECKING:
    from clew.move.manifest import Manifest


def export(
    place: Annotated[str, typer.Argument(help="A folder, or one file if its name ends in .clew.")],
    *,
    store: Annotated[str | None, typer.Option("--store", help="The store to read; CLEW_STORE if not given.")] = None,
    project: Annotated[str, typer.Option("--project", help="Only this project; all of them if not given.")] = "",
    since: Annotated[str, typer.Option("--since", help="Only traces that started at or after.")] = "",
    until: Annotated[str, typer.Option("--until", help="Only traces that started before.")] = "",
    url: Annotated[str | None, typer.Option("--url", help="Read through this server instead of a store.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="An admin key, with --url; CLEW_API_KEY if not given.")
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Also API keys (their hashes).")] = False,
) -> None:
    """Write what a store holds to a folder or file; after a kill, the same command goes on."""
    # Here and not above: protobuf's messages take a while to load, which other commands need not wait for.
    from clew.move.boxes import box_at
    from clew.move.exporting import Exporter, projects_of
    from clew.move.manifest import begun

    opened, source = _opened(place, store, url, key, keys=keys)
    window = _time("--since", since), _time("--until", until)
    began = time.monotonic()
    with closing(opened):
        projects = projects_of(opened, text_of("--project", project) or "")
        wanted = begun(version=version("clew"), source=source, projects=projects, window=window, keys=keys)
        with bar(one_line(source, 60), "spans", _spans(opened, projects, window)) as progress:
            manifest = Exporter(opened, box_at(place), place=place, tell=progress.reach).run(wanted)
        knows_more = hasattr(opened, "snapshot")
    _tell(place, manifest, time.monotonic() - began, knows_more=knows_more)


def _opened(place: str, store: str | None, url: str | None, key: str | None, *, keys: bool) -> tuple[Store, str]:
    """Open the store, or the server that --url names, or a --store that is none; and give its name to show."""
    if "://" in place:
        raise ConfigError("PLACE", f"{one_line(shown(place), 80)!r} is no folder or file; {_USAGE}")
    named = store if store is not None else url if url is not None else config.STORE.read()
    if urlsplit(named).scheme not in {"http", "https"}:
        if url is not None and store is None:
            raise ConfigError(
                "--url", f"{one_line(shown(named), 80)!r} is not http(s)://host:port; a store is a --store"
            )
        return open_store(named, read_only=named != "memory:"), shown(named)
    if keys:
        raise ConfigError("--keys", "a server gives no API keys away; export from the --store that it has")
    server = ServerStore(HttpSource(named, config.API_KEY.read() if key is None else key))
    # It answers all that an export asks.
    return cast("Store", server), shown(named)


_USAGE = "`clew export PLACE --store STORE` writes an export, and `clew import PLACE` reads it back"


def _time(option: str, text: str) -> int | None:
    if not text:
        return None
    try:
        return time_of(option, text)
    except BadFilter as error:
        raise ConfigError(option, error.problem) from None


def _spans(store: Store, projects: list[str], window: tuple[int | None, int | None]) -> int | None:
    """How many spans there will be, if that can be said at once."""
    if isinstance(store, ServerStore) and window == (None, None):
        return store.span_count(projects)
    if window != (None, None) or not hasattr(store, "snapshot"):
        return None
    with store.snapshot() as snapshot:
        return int(sum(snapshot.totals(project).spans for project in projects))


def _tell(place: str, manifest: Manifest, lasted_s: float, *, knows_more: bool) -> None:
    totals = manifest.totals
    named = ", ".join(one_line(name, 40) for name in manifest.projects[:5]) or "none"
    more = f" and {len(manifest.projects) - 5} more" if len(manifest.projects) > 5 else ""
    written = sum(part.bytes for part in manifest.parts)
    beyond = sum(part.rows for part in manifest.parts if part.kind == "beyond")
    rows = [
        ("from", manifest.source),
        ("to", f"{place} ({size(written)} in {len(manifest.parts):,} parts)"),
        ("projects", named + more),
        ("holds", f"{totals.traces:,} traces, {totals.spans:,} spans, {totals.scores:,} scores"),
        *([("beyond", "also latencies and graph of spans that are not stored (any more)")] if beyond else []),
        *([] if knows_more else [("left out", "latencies and graph of spans that are not stored (any more)")]),
        *([("keys", "API keys too, by their hashes: keep this export as you keep them")] if manifest.keys else []),
        ("took", f"{lasted_s:.1f} s"),
        ("read back", f"clew import {place} --store …"),
    ]
    figures("exported", rows)
