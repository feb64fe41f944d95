"""What an export holds, part by part: `manifest.json`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Literal

import msgspec

from clew.errors import ClewError

FORMAT = 1
"""Grows when an older Clew would misread the parts."""

NAME = "manifest.json"
Kind = Literal["spans", "scores", "beyond", "choices", "keys"]


class UnreadableExport(ClewError):
    """It is no export, or its manifest is damaged. Nothing was imported. Exit status 1."""


class ExportTooNew(UnreadableExport):
    """A newer Clew wrote it. Nothing was imported. Exit status 1."""

    def __init__(self, *, found: int) -> None:
        super().__init__(f"this export has format {found}, this Clew reads up to {FORMAT}; upgrade Clew")
        self.found = found


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One file of an export."""

    file: str
    kind: Kind
    project: str = ""
    """Empty: of no project, as keys are."""
    bytes: int
    """As it lies on the disk."""
    sha256: str
    """Of the same."""
    traces: int = 0
    spans: int = 0
    scores: int = 0
    rows: int = 0
    """Of parts that hold none of these: how many things they hold."""
    after: tuple[int, str] | None = None
    """Start and id of the last trace of spans; the next part goes on behind it."""


class Totals(msgspec.Struct, kw_only=True):
    """How much an export holds."""

    traces: int = 0
    spans: int = 0
    scores: int = 0


class Manifest(msgspec.Struct, kw_only=True):
    """The whole export. `complete` only when nothing more comes."""

    format: int
    written_by: str
    export_id: str
    """Random: what is counted beyond the spans is added once for each export."""
    made_at: str
    """ISO 8601, UTC."""
    source: str
    """The store's URL, without its password."""
    projects: list[str]
    since_ns: int | None = None
    until_ns: int | None = None
    keys: bool = False
    complete: bool = False
    totals: Totals
    parts: list[Part] = []

    def add(self, parts: Iterable[Part]) -> None:
        """Take in finished parts."""
        for part in parts:
            self.parts.append(part)
            self.totals.traces += part.traces
            self.totals.spans += part.spans
            self.totals.scores += part.scores

    def of(self, project: str, kind: Kind) -> list[Part]:
        """Give the parts of one project and kind, in order."""
        return [part for part in self.parts if part.project == project and part.kind == kind]


def begun(
    *, version: str, source: str, projects: list[str], window: tuple[int | None, int | None], keys: bool
) -> Manifest:
    """Give the manifest of an export that holds nothing yet."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    return Manifest(
        format=FORMAT,
        written_by=f"clew {version}",
        export_id=secrets.token_hex(8),
        made_at=now.isoformat().replace("+00:00", "Z"),
        source=source,
        projects=projects,
        since_ns=window[0],
        until_ns=window[1],
        keys=keys,
        totals=Totals(),
    )


class _Head(msgspec.Struct):
    format: int


def encode(manifest: Manifest) -> bytes:
    """Give *manifest* as JSON for people to read, too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode(raw: bytes) -> Manifest:
    """
    Read a manifest.

    Raises:
        ExportTooNew: a newer Clew wrote it.
        UnreadableExport: it is none.
    """
    try:
        found = msgspec.json.decode(raw, type=_Head).format
        if found > FORMAT:
            raise ExportTooNew(found=found)
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnreadableExport(f"the manifest cannot be read: {error}; copy the export again") from None
