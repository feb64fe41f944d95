"""`clew import PLACE`, where the place is an export of `clew export`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing

from clew.cli.moved import bar, figures
from clew.cli.server_target import ServerTarget
from clew.cli.source import HttpSource
from clew.cli.text import one_line
from clew.errors import ClewError, ConfigError
from clew.move.boxes import box_at
from clew.move.importing import Imported, Importer, load
from clew.move.manifest import Manifest, Part
from clew.move.store_target import StoreTarget
from clew.store import open_store
from clew.store.url import shown

TOLD = 10
"""So many damaged parts are told one by one."""


class NotWhole(ClewError):
    """Something of an export could not be imported. Exit status 1; all else was."""


def import_export(place: str, *, store: str | None, url: str, key: str, project: str, keys: bool, learn: bool) -> None:
    """
    Import the export at *place*, and say whether all of it is there.

    Raises:
        NotWhole: some part of it was damaged, missing, or is not whole in the store.
    """
    box = box_at(place)
    manifest = load(box, place)
    parts, rename = _chosen(manifest, project)
    began = time.monotonic()
    target = StoreTarget(open_store(store)) if store is not None else ServerTarget(HttpSource(url, key))
    with closing(target):
        with bar(one_line(place, 60), "spans", sum(part.spans for part in parts)) as progress:
            importer = Importer(box, target, rename=rename, keys=keys, tell=progress.advance)
            done = importer.run(parts, complete=manifest.complete)
        learned = _learned(target, done) if learn and isinstance(target, StoreTarget) else 0
    whole = done.matches(parts)
    into = shown(store) if store is not None else url
    figures(
        "imported, all of it" if whole else "imported, but not all of it",
        _rows(manifest, done, parts, learned, place=place, into=into, lasted_s=time.monotonic() - began),
        good=whole,
    )
    if not whole:
        raise NotWhole(_why(manifest, done))


def _chosen(manifest: Manifest, project: str) -> tuple[list[Part], Callable[[str], str]]:
    """Which parts to take, and how their projects are to be called."""
    if not project:
        return manifest.parts, lambda name: name
    if len(manifest.projects) == 1:
        return manifest.parts, lambda name: project if name else ""
    if project not in manifest.projects:
        there = ", ".join(map(repr, manifest.projects[:10]))
        raise ConfigError("--project", f"this export holds {there}; name one of them, or none for all")
    return [part for part in manifest.parts if part.project == project], lambda name: name


def _learned(target: StoreTarget, done: Imported) -> int:
    with bar("learning the graph", "traces", done.traces or None) as progress:
        return target.learn(progress.advance)


def _rows(
    manifest: Manifest,
    done: Imported,
    parts: Sequence[Part],
    learned: int,
    *,
    place: str,
    into: str,
    lasted_s: float,
) -> list[tuple[str, str]]:
    held = [sum(getattr(part, name) for part in parts) for name in ("traces", "spans", "scores")]
    found = f"{done.traces:,} traces, {done.spans:,} spans, {done.scores:,} scores"
    told = "as the manifest says" if done.matches(parts) else "the manifest says {:,}, {:,} and {:,}".format(*held)
    rows = [
        ("from", f"{place}, made {manifest.made_at} of {manifest.source}"),
        ("into", into),
        ("there now", f"{found}: {told}"),
    ]
    if done.duplicates:
        rows.append(("before", f"{done.duplicates:,} of these spans were there already"))
    if done.beyond:
        rows.append(("beyond", "latencies and graph of spans that were not stored are added"))
    if done.beyond_before:
        rows.append(("beyond", "what was known beyond the spans was added by an earlier import, so not again"))
    if done.choices:
        rows.append(("decided", f"{done.choices:,} declared workflows and arms"))
    if learned:
        rows.append(("learned", f"{learned:,} traces for the graph"))
    if done.keys or done.keys_left:
        rows.append(("keys", f"{done.keys:,} taken" if done.keys else f"{done.keys_left:,} left out: say --keys"))
    return [*rows, ("took", f"{lasted_s:.1f} s")]


def _why(manifest: Manifest, done: Imported) -> str:
    if not manifest.complete and not done.problems:
        return "this export was never finished, or is cut short: `clew export` goes on with it, or copy it again"
    lines = [f"{problem.part.file}: {problem.why}" for problem in done.problems[:TOLD]]
    more = f"; and {len(done.problems) - TOLD} more parts" if len(done.problems) > TOLD else ""
    return f"{'; '.join(lines)}{more}; copy the export again and import it again, which takes only what is missing"
