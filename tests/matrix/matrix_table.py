"""
The matrix as a table: pattern by Python version, Clew beside its peers.

    python tests/matrix/matrix_table.py [--markdown] [--details] [--write] [--pythons 3.11,...] [--subjects clew,...]

Each Python that is found gets two virtual environments under bench/.venvs, made on first use: Clew
with the peers that leave others alone, and ddtrace. --write puts the tables where README.md and
docs/reference/parents.md have marks for them. Status 1 if Clew loses a parent anywhere.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from matrix_print import Matrix, Verdicts, details, lost, plain, put_between, short, whole
from matrix_subjects import SUBJECTS

ROOT = Path(__file__).parents[2]
VENVS = ROOT / "bench" / ".venvs"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PATTERNS_NEED = ["anyio", "fastapi", "starlette", "uvicorn", "uvloop", "gunicorn", "trio", "asgiref"]
PEERS = {
    "opentelemetry": ["opentelemetry-sdk", "opentelemetry-instrumentation-threading>=0.60b0"],
    "langsmith": ["langsmith==0.14.17"],  # The newest that is there for Python 3.10 too.
    "ddtrace": ["ddtrace"],
}
"""What each peer is on PyPI; the first of them gives the version that the table shows."""
ALONE = ("ddtrace",)
"""Peers with an environment of their own."""


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
        for subject in given.subjects:
            python = environment(version, found, subject)
            print(f"{subject} on Python {version}", file=sys.stderr, flush=True)
            versions.setdefault(subject, version_of(python, subject))
            matrix[subject, version] = verdicts(python, subject)
    tables = [short, whole] if given.markdown else [plain]
    print("\n\n".join(table(matrix, versions) for table in tables))
    if given.details:
        print(details(matrix))
    if given.write:
        write(matrix, versions)
    return int(any(lost(seen) for (subject, _), seen in matrix.items() if subject == "clew"))


def write(matrix: Matrix, versions: dict[str, str]) -> None:
    """Put the tables where they belong."""
    for name, text in (("matrix", short(matrix, versions)), ("patterns", whole(matrix, versions))):
        for file in (ROOT / "README.md", ROOT / "docs" / "reference" / "parents.md"):
            if put_between(file, name, text):
                print(f"{name} written into {file.relative_to(ROOT)}", file=sys.stderr)


def arguments() -> argparse.Namespace:
    """Which Pythons, which SDKs, and how it is printed."""
    parser = argparse.ArgumentParser(prog="make matrix ARGS=...", description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--markdown", action="store_true", help="as Markdown")
    parser.add_argument("--details", action="store_true", help="say of each failure where the child landed")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md and docs/reference")
    parser.add_argument("--pythons", type=lambda text: text.split(","), default=list(PYTHONS), metavar="3.11,...")
    parser.add_argument("--subjects", type=lambda text: text.split(","), default=["clew", *PEERS], metavar="clew,...")
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


def environment(version: str, interpreter: str, subject: str) -> str:
    """The virtual environment of one Python for one SDK; a stamp says what was installed."""
    alone = subject in ALONE
    venv = VENVS / (f"matrix-{version}-{subject}" if alone else f"matrix-{version}")
    stamp, python = venv / ".installed", str(venv / "bin" / "python")
    together = [package for peer, packages in PEERS.items() if peer not in ALONE for package in packages]
    packages = [*PATTERNS_NEED, *(PEERS[subject] if alone else together)]
    if not stamp.exists() or stamp.read_text() != " ".join(packages):
        print(f"Installing {venv.relative_to(ROOT)}", file=sys.stderr, flush=True)
        subprocess.run([interpreter, "-m", "venv", str(venv)], check=True)
        pip = [python, "-m", "pip", "install", "--upgrade", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *([] if alone else ["--editable", str(ROOT)]), *packages], check=True)
        stamp.write_text(" ".join(packages))
    return python


def version_of(python: str, subject: str) -> str:
    """What is compared."""
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    name = PEERS.get(subject, [subject])[0].partition("==")[0]
    return subprocess.run([python, "-c", code, name], check=True, capture_output=True, text=True).stdout.strip()


def verdicts(python: str, subject: str) -> Verdicts:
    """Run every pattern with one SDK on one Python."""
    script = str(Path(__file__).with_name("matrix_run.py"))
    done = subprocess.run([python, script, subject], check=True, capture_output=True, text=True)
    found: Verdicts = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
