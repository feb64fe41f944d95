"""Named queries."""

import re
from pathlib import Path

import pytest

import clew.store
from clew.store import sql

PACKAGE = Path(clew.store.__file__).parent / "sqlite"
FILES = {
    path.name: sql.load("clew.store.sqlite", path.name) for path in PACKAGE.glob("*.sql") if path.name != "schema.sql"
}
QUERIES = {name: text for queries in FILES.values() for name, text in queries.items()}


def test_every_query_has_a_name_and_is_used():
    """A statement that nobody runs is a trap for the next reader."""
    code = "".join(path.read_text() for path in PACKAGE.glob("*.py"))
    for name in QUERIES:
        assert f'"{name}"' in code, name


def test_every_query_that_is_run_exists():
    """A typing mistake would show only when it runs."""
    code = "".join(path.read_text() for path in PACKAGE.glob("*.py"))
    for name in re.findall(r'QUERIES\["(\w+)"\]|\.run\(\s*"(\w+)"|\.put\("(\w+)"|_answer\(project, "(\w+)"', code):
        assert "".join(name) in QUERIES


def test_no_two_queries_have_one_name():
    """These two are read side by side; each of the others by one module alone."""
    assert not FILES["queries.sql"].keys() & FILES["graph.sql"].keys()


def test_rows_get_as_many_placeholders_as_columns():
    """One statement takes many rows."""
    insert = "INSERT INTO t (a, b) VALUES :rows ON CONFLICT DO NOTHING"
    assert sql.of_rows(insert, 2) == "INSERT INTO t (a, b) VALUES (?,?),(?,?) ON CONFLICT DO NOTHING"


def test_a_statement_of_rows_must_name_its_columns():
    """Or a new column would shift the values."""
    with pytest.raises(ValueError, match="columns"):
        sql.of_rows("INSERT INTO t VALUES :rows", 2)
