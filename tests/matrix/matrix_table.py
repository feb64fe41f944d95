"""
The matrix as a table: pattern by Python version, Clew beside its peers.

    python tests/matrix/matrix_table.py [--markdown] [--pythons 3.11,3.13] [--subjects clew,langsmith] [--details]

Each Python that is found gets one virtual environment under bench/.venvs, made on first use, with
Clew, the peers and what the patterns need. Status 1 if Clew loses a parent anywhere.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from matrix_patterns import PATTERNS
from matrix_subjects import SUBJECTS

ROOT = Path(__file__).parents[2]
VENVS = ROOT / "bench" / ".venvs"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PACKAGES = ["opentelemetry-sdk", "langsmith", "anyio", "fastapi", "starlette", "uvicorn", "gunicorn"]
WAYS = ("ambient", "explicit")

Verdicts = dict[str, dict[str, str]]
"""By pattern and way."""
Matrix = dict[tuple[str, str], Verdicts]
"""By subject and Python."""


def main() -> int:
    """Run what was asked for, and print it."""
    given = arguments()
    matrix: Matrix = {}
    versions: dict[str, str] = {}
    for version in given.pythons:
        found = interpreter(version)
        if found is None:
            print(f"Python {version} is not here: left out", file=sys.stderr)
            continue
        python = environment(version, found)
        versions = versions_of(python)
        for subject in given.subjects:
            print(f"{subject} on Python {version}", file=sys.stderr, flush=True)
            matrix[subject, version] = verdicts(python, subject)
    print(markdown(matrix, versions) if given.markdown else plain(matrix, versions))
    if given.details:
        print(details(matrix))
    return int(any(lost(seen) for (subject, _), seen in matrix.items() if subject == "clew"))


def arguments() -> argparse.Namespace:
    """Which Pythons, which SDKs, and how it is printed."""
    parser = argparse.ArgumentParser(prog="make matrix ARGS=...", description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--markdown", action="store_true", help="as Markdown, for the README")
    parser.add_argument("--details", action="store_true", help="say of each failure where the child landed")
    parser.add_argument("--pythons", type=lambda text: text.split(","), default=list(PYTHONS), metavar="3.11,...")
    parser.add_argument("--subjects", type=lambda text: text.split(","), default=list(SUBJECTS), metavar="clew,...")
    given = parser.parse_args()
    unknown = set(given.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    return given


def interpreter(version: str) -> str | None:
    """A Python of that version: this one, on the PATH, or pyenv's."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ]
    # A shim of pyenv's is on the PATH for versions that are not switched on, and fails.
    works = (str(each) for each in candidates if each and reports(str(each)).startswith(f"{version}."))
    return next(works, None)


def reports(python: str) -> str:
    """The version that an interpreter gives, or nothing."""
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], check=False, capture_output=True, text=True).stdout


def environment(version: str, interpreter: str) -> str:
    """The virtual environment of one Python; a stamp says that it was completed."""
    venv = VENVS / f"matrix-{version}"
    stamp = venv / ".installed"
    python = str(venv / "bin" / "python")
    if not stamp.exists():
        print(f"Installing {venv.relative_to(ROOT)}", file=sys.stderr, flush=True)
        subprocess.run([interpreter, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--editable", str(ROOT), *PACKAGES], check=True)
        stamp.touch()
    return python


def versions_of(python: str) -> dict[str, str]:
    """What was compared."""
    names = {"clew": "clew", "opentelemetry": "opentelemetry-sdk", "langsmith": "langsmith"}
    code = "import json, sys; from importlib.metadata import version; print(json.dumps([*map(version, sys.argv[1:])]))"
    done = subprocess.run([python, "-c", code, *names.values()], check=True, capture_output=True, text=True)
    return dict(zip(names, json.loads(done.stdout), strict=True))


def verdicts(python: str, subject: str) -> Verdicts:
    """Run every pattern with one SDK on one Python."""
    script = str(Path(__file__).with_name("matrix_run.py"))
    done = subprocess.run([python, script, subject], check=True, capture_output=True, text=True)
    found: Verdicts = json.loads(done.stdout.splitlines()[-1])
    return found


def lost(seen: Verdicts) -> list[str]:
    """The patterns that went wrong in either way."""
    return [name for name, ways in seen.items() if any(verdict not in ("ok", "absent") for verdict in ways.values())]


def cell(ways: dict[str, str], marks: tuple[str, str, str]) -> str:
    """Both ways in one cell: ambient, and after a stroke explicit if that differs."""
    good, bad, absent = marks
    shown = [good if verdict == "ok" else absent if verdict == "absent" else bad for verdict in map(ways.get, WAYS)]
    return shown[0] if shown[0] == shown[1] else "/".join(shown)


def summary(seen: Verdicts, way: str) -> str:
    """How many of the patterns came out right."""
    tried = [ways[way] for ways in seen.values() if ways[way] != "absent"]
    return f"{sum(verdict == 'ok' for verdict in tried)} of {len(tried)}"


def plain(matrix: Matrix, versions: dict[str, str]) -> str:
    """A table for the terminal."""
    width = max(len(pattern.title) for pattern in PATTERNS.values()) + 2
    columns = list(matrix)
    subjects = list(dict.fromkeys(subject for subject, _ in columns))
    lines = [f"{subject} {versions.get(subject, '')}" for subject in subjects]
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


def markdown(matrix: Matrix, versions: dict[str, str]) -> str:
    """One column for each SDK; where Pythons differ, the cell says which ones lose the parent."""
    subjects = list(dict.fromkeys(subject for subject, _ in matrix))
    lines = ["| pattern | " + " | ".join(f"{subject} {versions.get(subject, '')}" for subject in subjects) + " |"]
    lines += ["| --- |" + " --- |" * len(subjects)]
    for name, pattern in PATTERNS.items():
        lines.append(
            f"| {pattern.title} | " + " | ".join(over_pythons(matrix, subject, name) for subject in subjects) + " |"
        )
    for way in WAYS:
        totals = (
            ", ".join(dict.fromkeys(summary(seen, way) for (who, _), seen in matrix.items() if who == subject))
            for subject in subjects
        )
        lines.append(f"| **{way}** | " + " | ".join(totals) + " |")
    pythons = ", ".join(dict.fromkeys(version for _, version in matrix))
    return "\n".join(
        [
            *lines,
            "",
            f"Python {pythons}; ✓ kept, ✗ lost, with ambient context / with an explicit parent where they differ.",
        ]
    )


def over_pythons(matrix: Matrix, subject: str, name: str) -> str:
    """One cell for all Pythons."""
    cells = {version: cell(seen[name], ("✓", "✗", "-")) for (who, version), seen in matrix.items() if who == subject}
    present = {version: text for version, text in cells.items() if text != "-"} or cells
    if len(set(present.values())) == 1:
        return next(iter(present.values()))
    return ", ".join(f"{text} {version}" for version, text in present.items())


def details(matrix: Matrix) -> str:
    """Of each failure, where the child landed."""
    lines = []
    for (subject, version), seen in matrix.items():
        for name in lost(seen):
            for way in WAYS:
                if seen[name][way] not in ("ok", "absent"):
                    lines.append(f"{subject} {version}, {PATTERNS[name].title}, {way}: {seen[name][way]}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
