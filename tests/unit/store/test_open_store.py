"""A URL names a store."""

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from clew.errors import ConfigError, StoreUnavailable
from clew.store import open_store
from clew.testing.store_contract import a_span, ids, put


def test_three_slashes_are_relative_and_four_absolute(tmp_path, monkeypatch):
    """As in SQLAlchemy, which people know."""
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///near.db").close()
    open_store(f"sqlite:///{tmp_path}/far.db").close()
    assert {path.name for path in tmp_path.iterdir()} == {"near.db", "far.db"}


def test_a_relative_store_stays_where_it_was_opened(tmp_path, monkeypatch):
    """An application may change its directory while it runs."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///near.db")
    monkeypatch.chdir("/")
    put(store, a_span())
    assert len(ids(store)) == 1
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "clew.db",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/x.db",
        "sqlite:///:memory:",
        "sqlite:///dir/",
        "sqlite:///a\0b",
        "mysql://x",
        "memory",
    ],
)
def test_a_url_that_names_no_store_is_refused(url, tmp_path, monkeypatch):
    """And says what would; no file is made of it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="use sqlite:///"):
        open_store(url)
    assert list(tmp_path.iterdir()) == []


def test_reading_only_makes_no_file(tmp_path):
    """A typing mistake in a path must not leave an empty store."""
    with pytest.raises(StoreUnavailable, match="not there"):
        open_store(f"sqlite:///{tmp_path}/none.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_reading_only_reads_beside_a_writer_and_writes_nothing(tmp_path):
    """`clew traces ls` looks at the file of a server that runs."""
    url = f"sqlite:///{tmp_path}/clew.db"
    writer = open_store(url)
    reader = open_store(url, read_only=True)
    put(writer, a_span())
    assert len(ids(reader)) == 1
    with pytest.raises(StoreUnavailable, match="read only"):
        put(reader, a_span(1))
    reader.close()
    writer.close()


@contextmanager
def _as_somebody_who_may_only_read(folder):
    """The files are made by us, and looked at by a user whom permissions bind; they do not bind root."""
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        with pytest.raises(PermissionError):
            (folder / "new").touch()
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.mark.skipif(os.name != "posix", reason="directories that refuse are made with chmod")
def test_reading_only_works_where_nothing_can_be_made():
    """A copy on a read-only disk: not even SQLite's side files."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        open_store(f"sqlite:///{folder}/clew.db").close()
        with _as_somebody_who_may_only_read(folder):
            reader = open_store(f"sqlite:///{folder}/clew.db", read_only=True)
            assert ids(reader) == []
            reader.close()
