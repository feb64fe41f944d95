"""The verdicts as text: a table for the terminal, a short one for the README, the whole one for the reference."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matrix_patterns import PATTERNS
from matrix_rows import rows

WAYS = ("ambient", "explicit")
KEPT, LOST, ABSENT = "✓", "✗", "–"  # noqa: RUF001  a dash that a table may show

Verdicts = dict[str, dict[str, str]]
"""By pattern and way."""
Matrix = dict[tuple[str, str], Verdicts]
"""By subject and Python."""


def lost(seen: Verdicts) -> list[str]:
    """The patterns that went wrong in either way."""
    return [name for name, ways in seen.items() if any(verdict not in ("ok", "absent") for verdict in ways.values())]


def summary(seen: Verdicts, way: str) -> str:
    """How many of the patterns came out right."""
    tried = [ways[way] for ways in seen.values() if ways[way] != "absent"]
    return f"{sum(verdict == 'ok' for verdict in tried)} of {len(tried)}"


def cell(ways: dict[str, str], marks: tuple[str, str, str] = (KEPT, LOST, ABSENT)) -> str:
    """Both ways in one cell: ambient, and after a stroke explicit if that differs."""
    good, bad, absent = marks
    shown = [good if verdict == "ok" else absent if verdict == "absent" else bad for verdict in map(ways.get, WAYS)]
    return shown[0] if shown[0] == shown[1] else "/".join(shown)


def plain(matrix: Matrix, versions: dict[str, str]) -> str:
    """A table for the terminal."""
    width = max(len(pattern.title) for pattern in PATTERNS.values()) + 4
    columns = list(matrix)
    lines = [f"{subject} {versions.get(subject, '')}" for subject in subjects_of(matrix)]
    lines += ["", " " * width + "".join(f"{subject[:9]:>10}" for subject, _ in columns)]
    lines += [" " * width + "".join(f"{version:>10}" for _, version in columns)]
    group = ""
    for name, pattern in PATTERNS.items():
        if pattern.group != group:
            group = pattern.group
            lines += ["", group]
        cells = (cell(matrix[column][name], ("ok", "LOST", "-")) for column in columns)
        lines.append(f"  {pattern.title:<{width - 2}}" + "".join(f"{text:>10}" for text in cells))
    for way in WAYS:
        lines.append(f"{way:<{width}}" + "".join(f"{summary(matrix[column], way):>10}" for column in columns))
    return "\n".join(lines)


def short(matrix: Matrix, versions: dict[str, str]) -> str:
    """The README's table: a few rows; Clew by Python, a peer on all of them together."""
    own = [version for subject, version in matrix if subject == "clew"]
    peers = [subject for subject in subjects_of(matrix) if subject != "clew"]
    heads = [f"Clew, {version}" for version in own] + [f"{peer} {versions.get(peer, '')}" for peer in peers]
    lines = [_row("the parent is kept in", heads), _row("---", ["---"] * len(heads))]
    for title, names in rows().items():
        cells = [_counted([matrix["clew", version]], names) for version in own]
        cells += [_counted(_on_all(matrix, peer), names) for peer in peers]
        lines.append(_row(title, cells))
    tried = [_counted([matrix["clew", version]], PATTERNS) for version in own]
    tried += [_counted(_on_all(matrix, peer), PATTERNS) for peer in peers]
    lines.append(_row(f"**all {len(PATTERNS)} patterns**", tried))
    return "\n".join(lines)


def whole(matrix: Matrix, versions: dict[str, str]) -> str:
    """Every pattern, one column for each SDK; where Pythons differ, the cell says which ones lose the parent."""
    subjects = subjects_of(matrix)
    lines = [_row("pattern", [f"{subject} {versions.get(subject, '')}" for subject in subjects])]
    lines.append(_row("---", ["---"] * len(subjects)))
    group = ""
    for name, pattern in PATTERNS.items():
        if pattern.group != group:
            group = pattern.group
            lines.append(_row(f"**{group}**", [""] * len(subjects)))
        lines.append(_row(pattern.title, [_over_pythons(matrix, subject, name) for subject in subjects]))
    for way in WAYS:
        totals = (", ".join(dict.fromkeys(summary(seen, way) for seen in _on_all(matrix, each))) for each in subjects)
        lines.append(_row(f"**{way}**", totals))
    return "\n".join(lines)


def details(matrix: Matrix) -> str:
    """Of each failure, where the child landed."""
    lines = []
    for (subject, version), seen in matrix.items():
        for name in lost(seen):
            for way in WAYS:
                if seen[name][way] not in ("ok", "absent"):
                    lines.append(f"{subject} {version}, {PATTERNS[name].title}, {way}: {seen[name][way]}")
    return "\n".join(lines)


def subjects_of(matrix: Matrix) -> list[str]:
    """The SDKs, in their order."""
    return list(dict.fromkeys(subject for subject, _ in matrix))


def put_between(file: Path, name: str, text: str) -> bool:
    """Replace what stands in *file* between the marks of *name*; gives whether it has such marks."""
    begin, end = f"<!-- {name}: begin, made by `make matrix ARGS=--write` -->", f"<!-- {name}: end -->"
    before, found, rest = file.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if found and found_end:
        file.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
    return bool(found and found_end)


def _on_all(matrix: Matrix, subject: str) -> list[Verdicts]:
    return [seen for (who, _), seen in matrix.items() if who == subject]


def _counted(columns: list[Verdicts], names: Iterable[str]) -> str:
    """Of *names* how many are kept on all of these Pythons: ambient, and explicit if that differs."""
    shown = []
    for way in WAYS:
        tried = {name: {seen[name][way] for seen in columns} - {"absent"} for name in names}
        kept = sum(verdicts == {"ok"} for verdicts in tried.values())
        of = sum(bool(verdicts) for verdicts in tried.values())
        shown.append(ABSENT if not of else KEPT if kept == of else f"{kept} of {of}" if kept else LOST)
    return shown[0] if shown[0] == shown[1] else " / ".join(shown)


def _over_pythons(matrix: Matrix, subject: str, name: str) -> str:
    cells = {version: cell(seen[name]) for (who, version), seen in matrix.items() if who == subject}
    present = {version: text for version, text in cells.items() if text != ABSENT} or cells
    if len(set(present.values())) == 1:
        return next(iter(present.values()))
    return ", ".join(f"{text} {version}" for version, text in present.items())


def _row(title: str, cells: Iterable[Any]) -> str:
    return f"| {title} | " + " | ".join(map(str, cells)) + " |"
