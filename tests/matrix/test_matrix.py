"""
The public matrix, Clew's column: in no way of handing work on is the parent lost.

On this Python all of it. On the others whatever needs no server, where `make matrix` has made their
environments; that starts real servers with them as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matrix_patterns import PATTERNS
from matrix_print import put_between, short, whole
from matrix_rows import ROWS, rows
from matrix_run import judged
from matrix_table import PYTHONS, ROOT, VENVS

RUN = str(Path(__file__).with_name("matrix_run.py"))
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
SERVERLESS = {pattern.group for pattern in PATTERNS.values()} - {"servers"}
OTHERS = [version for version in PYTHONS if version != OWN]


class Column:
    """Clew's verdicts on one Python, being found."""

    def __init__(self, python: str, *groups: str, subject: str = "clew") -> None:
        self._process = subprocess.Popen(
            [python, RUN, subject, *groups], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._found: Any = None

    def verdicts(self) -> Any:
        """Wait for them."""
        if self._found is None:
            out, err = self._process.communicate(timeout=300)
            assert self._process.returncode == 0, err
            self._found = json.loads(out.splitlines()[-1])
        return self._found

    def stop(self) -> None:
        """Not to be asked any more."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture(scope="session")
def columns() -> Any:
    """All of them side by side: each mostly waits."""
    found = {OWN: Column(sys.executable)}
    found["names"] = Column(sys.executable, *sorted(SERVERLESS - {"processes"}), subject="clew.langsmith")
    for version in OTHERS:
        if (VENVS / f"matrix-{version}" / ".installed").exists():
            found[version] = Column(str(VENVS / f"matrix-{version}" / "bin" / "python"), *sorted(SERVERLESS))
    yield found
    for column in found.values():
        column.stop()


@pytest.mark.parametrize("way", ["ambient", "explicit"])
@pytest.mark.parametrize("name", PATTERNS)
def test_the_parent_is_kept(columns, name, way):
    verdict = columns[OWN].verdicts()[name][way]
    if verdict == "absent":
        pytest.skip("not on this Python")
    assert verdict == "ok", PATTERNS[name].title


@pytest.mark.parametrize("version", OTHERS)
def test_the_parent_is_kept_on_other_pythons(columns, version):
    """One test for each: who has that Python at hand can ask for it with `make matrix`."""
    if version not in columns:
        pytest.skip(f"no environment of Python {version}; `make matrix` makes one if that Python is here")
    all_kept(columns[version].verdicts())


def test_the_parent_is_kept_by_langsmiths_names(columns):
    """`clew.langsmith` stands on the same spans, and must lose none of it."""
    all_kept(columns["names"].verdicts())


def all_kept(found: Any) -> None:
    lost = {name: ways for name, ways in found.items() if set(ways.values()) - {"ok", "absent"}}
    absent = {name for name, ways in found.items() if "absent" in ways.values()}

    assert lost == {}
    assert len(absent) < len(found) / 4


def span(name: str, span_id: str, parent: str | None = None) -> dict[str, Any]:
    return {"name": name, "id": span_id, "parent": parent}


def test_the_matrix_would_see_a_lost_parent():
    """A verdict that cannot be bad says nothing."""
    wanted = {"step": "request"}
    request = span("request", "1")

    assert judged(wanted, [request, span("step", "2", "1")]) == "ok"
    assert judged(wanted, [request]) == "step: lost"
    assert judged(wanted, [request, span("step", "2")]) == "step: under nothing"
    assert judged(wanted, [request, span("step", "2", "7")]) == "step: under nothing"
    assert judged(wanted, [request, span("other", "3", "1"), span("step", "2", "3")]) == "step: under other"
    assert judged(wanted, [request, span("step", "1", "1")]) == "the same id twice"
    assert judged(wanted, [request, span("step", "2", "1"), span("step", "3")]) == "step: under nothing"


def test_the_short_table_leaves_no_pattern_out():
    """A pattern that fits no row of the README's would be hidden by its totals."""
    found = rows()

    assert sorted(name for names in found.values() for name in names) == sorted(PATTERNS)
    assert set(found) <= {title for title, _, _ in ROWS}
    assert all(found.values())


def test_a_short_cell_counts_what_is_lost_on_any_python():
    """One Python that loses it is enough."""
    good = {name: {"ambient": "ok", "explicit": "ok"} for name in PATTERNS}
    bad = {**good, "forked": {"ambient": "forked: lost", "explicit": "ok"}}
    row = "| `os.fork` in mid-span | "

    table = short({("clew", "3.10"): good, ("clew", "3.13"): bad, ("peer", "3.10"): good, ("peer", "3.13"): bad}, {})
    long = whole({("clew", "3.10"): good, ("clew", "3.13"): bad}, {})

    assert f"{row}✓ | ✗ / ✓ | ✗ / ✓ |" in table
    assert "| os.fork in mid-span | ✓ 3.10, ✗/✓ 3.13 |" in long


def test_tables_are_put_between_their_marks(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- matrix: begin, made by `make matrix ARGS=--write` -->old<!-- matrix: end -->\nafter")

    assert put_between(file, "matrix", "| new |")
    assert not put_between(file, "patterns", "| new |")
    assert file.read_text().startswith("before\n<!-- matrix: begin")
    assert "| new |" in file.read_text()
    assert "old" not in file.read_text()
    assert file.read_text().endswith("<!-- matrix: end -->\nafter")


@pytest.mark.parametrize("name", PATTERNS)
def test_the_reference_lists_every_pattern(name):
    """The page is written by `make matrix ARGS=--write`; a new pattern asks for that."""
    page = (ROOT / "docs" / "reference" / "parents.md").read_text()

    assert f"| {PATTERNS[name].title} | ✓ |" in page
